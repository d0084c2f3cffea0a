"""Fine-tuning on a task, plainly; `agora` and `prune` are those of `bort_mx.agora`. Imports no MXNet."""

from bort_mx.agora.loop import AgoraOptions, AgoraResult, agora
from bort_mx.agora.pruning import prune

__all__ = ["AgoraOptions", "AgoraResult", "agora", "prune"]
