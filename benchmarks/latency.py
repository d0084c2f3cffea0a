"""Latency of the encoders of the paper's Table 2 on this project's engines and on the peers that are installed.

    python benchmarks/latency.py [--quick] [--systems bort bert-base] [--cases 1x128 1x512] [--rounds 7]

Each engine has a process of its own, all with the same number of threads; one pass of each in turn. Printed is one JSON
line a system and case (batch x tokens): median milliseconds and quartiles, the median ratio to this project's, the
speed in GFLOP/s (textbook multiply-adds, twice) and its share of the peak of a float32 matrix product measured first.
"""

import argparse
import json

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


def peak_gflops(rounds: int) -> float:
    """The best speed of a float32 matrix product, in GFLOP/s."""
    with SideBySide({"gemm": (gemm, (GEMM_SIZE, GEMM_REPEATS))}) as sides:
        best = min(sides.rounds("", rounds, warm_up=2)["gemm"])
    return 2 * GEMM_SIZE ** 3 * GEMM_REPEATS / best / 1e9


def measure(system: str, cases, rounds: int, peak: float) -> None:
    """Print one line for each case of a system."""
    architecture = PRESETS[system]
    with SideBySide(encoders(architecture.as_tuple())) as sides:
        for case in cases:
            batch, length = map(int, case.split("x"))
            seconds = sides.rounds(case, rounds)
            ours = seconds.get("bort_mx on MXNet")
            work = 2 * batch * architecture.multiply_adds(length) / 1e9
            engines = {}
            for name, values in seconds.items():
                found = spread(values, 1e3)
                speed = work / (found["median"] / 1e3)
                engines[name] = {"ms": found, "gflops": round(speed, 1), "share_of_peak": round(speed / peak, 3)}
                if ours:
                    engines[name]["times_ours"] = spread([a / b for a, b in zip(values, ours)])["median"]
            print(json.dumps({"system": system, "case": case, "threads": THREADS, "engines": engines,
                              "missing": sides.missing}, ensure_ascii=False), flush=True)


def main() -> None:
    """Measure the peak, then every system."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one system, two cases, three rounds")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, metavar="PRESET")
    parser.add_argument("--cases", nargs="+", metavar="BxS")
    parser.add_argument("--rounds", type=int)
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 7)
    peak = peak_gflops(rounds)
    print(json.dumps({"cpu": cpu_name(), "threads": THREADS, "instructions": instructions(),
                      "gemm_peak_gflops": round(peak, 1), "gemm": f"float32, {GEMM_SIZE} x {GEMM_SIZE}, MXNet"}),
          flush=True)
    for system in options.systems or (QUICK_SYSTEMS if options.quick else SYSTEMS):
        measure(system, options.cases or (QUICK_CASES if options.quick else CASES), rounds, peak)


if __name__ == "__main__":
    main()
