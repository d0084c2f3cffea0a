"""`bort-mx export CHECKPOINT OUT.onnx`: the command line of `bort_mx.checkpoints.onnx_export`."""

import dataclasses
import pathlib
from typing import List, Optional

from bort_mx.commands.last_lines import predict_with, say_last
from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, parse_options, within

DESCRIPTION = "Export a checkpoint to ONNX, and compare the outputs of the file and of the model."
HEADS = ("encoder", "mlm", "classifier")


@dataclasses.dataclass
class ExportOptions:
    """Options of `bort-mx export`."""

    checkpoint: str = dataclasses.field(metadata={"positional": True, "metavar": "CHECKPOINT"})
    """The checkpoint to export: of any format, or the output folder of a run (its newest checkpoint, or the best epoch
    of fine-tuning)."""

    output: str = dataclasses.field(metadata={"positional": True, "metavar": "OUT.onnx"})
    """The file to write. The tokenizer's files are written beside it."""

    head: Optional[str] = None
    """Head to export: encoder, mlm or classifier. Default: the one in the checkpoint."""

    int8: bool = False
    """Quantize: store and multiply the weight matrices in 8-bit integers. The file is then compared with float32 on
    texts."""

    texts: Optional[str] = None
    """Texts to compare an --int8 file on: a text per line, two with a tab between, or a table. Default: built-in text.
    Texts of the model's own task tell most."""

    strict: bool = False
    """Refuse an --int8 file that is far from float32 on the texts. Without this option, a warning says so."""

    opset: int = 17
    """Version of ONNX's operator set, 13 to 19."""

    num_heads: Optional[int] = None
    """Number of attention heads. Needed only for formats that do not store it."""

    seed: int = 0
    """Random seed for the ids on which a float32 file and the model are compared."""

    def __post_init__(self):
        if pathlib.Path(self.output).suffix != ".onnx":
            raise InputError(f"{self.output}: the name must end in .onnx")
        one_of(self, HEADS, "head")
        within(self, "[13, 19]", "opset")
        if not self.int8 and (self.texts is not None or self.strict):
            raise InputError("--texts and --strict judge an 8-bit file; give --int8 as well")
        at_least(self, 1, "num_heads")


def main(argv: List[str]) -> int:
    """Read, export, compare; print what was compared."""
    options = parse_options(ExportOptions, argv, "bort-mx export", DESCRIPTION)
    from bort_mx import checkpoints  # MXNet is loaded only now: --help and bad options stay quick
    from bort_mx.checkpoints.onnx_export import export
    from bort_mx.inference.input_file import read_texts
    from bort_mx.inference.int8_quality import judge

    weights = checkpoints.read(options.checkpoint, options.num_heads)
    texts = (None if options.texts is None
             else read_texts(pathlib.Path(options.texts), trained=weights.config.text_columns))
    for line in export(weights, options.output, options.head, options.int8, options.opset, options.seed,
                       lambda model, exported: judge(model, exported, weights.tokenizer, texts, options.strict)):
        print(line, flush=True)
    say_last(None, *predict_with(options.output, options.head or weights.config.head))
    return 0
