"""Fine-tuning on a task. `agora` and `prune` come from `bort_mx.agora`. Importing this imports no MXNet."""

from bort_mx.agora.loop import AgoraOptions, AgoraResult, agora
from bort_mx.agora.pruning import prune

__all__ = ["AgoraOptions", "AgoraResult", "agora", "prune"]
