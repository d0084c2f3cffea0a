"""Number of sequences that fit into one forward and backward pass.

Two things limit it: MXNet's limit on the size of a tensor, and free memory.

Dimensions: B sequences in a pass, s tokens, M masked positions, H hidden size, I intermediate size, A heads, V
vocabulary size.
"""

from typing import Optional

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError

MOST_ELEMENTS = 2 ** 31 - 1
"""Largest number of elements in a tensor. MXNet's wheels count elements in 32 bits, and fail for larger tensors."""
SHARE_OF_FREE_MEMORY = 0.5
"""Share of free memory for one pass. The rest is for weights, gradients, optimizer state, batches and the system."""
_FLOAT = 4  # bytes
_LOGITS_KEPT = 4  # logits, their log-softmax and the gradients of both
_TEACHER_LOGITS_KEPT = 3  # the teacher's logits, their softmax, and the product with the student's
_SCORES_KEPT = 8  # the student's scores, with the mask, their softmax and gradients, and the teacher's


def bytes_of_sequence(architecture: Architecture, seq_len: int, masked: int, vocab_size: int,
                      teacher: Optional[Architecture] = None, scores: int = 0) -> int:
    """Memory in bytes that one sequence needs in a training pass; an upper estimate.

    The backward pass needs, for each layer, about 16 arrays (s, H), 4 arrays (s, I) and 4 arrays (A, s, s), and also
    the logits (M, V). A teacher only runs forward, so it needs one layer at a time.

    Args:
        architecture: architecture of the model.
        seq_len, masked, vocab_size: s, M and V.
        teacher: the teacher's architecture, if there is one.
        scores: elements of the scores of attention that the losses compare, see
            `bort_mx.pretraining.recipe.scores_of_sequence`.
    """
    def layer(of: Architecture) -> int:
        return seq_len * (16 * of.hidden_size + 4 * of.intermediate_size) + 4 * of.num_heads * seq_len ** 2

    elements = (architecture.num_layers + 1) * layer(architecture) + _LOGITS_KEPT * masked * vocab_size
    elements += _SCORES_KEPT * scores
    if teacher is not None:
        elements += 2 * layer(teacher) + _TEACHER_LOGITS_KEPT * masked * vocab_size
    return _FLOAT * elements


def fitting_micro_batch(share: int, largest_tensor: int, memory: int, free: int) -> int:
    """The largest divisor of a worker's share of the batch that fits into one pass.

    Args:
        share: number of sequences per worker in a step.
        largest_tensor: number of elements that one sequence adds to the largest tensor: M·V for logits, or more
            where the losses compare scores.
        memory: bytes that one sequence needs; see `bytes_of_sequence`.
        free: free memory of the worker's device in bytes, see `bort_mx.devices.free_memory`.
    Raises:
        InputError: not even one sequence fits.
    """
    most = min(MOST_ELEMENTS // largest_tensor, int(free * SHARE_OF_FREE_MEMORY) // memory)
    if most < 1:
        raise InputError(f"one sequence needs about {memory / 1e9:.2f} GB in training, and {free / 1e9:.2f} GB of "
                         "memory are free; choose a smaller --seq-len or --architecture, or free some memory")
    return max(size for size in range(1, share + 1) if share % size == 0 and size <= most)
