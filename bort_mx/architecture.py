"""The architectural parameters <D, A, H, I> of a BERT, their size and cost, and the presets of the paper.

D: layers. A: attention heads. H: hidden size. I: intermediate size. V: vocabulary size. S: rows of the position table.
Equations 12 and 13 and all figures quoted here are from "Optimal Subarchitecture Extraction for BERT",
arXiv 2010.10499.
"""

import dataclasses
import re
from typing import Tuple

from bort_mx.errors import InputError

ROBERTA_VOCABULARY = 50265
ROBERTA_POSITIONS = 514


@dataclasses.dataclass(frozen=True, order=True)
class Architecture:
    """One point <D, A, H, I> of a search space.

    Raises:
        InputError: a value is not a positive integer. H not divisible by A is allowed here, because a search space
            contains such points and drops them later (`is_valid`). No model can be built from such a point.
    """

    num_layers: int
    """D, the number of encoder layers."""
    num_heads: int
    """A, the number of attention heads in each layer."""
    hidden_size: int
    """H, the width of the hidden states."""
    intermediate_size: int
    """I, the width of the feed-forward layer."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InputError(f"architecture: {field.name} is {value!r}; it must be a positive integer")

    @classmethod
    def parse(cls, text: str) -> "Architecture":
        """Read an architecture from a preset's name or from "D,A,H,I".

        Raises:
            InputError: the text is neither; the message lists the presets.
        """
        text = text.strip()
        if text in PRESETS:
            return PRESETS[text]
        if re.fullmatch(r"\d+(\s*,\s*\d+){3}", text):
            return cls(*(int(value) for value in text.split(",")))
        raise InputError(f"architecture {text!r}: neither a preset ({', '.join(PRESETS)}) nor D,A,H,I, "
                         "such as 4,8,1024,768")

    def is_valid(self) -> bool:
        """Whether the number of heads divides the hidden size (H mod A = 0; paper §3.3)."""
        return self.hidden_size % self.num_heads == 0

    def parameters(self, vocab_size: int = ROBERTA_VOCABULARY, num_positions: int = ROBERTA_POSITIONS) -> int:
        """Number of parameters of embedding, encoder and pooler, eq. 13: D(4H² + 2HI + 9H + I) + H² + (V + S + 6)H."""
        D, H, I = self.num_layers, self.hidden_size, self.intermediate_size
        V, S = vocab_size, num_positions
        return D * (4 * H * H + 2 * H * I + 9 * H + I) + H * H + (V + S + 6) * H

    def encoder_parameters(self) -> int:
        """Number of parameters of the D encoder layers: the first term of eq. 13."""
        H, I = self.hidden_size, self.intermediate_size
        return self.num_layers * (4 * H * H + 2 * H * I + 9 * H + I)

    def flops(self) -> int:
        """Floating-point operations per token, eq. 12: D(4(2H−1)H + H² + (2H−1)I + 7I²) + (2H−1)H + 3H."""
        D, H, I = self.num_layers, self.hidden_size, self.intermediate_size
        return D * (4 * (2 * H - 1) * H + H * H + (2 * H - 1) * I + 7 * I * I) + (2 * H - 1) * H + 3 * H

    def multiply_adds(self, length: int) -> int:
        """Multiply-adds of the encoder for one sequence of `length` tokens: D(4sH² + 2sHI + 2s²H).

        This is the textbook count. Measured speeds follow it. The paper's eq. 12 differs: it leaves out the attention
        scores, and it has 7I² where a dense layer has 2HI.
        """
        H, I, s = self.hidden_size, self.intermediate_size, length
        return self.num_layers * (4 * s * H * H + 2 * s * H * I + 2 * s * s * H)

    def as_tuple(self) -> Tuple[int, int, int, int]:
        """The tuple (D, A, H, I)."""
        return dataclasses.astuple(self)

    def __str__(self) -> str:
        return ",".join(str(value) for value in self.as_tuple())


PRESETS = {
    # Table 1, A1. Eq. 13 gives 76.16 M parameters; the paper prints 56.14 M (see bort-swapped).
    "bort": Architecture(4, 8, 1024, 768),
    "bort-a2": Architecture(4, 16, 1024, 512),  # Table 1, A2
    "bort-a3": Architecture(4, 8, 1024, 512),  # Table 1, A3
    "bort-swapped": Architecture(4, 8, 768, 1024),  # H and I swapped; this explains the printed 56.14 M
    "bert-base": Architecture(12, 12, 768, 3072),
    "bert-large": Architecture(24, 16, 1024, 4096),
    "roberta-base": Architecture(12, 12, 768, 3072),
    "roberta-large": Architecture(24, 16, 1024, 4096),  # the maximum point T of the paper's search
    "tinybert-4": Architecture(4, 12, 312, 1200),
    "bert-of-theseus": Architecture(6, 12, 768, 3072),
    # Table 2 prints I = 2048, but that gives 13.27 M parameters, not the printed 11.3 M.
    "bert-mini": Architecture(4, 4, 256, 1024),
    "bert-small": Architecture(4, 8, 512, 2048),
    "distilroberta": Architecture(6, 12, 768, 3072),
}
