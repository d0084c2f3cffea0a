"""Does the error after n = 3 steps rank architectures as longer training does? The paper's central claim, measured.

Architectures are taken at equal distances along the intrinsic order of a space. Each is trained towards the same
teacher on the same batches by several recipes, and Spearman's correlation of the errors is taken for each pair:

    sgd-0       no training at all: what initialisation alone makes of the error
    sgd-3       the paper's: 3 steps of SGD, learning rate 5e-4, clip 1 (also with other seeds of the initial weights)
    sgd-N       N steps of the same
    adamw-3     3 steps of AdamW, learning rate 1e-3
    adamw-N     N steps of the same: what a model of this architecture in fact learns in that time

    python benchmarks/search_rank_correlation.py --data DIR --teacher CKPT --space configs/search_two_cores.yaml \\
        --output-dir runs/rank-correlation --long 300

Errors go to OUT/errors.jsonl one by one, and a run that was interrupted goes on from there; OUT/correlation.json holds
the correlations, and OUT/correlation.png shows some of them.
"""

import argparse
import dataclasses
import itertools
import json
import pathlib
import time
from typing import Any, Dict, Iterable, List, Sequence

import numpy as np
from scipy.stats import spearmanr

from bort_mx.architecture import Architecture
from bort_mx.devices import device_of
from bort_mx.distributed import Workers
from bort_mx.io import files
from bort_mx.provenance import provenance
from bort_mx.search.evaluator import Evaluator
from bort_mx.search.options import Hyperparameters, SearchOptions
from bort_mx.search.sources import newest_checkpoint
from bort_mx.search.space import admit, intrinsic_order, read_space
from bort_mx.search.surrogates import TrainedError
from bort_mx.search.teacher_states import describe_states, place_of_states, run_teacher, states_shape
from bort_mx.training.optimizers import OptimizerSettings

SEEDS = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to train a candidate."""

    name: str
    steps: int
    optimizer: str
    theta: Hyperparameters
    seed: int = 0


def recipes(long: int) -> List[Recipe]:
    """All that are compared; the paper's with several seeds."""
    sgd, adamw = Hyperparameters(5e-4, 0.05), Hyperparameters(1e-3, 0.05)
    return [Recipe("sgd-0", 0, "sgd", sgd),
            *(Recipe(f"sgd-3-seed-{seed}" if seed else "sgd-3", 3, "sgd", sgd, seed) for seed in SEEDS),
            Recipe("adamw-3", 3, "adamw", adamw),
            Recipe(f"adamw-{long}", long, "adamw", adamw), Recipe(f"sgd-{long}", long, "sgd", sgd)]


def chosen(setting: Evaluator, architectures: Iterable[Architecture], count: int) -> List[Architecture]:
    """`count` members of the space at equal distances along its order, the smallest and the largest among them."""
    ordered = intrinsic_order(architectures, setting.vocab_size, setting.num_positions)
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, count).round().astype(int)]


def measure(setting: Evaluator, states: Any, architectures: Sequence[Architecture], long: int,
            path: pathlib.Path) -> Dict[str, List[float]]:
    """The errors of all recipes and architectures, {recipe: [error, …]}; those in the file are not measured again."""
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    errors = {(row["recipe"], tuple(row["architecture"])): row["error"] for row in known}
    for recipe, architecture in itertools.product(recipes(long), architectures):
        key = recipe.name, architecture.as_tuple()
        if key in errors:
            continue
        batches = dataclasses.replace(setting.batches, training=setting.batches.training[:recipe.steps])
        start = time.perf_counter()
        errors[key] = TrainedError(setting.config, batches, states, [recipe.theta],
                                   OptimizerSettings(recipe.optimizer, 0.0),
                                   seed=recipe.seed)(architecture)
        row = {"recipe": recipe.name, "architecture": key[1], "error": errors[key],
               "seconds": round(time.perf_counter() - start, 2)}
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    return {recipe.name: [errors[recipe.name, a.as_tuple()] for a in architectures] for recipe in recipes(long)}


def correlate(errors: dict) -> list:
    """Spearman's rho of each pair of recipes, with SciPy's two-sided p-value."""
    rows = []
    for one, other in itertools.combinations(errors, 2):
        test = spearmanr(errors[one], errors[other])
        rows.append({"recipes": [one, other], "spearman": float(test.statistic), "p_value": float(test.pvalue)})
    return rows


def draw(result: dict, path: pathlib.Path) -> None:
    """Every architecture's error after n = 3 steps against that by other recipes, a panel each."""
    from matplotlib.figure import Figure

    errors, paper = result["errors"], "sgd-3"
    long_ones = [name for name in errors if name.startswith(("sgd-", "adamw-")) and not name.endswith(("-0", "-3"))]
    others = ["sgd-0", f"{paper}-seed-1", f"{paper}-seed-2", *(name for name in long_ones if "seed" not in name)]
    rho = {tuple(row["recipes"]): row["spearman"] for row in result["correlations"]}
    figure = Figure(figsize=(3.3 * len(others), 3.6), layout="constrained")
    for axes, name in zip(np.ravel(figure.subplots(1, len(others))), others):
        points = axes.scatter(errors[paper], errors[name], c=np.log10(result["parameters"]), cmap="viridis", s=30)
        found = rho.get((paper, name), rho.get((name, paper)))
        axes.set(title=f"Spearman {found:.2f}", xlabel=f"ê by {paper}, nats", ylabel=f"ê by {name}, nats")
        axes.grid(color="#e4e2de", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.colorbar(points, ax=axes, label="log10 of parameters")
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "teacher", "space", "output-dir"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (("long", 300), ("architectures", 12), ("batch-size", 16), ("seq-len", 64),
                          ("evaluation-lines", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    out = pathlib.Path(arguments.output_dir)
    out.mkdir(parents=True, exist_ok=True)
    options = SearchOptions(data=[arguments.data], output_dir=str(out), steps=arguments.long,
                            batch_size=arguments.batch_size, micro_batch_size=arguments.batch_size,
                            seq_len=arguments.seq_len, evaluation_lines=arguments.evaluation_lines, latency="flops")
    space = admit(read_space(arguments.space))
    alone = Workers()
    ctx = device_of("cpu", alone)
    checkpoint = newest_checkpoint(pathlib.Path(arguments.teacher))
    setting = Evaluator(options, space, checkpoint, pathlib.Path(arguments.data), alone, ctx)
    shape = states_shape(setting.batches, setting.teacher_architecture.hidden_size)
    place = place_of_states(shape, out, 2_000_000_000, alone)
    print(describe_states(shape, place), flush=True)
    states = run_teacher(setting.load_teacher(), setting.batches, place, alone, ctx)
    members = chosen(setting, space.architectures, arguments.architectures)
    errors = measure(setting, states, members, arguments.long, out / "errors.jsonl")
    result = {"architectures": [a.as_tuple() for a in members], "errors": errors, "correlations": correlate(errors),
              "parameters": [setting.parameters(a) for a in members], "teacher": setting.describe_t(),
              "options": {**setting.of_an_evaluation(), "space": arguments.space}, "provenance": provenance()}
    files.write_json(out / "correlation.json", result)
    draw(result, out / "correlation.png")
    for row in result["correlations"]:
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
