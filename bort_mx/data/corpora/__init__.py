"""Readers of corpora: files to texts."""
