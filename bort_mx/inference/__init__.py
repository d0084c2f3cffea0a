"""A trained model applied to texts."""
