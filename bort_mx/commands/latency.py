"""`bort-mx latency`: the inference speed of architectures by the protocol of the paper's Table 1."""

import dataclasses
import pathlib
from typing import List, Literal, Optional

from bort_mx.architecture import ROBERTA_VOCABULARY, Architecture
from bort_mx.commands.last_lines import say_first, say_last
from bort_mx.io import files
from bort_mx.io.output import writing
from bort_mx.options import at_least, parse_options
from bort_mx.provenance import provenance

DESCRIPTION = ("Time one element of 512 tokens, batch 1, and take the mean over many trials: the inference speed of "
               "the paper's Table 1.")
PAPER_TRIALS = 6250


@dataclasses.dataclass
class LatencyOptions:
    """Options of `bort-mx latency`."""

    architectures: List[str] = dataclasses.field(default_factory=lambda: ["bort", "bort-a2", "bort-a3", "bert-base",
                                                                          "roberta-large"])
    """Architectures to time: presets or "D,A,H,I"."""

    data: Optional[str] = None
    """Folder of prepared data (`bort-mx prepare`) that the element is drawn from. Default: random token ids."""

    trials: int = PAPER_TRIALS
    """Timed passes of each architecture; 6,250 in the paper. They take turns."""

    seq_len: int = 512
    """Number of tokens of the element."""

    vocab_size: int = ROBERTA_VOCABULARY
    """Number of rows of the word embedding; with --data, that of its vocabulary if it is larger."""

    device: Literal["auto", "cpu", "gpu"] = "cpu"
    """cpu, gpu, or auto. The paper's table is of a CPU."""

    seed: int = 0
    """Random seed for drawing the element."""

    output_dir: str = "runs/latency"
    """Folder for results.json, and config.json with the options. Files of these names there are replaced."""

    def __post_init__(self):
        at_least(self, 1, "trials", "vocab_size")
        at_least(self, 3, "seq_len")


def main(argv: List[str]) -> int:
    """Time, print a table, write results.json."""
    options = parse_options(LatencyOptions, argv, "bort-mx latency", DESCRIPTION)
    architectures, out = [Architecture.parse(name) for name in options.architectures], pathlib.Path(options.output_dir)
    say_first(f"timing {', '.join(options.architectures)}")
    from bort_mx.devices import device_of, gpu_of  # MXNet is loaded only now
    from bort_mx.distributed import Workers
    from bort_mx.search.latency_protocol import draw_element, time_trials
    from bort_mx.training.earlier_run import refuse_foreign
    from bort_mx.training.hours import device_in_words

    refuse_foreign(out, "trials")
    with writing(out, "--output-dir"):  # before hours of trials
        out.mkdir(parents=True, exist_ok=True)
    element = draw_element(options.data, options.seq_len, options.seed, options.vocab_size)
    vocab_size = max(options.vocab_size, int(element.max()) + 1)
    ctx = device_of(options.device, Workers())
    where = device_in_words(gpu_of(ctx), 1)
    print(f"one element of {options.seq_len} tokens {'of ' + options.data if options.data else '(random ids)'}, "
          f"{options.trials:,} trials, on {where}", flush=True)
    found = time_trials(architectures, element, vocab_size, options.trials, ctx)
    rows = [{"name": name, "architecture": list(timed.architecture.as_tuple()), **timed.summary()}
            for name, timed in zip(options.architectures, found)]
    for row in rows:
        print(f"{row['name']:>20}  mean {1000 * row['mean_s']:9.2f} ms  median {1000 * row['median_s']:9.2f} ms  "
              f"(middle half {1000 * row['quartile_1_s']:.2f} to {1000 * row['quartile_3_s']:.2f})", flush=True)
    made = {"options": dataclasses.asdict(options), "provenance": provenance()}
    with writing(out, "--output-dir"):
        files.write_json(out / "config.json", made)  # by which `reproduce --runs` finds it
        files.write_json(out / "results.json", {**made, "machine": where, "rows": rows})
    say_last(f"{out}: results.json, config.json", "reproduce", "--table", "1", "--runs", out)
    return 0
