"""`bort-mx convert SRC DST --to hf|gluon|bort-mx`: the command line of `bort_mx.checkpoints.convert`."""

import dataclasses
import re
from typing import List, Optional

from bort_mx.commands.last_lines import predict_with, say_first, say_last
from bort_mx.errors import InputError
from bort_mx.options import at_least, one_of, parse_options

DESCRIPTION = "Convert a checkpoint of any format to that of Hugging Face, of GluonNLP or of this program."
FORMATS = ("hf", "gluon", "bort-mx")


@dataclasses.dataclass
class ConvertOptions:
    """Options of `bort-mx convert`."""

    source: str = dataclasses.field(metadata={"positional": True, "metavar": "SRC"})
    """The checkpoint to convert: of any format, the output folder of a run (its newest checkpoint, or the best epoch of
    fine-tuning), or a name on the Hugging Face Hub."""

    destination: str = dataclasses.field(metadata={"positional": True, "metavar": "DST"})
    """The folder to write. It must not exist, or be empty."""

    to: str = dataclasses.field(metadata={"metavar": "hf|gluon|bort-mx"})
    """The format to write: hf (config.json, model.safetensors, tokenizer, model card), gluon (model.params), or bort-mx
    (this program's own)."""

    num_heads: Optional[int] = None
    """Number of attention heads. Needed only for formats that do not store it."""

    license: Optional[str] = None
    """With --to hf: the licence for the model card, by the Hub's identifier (apache-2.0, mit, cc-by-4.0 …). Default:
    that of the source's own card, else "unknown"."""

    def __post_init__(self):
        if self.license is not None and (self.to != "hf" or not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", self.license)):
            raise InputError(f"--license {self.license}: " + (
                "must be an identifier of the Hub, such as apache-2.0" if self.to == "hf" else
                "stands in the model card that --to hf writes; leave it out"))
        one_of(self, FORMATS, "to")
        at_least(self, 1, "num_heads")


def main(argv: List[str]) -> int:
    """Read, write, and say what was written."""
    options = parse_options(ConvertOptions, argv, "bort-mx convert", DESCRIPTION)
    say_first(f"converting {options.source} to {options.destination} ({options.to})")
    from bort_mx import checkpoints  # MXNet is loaded only now: --help and bad options stay quick
    from bort_mx.checkpoints.convert import convert

    weights = checkpoints.read(options.source, options.num_heads)
    convert(weights, options.destination, options.to, options.license)
    config = weights.config
    tokenizer = "" if weights.tokenizer else ", no tokenizer"
    print(f"{options.destination}: {config.family}, {config.head}, <D,A,H,I> {config.architecture}, "
          f"{config.vocab_size} tokens, {config.num_positions} positions{tokenizer}")
    if options.to == "hf" and config.head != "encoder":
        print("transformers' bare AutoModel leaves the head out, and says so (UNEXPECTED, MISSING): "
              f"take {'AutoModelForMaskedLM' if config.head == 'mlm' else 'AutoModelForSequenceClassification'}")
    say_last(options.destination, *predict_with(options.destination, config.head))
    return 0
