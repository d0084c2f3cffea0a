"""Agora: trains, mines mistakes, lets a teacher label new points, prunes hyperparameter sets. Imports no MXNet."""

from bort_mx.agora.loop import agora
from bort_mx.agora.loop_options import AgoraOptions, Hooks, Record
from bort_mx.agora.pruning import prune
from bort_mx.agora.rounds import AgoraResult

__all__ = ["AgoraOptions", "AgoraResult", "Hooks", "Record", "agora", "prune"]
