"""`bort-mx export CHECKPOINT OUT.onnx`: the command line of `bort_mx.checkpoints.onnx_export`."""

import dataclasses
import pathlib
from typing import List, Optional

from bort_mx import machine
from bort_mx.commands.last_lines import predict_with, say_first, say_last
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

    static: bool = False
    """With --int8: quantize the inputs of dense layers over fixed ranges, which are found on the texts, and not each
    over its own range as it comes."""

    weight_bits: Optional[int] = None
    """With --int8: 8, or 7 for CPUs without VNNI, on which ONNX Runtime's sums of 8-bit products can overflow. Default:
    what this CPU needs."""

    float_layers: int = 0
    """With --int8: leave this many dense layers in float32, those with the largest error on the texts."""

    texts: Optional[str] = None
    """Texts to compare an --int8 file on: a text per line, two with a tab between, or a table. Default: built-in text.
    Texts of the model's own task tell most. For --static and --float-layers every second text is for calibration, the
    others are for the comparison."""

    auto: bool = False
    """Try float32 and 8-bit forms on the engines that are installed (ONNX Runtime, OpenVINO). Write the fastest on this
    machine whose score on the --task's dev set, or whose agreement with float32 on the --texts, is within --within.
    What was chosen is kept beside the file, and predict uses it."""

    task: Optional[str] = None
    """With --auto: task whose dev set is scored. Calibration takes texts of its training set."""

    data_dir: Optional[str] = None
    """With --task: folder with the task's files."""

    within: float = 0.5
    """With --auto: points that the score may lose on float32."""

    fastest_for: str = "single"
    """With --auto: single is the time of one text alone, batch that of texts in batches."""

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
        if not (self.int8 or self.auto) and (self.texts is not None or self.strict):
            raise InputError("--texts and --strict judge an 8-bit file; give --int8 as well")
        of_int8 = self.static or self.weight_bits is not None or self.float_layers
        if self.auto and (self.int8 or self.strict or of_int8):
            raise InputError("--auto chooses the form itself; leave out --int8, --strict, --static, --weight-bits and "
                             "--float-layers")
        if not self.auto and self.task is not None:
            raise InputError("--task judges the forms of --auto; give --auto as well")
        if not self.auto and (self.within != 0.5 or self.fastest_for != "single"):
            raise InputError("--within and --fastest-for are for --auto; give --auto as well")
        if self.task is not None and self.texts is not None:
            raise InputError("--task and --texts are two ways to judge; give one")
        if self.data_dir is not None and self.task is None:
            raise InputError("--data-dir holds the files of --task; give --task as well")
        one_of(self, ("single", "batch"), "fastest_for")
        within(self, "[0, 100]", "within")
        if not self.int8 and of_int8:
            raise InputError("--static, --weight-bits and --float-layers are for 8-bit files; give --int8 as well")
        within(self, "[7, 8]", "weight_bits")
        at_least(self, 0, "float_layers")
        at_least(self, 1, "num_heads")


def _how(auto: bool, int8: bool, task: Optional[str]) -> str:
    """What the command does, in words, by its options."""
    if auto:
        judged = f"the dev set of {task}" if task else "texts"
        return f"the fastest of several forms on this machine, judged on {judged}; this takes minutes"
    if int8:
        return "in 8 bits; then it is compared with float32 on texts"
    return "in float32; then it is compared with the model"


def main(argv: List[str]) -> int:
    """Read, export, compare; print what was compared."""
    options = parse_options(ExportOptions, argv, "bort-mx export", DESCRIPTION)
    say_first(f"exporting {options.checkpoint} to {options.output}, "
              f"{_how(options.auto, options.int8, options.task)}")
    from bort_mx import checkpoints  # MXNet is loaded only now: --help and bad options stay quick
    from bort_mx.checkpoints.onnx_export import export
    from bort_mx.data.input_texts import read_texts
    from bort_mx.inference.int8_quality import form_of, judge

    weights = checkpoints.read(options.checkpoint, options.num_heads)
    texts = (None if options.texts is None
             else read_texts(pathlib.Path(options.texts), trained=weights.config.text_columns))
    form, choice, text_judge = False, None, None
    if options.auto:
        from bort_mx.commands.export_auto import fastest

        form, choice = fastest(weights, options.head, texts, options.task, options.data_dir, options.opset,
                               options.within, options.fastest_for)
    elif options.int8:
        bits = options.weight_bits or machine.weight_bits()
        if options.weight_bits is None and bits == 7:
            print("weights of 7 bits, as this CPU lacks VNNI and ONNX Runtime's sums of 8-bit products can overflow on "
                  "it; --weight-bits 8 forces 8", flush=True)
        form, texts = form_of(weights, options.head, texts, options.static, bits, options.float_layers)

        def text_judge(model, exported):
            """Compare an 8-bit file with float32 on texts."""
            return judge(model, exported, weights.tokenizer, texts, options.strict)
    for line in export(weights, options.output, options.head, form, options.opset, options.seed, text_judge, choice):
        print(line, flush=True)
    say_last(None, *predict_with(options.output, options.head or weights.config.head))
    return 0

