"""The training step, the training loop and the run directory that search, pre-training and fine-tuning share."""
