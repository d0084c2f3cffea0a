"""Latency of the encoders of the paper's Table 2 on this project's engines and on the peers that are installed.

    python benchmarks/latency.py [--quick] [--systems bort bert-base] [--cases 1x128 1x512] [--rounds 7] [--budget 10]

Each engine has a process of its own, all with the same number of threads; one pass of each in turn. Printed is one JSON
line a system and case (batch x tokens): median milliseconds and quartiles, the median ratio to this project's, the
speed in GFLOP/s (textbook multiply-adds, twice) and its share of the peak of a float32 matrix product measured first.

All have one vocabulary, so BERT-large's and RoBERTa-large's encoders are the same; they are measured once. A case gets
as many rounds as fit into its budget, at most --rounds, at least one: a pass of the largest takes a minute.
"""

import argparse
import json
import statistics
import time
from typing import Dict, List

from peers import THREADS, encoders, gemm
from side_by_side import SideBySide, spread

from bort_mx.architecture import PRESETS
from bort_mx.machine import cpu_name, instructions

SYSTEMS = ("bort", "tinybert-4", "bert-of-theseus", "bert-mini", "bert-small", "bert-base", "bert-large",
           "roberta-large")
"""Table 2; BERT-Mini as released, with I = 1,024."""
CASES = ("1x128", "1x512", "16x128", "16x512")
QUICK_SYSTEMS, QUICK_CASES = ("bort",), ("1x128", "1x512")
GEMM_SIZE, GEMM_REPEATS = 2048, 3
FEW, LONG = 2, 20
"""Rows of a small batch, and seconds of a round from which the small batch is warm-up enough."""


def peak_gflops(rounds: int) -> float:
    """The best speed of a float32 matrix product, in GFLOP/s."""
    with SideBySide({"gemm": (gemm, (GEMM_SIZE, GEMM_REPEATS))}) as sides:
        best = min(sides.rounds("", max(rounds, 7), warm_up=2)["gemm"])
    return 2 * GEMM_SIZE ** 3 * GEMM_REPEATS / best / 1e9


def seconds_of(sides: SideBySide, case: str, rounds: int, budget: float) -> Dict[str, List[float]]:
    """Seconds of each engine for a case, after a warm-up.

    A round of a large batch can take minutes. A small batch of the same length is run first: it makes the engines
    compile, and tells how long a round of the large one will take.
    """
    batch, length = map(int, case.split("x"))
    warm_up = 1
    if batch > FEW:
        small = sides.rounds(f"{FEW}x{length}", 1, warm_up=0)
        usual = statistics.median(values[0] for values in small.values())  # some of them have compiled as well
        warm_up = int(usual * len(small) * batch / FEW < LONG)
    return sides.rounds(case, rounds, warm_up, budget)


def measure(systems: List[str], cases: List[str], rounds: int, budget: float, peak: float) -> None:
    """Print one line for each case of an architecture, and of each system that has it."""
    begin, architecture = time.perf_counter(), PRESETS[systems[0]]
    with SideBySide(encoders(architecture.as_tuple())) as sides:
        for case in cases:
            batch, length = map(int, case.split("x"))
            seconds = seconds_of(sides, case, rounds, budget)
            ours = seconds.get("bort_mx on MXNet")
            work = 2 * batch * architecture.multiply_adds(length) / 1e9
            engines = {}
            for name, values in seconds.items():
                found = spread(values, 1e3)
                speed = work / (found["median"] / 1e3)
                engines[name] = {"ms": found, "gflops": round(speed, 1), "share_of_peak": round(speed / peak, 3)}
                if ours:
                    engines[name]["times_ours"] = spread([a / b for a, b in zip(values, ours)])["median"]
            for system in systems:
                print(json.dumps({"system": system, "case": case, "threads": THREADS, "engines": engines,
                                  "missing": sides.missing, "seconds": round(time.perf_counter() - begin, 1)},
                                 ensure_ascii=False), flush=True)
            begin = time.perf_counter()


def main() -> None:
    """Measure the peak, then every system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one system, two cases, three rounds")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, metavar="PRESET")
    parser.add_argument("--cases", nargs="+", metavar="BxS")
    parser.add_argument("--rounds", type=int, help="the most rounds of a case")
    parser.add_argument("--budget", type=float, default=10, help="seconds for the rounds of a case")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 7)
    peak = peak_gflops(rounds)
    print(json.dumps({"cpu": cpu_name(), "threads": THREADS, "instructions": instructions(),
                      "gemm_peak_gflops": round(peak, 1), "gemm": f"float32, {GEMM_SIZE} x {GEMM_SIZE}, MXNet"}),
          flush=True)
    cases = options.cases or (QUICK_CASES if options.quick else CASES)
    alike: Dict[tuple, List[str]] = {}
    for system in options.systems or (QUICK_SYSTEMS if options.quick else SYSTEMS):
        alike.setdefault(PRESETS[system].as_tuple(), []).append(system)
    for systems in alike.values():
        measure(systems, cases, rounds, options.budget, peak)


if __name__ == "__main__":
    main()
