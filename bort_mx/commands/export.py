"""`python -m bort_mx export CHECKPOINT OUT.onnx`: the command line of `bort_mx.checkpoints.onnx_export`."""

import dataclasses
import pathlib
from typing import List, Optional

from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, parse_options, within

DESCRIPTION = "Export a checkpoint to ONNX, and compare the file with the model on random input."
HEADS = ("encoder", "mlm", "classifier")


@dataclasses.dataclass
class ExportOptions:
    """Options of `bort-mx export`."""

    checkpoint: str = dataclasses.field(metadata={"positional": True, "metavar": "CHECKPOINT"})
    """A checkpoint of any format, or a run's output directory (its newest checkpoint, or the best epoch of
    fine-tuning)."""

    output: str = dataclasses.field(metadata={"positional": True, "metavar": "OUT.onnx"})
    """The file to write; the tokenizer's files go beside it."""

    head: Optional[str] = None
    """encoder, mlm or classifier; by default the one that the checkpoint holds."""

    int8: bool = False
    """Store the matrices in 8 bits and multiply in 8 bits."""

    opset: int = 17
    """Version of ONNX's operators, 13 to 19."""

    num_heads: Optional[int] = None
    """Attention heads, for formats that do not say them."""

    seed: int = 0
    """Of the random input that the file is compared on."""

    def __post_init__(self):
        if pathlib.Path(self.output).suffix != ".onnx":
            raise InputError(f"{self.output}: the name must end in .onnx")
        one_of(self, HEADS, "head")
        within(self, "[13, 19]", "opset")
        at_least(self, 1, "num_heads")


def main(argv: List[str]) -> int:
    """Read, export, compare; print what was compared."""
    options = parse_options(ExportOptions, argv, "bort-mx export", DESCRIPTION)
    from bort_mx import checkpoints  # MXNet is loaded only now: --help and bad options stay quick
    from bort_mx.checkpoints.onnx_export import export

    weights = checkpoints.read(options.checkpoint, options.num_heads)
    for line in export(weights, options.output, options.head, options.int8, options.opset, options.seed):
        print(line, flush=True)
    return 0
