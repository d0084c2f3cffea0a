"""Pre-training: the losses, the evaluation of the masked language model, and the run (paper §4)."""
