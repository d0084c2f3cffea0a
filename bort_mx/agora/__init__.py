"""Agora: trains, mines mistakes, lets a teacher label new points, prunes hyperparameter sets. Imports no MXNet."""

from bort_mx.agora.loop import AgoraOptions, AgoraResult, agora
from bort_mx.agora.pruning import prune

__all__ = ["AgoraOptions", "AgoraResult", "agora", "prune"]
