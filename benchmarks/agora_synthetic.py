"""Does Agora's mechanism do anything? A synthetic problem whose truth is known; some minutes on one core.

    python benchmarks/agora_synthetic.py [--seeds 30] [--output-dir runs/agora-synthetic]

The learner is an RBF support vector machine, theta = (C, gamma); the points lie in the unit square; tau draws points
near the mistakes. Every variant is measured on 2,000 held-out points that nothing else sees.
"""

import argparse
import dataclasses
import os
import pathlib
import time
from typing import Any, Callable, Dict, List, Tuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
from sklearn.svm import SVC  # noqa: E402

from bort_mx.agora.enumeration import enumerate_thetas  # noqa: E402
from bort_mx.agora.perturbation import Perturbed  # noqa: E402
from bort_mx.finetuning import agora  # noqa: E402
from bort_mx.io.files import atomic_path, write_json  # noqa: E402
from bort_mx.random import generator  # noqa: E402

THETAS = [(c, gamma) for c in (0.5, 5.0, 50.0) for gamma in (3.0, 20.0, 120.0)]
Point = Tuple[Tuple[float, float], int]


@dataclasses.dataclass(frozen=True)
class Variant:
    """One problem."""

    name: str
    boundary: str = "checkerboard"
    """ "checkerboard" of 4 x 4 fields, or "line"."""
    train: int = 40
    dev: int = 200
    noise: float = 0.0
    """Part of the labels of train, dev and test that are wrong; Socrates is right all the same."""
    socrates: float = 1.0
    """Socrates' accuracy; its errors are fixed, a function of the point."""
    dev_corner: bool = False
    """Dev covers only the lower left quarter: it is not representative."""
    expected: str = ""


VARIANTS = (
    Variant("few points", expected="Agora beats enumeration: 40 points cannot show 16 fields, the mistakes say where"),
    Variant("Socrates 0.8", socrates=0.8, expected="the gain shrinks, but stays"),
    Variant("many points", train=400, expected="little to gain: the data show the fields already"),
    Variant("many points, Socrates 0.7", train=400, socrates=0.7,
            expected="it harms: near the mistakes, where the student is nearly right, the teacher is worse than he"),
    Variant("straight line", boundary="line", expected="little to gain: the model class fits at once"),
    Variant("noisy labels", train=200, noise=0.2, expected="no gain: the mistakes are noise, not ignorance"),
    Variant("dev in a corner", dev_corner=True, expected="gain in that corner only, small on the whole square"),
)


class Problem:
    """The data of a variant and seed, and the functions that Agora is given."""

    def __init__(self, variant: Variant, seed: int):
        self.variant, self.seed = variant, seed
        self.train_points = self.draw("train", variant.train)
        self.dev = self.draw("dev", variant.dev, 0.5 if variant.dev_corner else 1.0)
        self.test = self.draw("test", 2000)

    def draw(self, name: str, count: int, side: float = 1.0) -> List[Point]:
        """`count` points, uniform in the square of that side, with their labels and the variant's noise."""
        rng = generator(self.seed, f"synthetic {name}")
        x = side * rng.random((count, 2))  # (count, 2)
        flipped = rng.random(count) < self.variant.noise
        return [(tuple(p), int(y)) for p, y in zip(x.tolist(), self.truth(x) ^ flipped)]

    def truth(self, x: np.ndarray) -> np.ndarray:
        """The right labels, (n,)."""
        if self.variant.boundary == "line":
            return (x[:, 0] + 0.7 * x[:, 1] > 0.85).astype(int)
        return np.floor(4 * x).astype(int).sum(axis=1) % 2

    def socrates(self, inputs: List[Tuple[float, float]]) -> List[int]:
        """Labels that are right with the variant's probability; a point always gets the same one."""
        x = np.array(inputs)
        odd = np.modf(np.abs(np.sin(x @ np.array([12.9898, 78.233])) * 43758.5453))[0] >= self.variant.socrates
        return (self.truth(x) ^ odd).tolist()

    def train(self, theta: Tuple[float, float], data: List[Point]) -> Tuple[SVC, float]:
        """Timaeus with hyperparameters (C, gamma), and its accuracy on dev."""
        model = SVC(C=theta[0], gamma=theta[1]).fit([x for x, _ in data], [y for _, y in data])
        return model, self.accuracy(model, self.dev)

    @staticmethod
    def accuracy(model: SVC, labelled: List[Point]) -> float:
        """Share of the points that the model labels right."""
        return float(np.mean(model.predict([x for x, _ in labelled]) == [y for _, y in labelled]))

    def mistakes(self, model: SVC) -> List[Point]:
        """The points of dev that the model labels wrong."""
        wrong = model.predict([x for x, _ in self.dev]) != [y for _, y in self.dev]
        return [point for point, bad in zip(self.dev, wrong) if bad]

    def any_dev(self, model: SVC) -> List[Point]:
        """The control: as many dev points as there are mistakes, but drawn from all of dev."""
        rng = generator(self.seed, "synthetic control", int(model.n_support_.sum()))
        return [self.dev[i] for i in rng.choice(len(self.dev), size=len(self.mistakes(model)), replace=False)]


