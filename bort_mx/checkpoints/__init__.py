"""Checkpoints: our own directory format, and the conversion from and to others."""

from bort_mx.checkpoints.directory import save
from bort_mx.checkpoints.loading import assemble, load, read
from bort_mx.checkpoints.weights import Weights

__all__ = ["Weights", "assemble", "load", "read", "save"]
