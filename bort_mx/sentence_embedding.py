"""From a text's hidden states to its embedding, as sentence-transformers does: pooling, dense layers, normalization.

B batch, s length, H hidden size, E embedding size.
"""

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from bort_mx.errors import InputError

POOLINGS = ("first", "mean", "max", "mean_sqrt_len", "weighted_mean", "last")
"""first: the first token's state. mean: the mean over all tokens, special tokens too. max: the largest value of each
component. mean_sqrt_len: the sum over all tokens, divided by the square root of their number. weighted_mean: the mean
with the weights 1, 2, 3 … from the first token on. last: the last token's state, which is a special token."""
ACTIVATIONS = ("identity", "tanh", "relu", "gelu", "sigmoid", "silu")
"""As in PyTorch. gelu: x/2 · (1 + erf(x/√2)). silu: x · sigmoid(x)."""
NORMALIZE = "normalize"
"""The step that divides an embedding by its length."""
TENSORS = "embedding."
"""How the names of the dense layers' tensors begin: embedding.0.weight (E, H), embedding.0.bias (E,)."""


@dataclasses.dataclass(frozen=True)
class SentenceEmbedding:
    """How an encoder's hidden states become an embedding.

    Raises:
        InputError: a value that is not known; the message names the field.
    """

    pooling: Tuple[str, ...] = ("mean",)
    """Of `POOLINGS`; several are put side by side."""
    steps: Tuple[Tuple[str, int], ...] = ()
    """What follows: a dense layer as (its activation, its outputs), or ("normalize", 0)."""
    max_tokens: Optional[int] = None
    """Longest text, special tokens included; None: the model's positions."""
    lower_case: bool = False
    """Texts are lower-cased before the tokenizer gets them."""
    prompt: str = ""
    """Put before each text."""

    def __post_init__(self):
        object.__setattr__(self, "pooling", tuple(self.pooling))
        object.__setattr__(self, "steps", tuple((kind, outputs) for kind, outputs in self.steps))
        unknown = [name for name in self.pooling if name not in POOLINGS]
        unknown += [kind for kind, _ in self.steps if kind not in (*ACTIVATIONS, NORMALIZE)]
        if unknown or not self.pooling:
            raise InputError(f"model: embedding has {unknown[:1] or 'no pooling'}; known are {', '.join(POOLINGS)}, "
                             f"then {', '.join(ACTIVATIONS)} and {NORMALIZE}")
        if not all(type(outputs) is int and outputs >= 0 for _, outputs in self.steps) or not (
                self.max_tokens is None or type(self.max_tokens) is int and self.max_tokens > 2):
            raise InputError("model: embedding has sizes that are no whole numbers, or max_tokens below 3")
        if type(self.lower_case) is not bool or not isinstance(self.prompt, str):
            raise InputError("model: embedding.lower_case must be true or false, and embedding.prompt a text")

    @classmethod
    def from_dict(cls, values: Dict[str, Any]) -> "SentenceEmbedding":
        """The inverse of `dataclasses.asdict`.

        Raises:
            InputError: unknown fields, or values of another type.
        """
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"model: ill-formed embedding ({error})") from None

    def size(self, hidden_size: int) -> int:
        """E of an encoder with H."""
        widths = [len(self.pooling) * hidden_size, *(outputs for kind, outputs in self.steps if kind != NORMALIZE)]
        return widths[-1]

    def shapes(self, hidden_size: int) -> Dict[str, Tuple[int, ...]]:
        """The dense layers' tensors: name → shape."""
        shapes: Dict[str, Tuple[int, ...]] = {}
        width = len(self.pooling) * hidden_size
        for i, (kind, outputs) in enumerate(self.steps):
            if kind != NORMALIZE:
                shapes.update({f"{TENSORS}{i}.weight": (outputs, width), f"{TENSORS}{i}.bias": (outputs,)})
                width = outputs
        return shapes

    def __str__(self) -> str:
        """One line for people."""
        steps = [kind if kind == NORMALIZE else f"dense to {outputs} ({kind})" for kind, outputs in self.steps]
        said = ["pooling " + " and ".join(self.pooling), *steps,
                *([f"at most {self.max_tokens} tokens"] if self.max_tokens else []),
                *(["lower-cased"] if self.lower_case else []),
                *([f"prompt {self.prompt!r}"] if self.prompt else [])]
        return ", ".join(said)


def embedded(embedding: SentenceEmbedding, tensors: Mapping[str, np.ndarray], states: np.ndarray,
             lengths: np.ndarray) -> np.ndarray:
    """Embeddings (B, E), float32.

    Args:
        embedding: what to do.
        tensors: those of its dense layers, by `SentenceEmbedding.shapes`.
        states: hidden states (B, s, H), 0 at padding.
        lengths: tokens of each text (B,).
    """
    x = pooled(embedding.pooling, states, lengths)
    for i, (kind, _) in enumerate(embedding.steps):
        if kind == NORMALIZE:
            x = x / np.maximum(np.sqrt(np.square(x).sum(axis=1, keepdims=True)), 1e-12)
            continue
        x = x @ tensors[f"{TENSORS}{i}.weight"].T + tensors[f"{TENSORS}{i}.bias"]
        x = activated(kind, x)
    return np.asarray(x, np.float32)


def activated(name: str, x: np.ndarray) -> np.ndarray:
    """One of `ACTIVATIONS` of each component."""
    from scipy import special  # not imported where no dense layer is

    functions = {"identity": lambda: x, "tanh": lambda: np.tanh(x), "relu": lambda: np.maximum(x, 0),
                 "gelu": lambda: x / 2 * (1 + special.erf(x / np.sqrt(2))), "sigmoid": lambda: special.expit(x),
                 "silu": lambda: x * special.expit(x)}
    return functions[name]()


def pooled(pooling: Tuple[str, ...], states: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Hidden states (B, s, H), 0 at padding, as one vector a text (B, number of poolings · H)."""
    count = np.asarray(lengths, np.float32)[:, None]  # (B, 1)
    padding = np.arange(states.shape[1])[None] >= count  # (B, s)
    parts: List[np.ndarray] = []
    for name in pooling:
        if name == "first":
            parts.append(states[:, 0])
        elif name == "last":
            parts.append(states[np.arange(len(states)), np.asarray(lengths, int) - 1])
        elif name == "weighted_mean":
            weights = np.where(padding, 0, np.arange(1, states.shape[1] + 1, dtype=np.float32))  # (B, s)
            parts.append((states * weights[:, :, None]).sum(axis=1) / weights.sum(axis=1, keepdims=True))
        elif name == "max":
            parts.append(np.where(padding[:, :, None], -np.inf, states).max(axis=1))
        else:
            parts.append(states.sum(axis=1) / (count if name == "mean" else np.sqrt(count)))
    return np.concatenate(parts, axis=1)