def near(examples: List[Point], rng: np.random.Generator) -> List[Perturbed]:
    """Tau: two points near each one, 0.03 away in the mean along each axis, inside the square."""
    x = np.repeat(np.array([x for x, _ in examples]), 2, axis=0)  # (2n, 2)
    moved = np.clip(x + 0.03 * rng.standard_normal(x.shape), 0, 1 - 1e-9)
    return [Perturbed(tuple(p), i // 2) for i, p in enumerate(moved.tolist())]


def compare(variant: Variant, seed: int) -> Dict[str, Any]:
    """Test (and dev) accuracy of enumeration, Agora, Agora with the other pruning, and the control."""
    problem = Problem(variant, seed)
    _, model, accuracy = enumerate_thetas(THETAS, problem.train, problem.train_points)
    row: Dict[str, Any] = {"enumeration": problem.accuracy(model, problem.test), "enumeration dev": accuracy}
    runs: Dict[str, Tuple[Callable, str]] = {"Agora": (problem.mistakes, "lcs"), "worst": (problem.mistakes, "worst"),
                                             "control": (problem.any_dev, "worst")}
    for name, (mistakes, strategy) in runs.items():
        result = agora(THETAS, problem.train, mistakes, near, problem.socrates, problem.train_points, strategy,
                       dev=problem.dev, balance=False, seed=seed, socrates_minimum=0)
        row.update({name: problem.accuracy(result.best_model, problem.test), f"{name} dev": result.best_accuracy,
                    f"{name} points": len(result.origins), f"{name} trainings": result.trainings})
    return row


def main() -> None:
    """Run every variant on every seed and write the table, the numbers and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=30, help="seeds 0 to N - 1")
    parser.add_argument("--output-dir", type=pathlib.Path, default=pathlib.Path("runs/agora-synthetic"))
    options = parser.parse_args()
    start, rows = time.perf_counter(), {}
    for variant in VARIANTS:
        rows[variant.name] = [compare(variant, seed) for seed in range(options.seeds)]
        print(_line(variant.name, rows[variant.name]), flush=True)
    write_json(options.output_dir / "agora-synthetic.json", rows)
    draw(rows, options.output_dir / "agora-synthetic.png")
    print(f"{time.perf_counter() - start:.0f} s")


def _line(name: str, rows: List[Dict[str, Any]]) -> str:
    """A row of the table: mean test accuracies in %, the mean gain with its standard error, and how often it is one."""
    mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
    cells = [f"{100 * mean[key]:.1f}" for key in ("enumeration", "Agora", "worst", "control")]
    for key in ("Agora", "worst"):
        gain = 100 * np.array([row[key] - row["enumeration"] for row in rows])
        cells.append(f"{gain.mean():+.1f} ± {gain.std(ddof=1) / len(gain) ** 0.5:.1f} ({int((gain > 0).sum())}/"
                     f"{int((gain < 0).sum())})")
    cells += [f"{100 * (mean['worst dev'] - mean['enumeration dev']):+.1f}"]
    cells += [f"{mean[f'{key} points']:.0f}, {mean[f'{key} trainings']:.0f}" for key in ("Agora", "worst", "control")]
    return f"| {name} | " + " | ".join(cells) + " |"


def draw(rows: Dict[str, List[Dict[str, Any]]], path: pathlib.Path) -> None:
    """One panel a variant: every seed's test accuracy by each method, lines joining the same seed."""
    from matplotlib.figure import Figure

    methods = {"enumeration": "enumer-\nation", "Agora": "Agora\nlcs", "worst": "Agora\nworst", "control": "control"}
    colours = ("#8a8780", "#2a6f97", "#3f9b8a", "#e0a030")
    figure = Figure(figsize=(14, 7), layout="constrained")
    panels = list(figure.subplots(2, 4).flat)
    for axes in panels[len(rows):]:
        axes.set_axis_off()
    for axes, (name, values) in zip(panels, rows.items()):
        table = 100 * np.array([[row[method] for method in methods] for row in values])  # (seeds, methods)
        axes.plot(range(len(methods)), table.T, color="#c9c6c0", linewidth=0.6, zorder=1)
        for i, colour in enumerate(colours):
            axes.scatter(np.full(len(table), i), table[:, i], color=colour, s=16, alpha=0.75, linewidths=0, zorder=2)
            axes.plot([i - 0.28, i + 0.28], [table[:, i].mean()] * 2, color=colour, linewidth=3, zorder=3)
        axes.set_title("{}\nmean {:.1f} → {:.1f} (lcs), {:.1f} (worst)".format(name, *table.mean(axis=0)[:3]),
                       fontsize=10, loc="left")
        axes.set_xticks(range(len(methods)), list(methods.values()), fontsize=9)
        axes.set_ylabel("held-out accuracy, %", fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eceae6", linewidth=0.8)
        axes.set_axisbelow(True)
    figure.suptitle(f"Agora on a synthetic problem, {len(next(iter(rows.values())))} seeds each", fontsize=12)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
