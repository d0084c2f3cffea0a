"""`bort-mx bench`: run the benchmarks one after the other, and keep what they print."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Dict, List

from bort_mx.commands.last_lines import say_last
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.options import one_of, parse_options
from bort_mx.provenance import provenance

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
SUITES: Dict[str, Dict[str, List[str]]] = {
    "training": {"full": ["training_throughput.py"], "quick": ["training_throughput.py", "--repeats", "3"]},
    "loading": {"full": ["loading_share.py"], "quick": ["loading_share.py", "--repeats", "3"]},
    "prepare": {"full": ["prepare.py"], "quick": ["prepare.py", "--megabytes", "30"]},
}
"""The scripts of benchmarks/ and their arguments. A script prints one JSON object a line, whatever else it prints."""


@dataclasses.dataclass
class BenchOptions:
    """Options of `bort-mx bench`."""

    suite: str = "all"
    """Which benchmarks to run: training, loading, prepare, or all."""

    quick: bool = False
    """Run with fewer repeats and less data. This shows that the benchmarks run; the numbers mean little."""

    output_dir: str = "runs/bench"
    """Folder that results.json is written into."""

    def __post_init__(self):
        one_of(self, ("all", *SUITES), "suite")


def main(argv: List[str]) -> int:
    """Run the chosen suites; 1 if one of them failed."""
    options = parse_options(BenchOptions, argv, "bort-mx bench", "Compare the speed with PyTorch's on this machine.")
    if not FOLDER.is_dir():
        raise InputError("the benchmarks are not in this installation; run this from a checkout of the project")
    results = {name: _run(SUITES[name]["quick" if options.quick else "full"])
               for name in SUITES if options.suite in ("all", name)}
    found = {"results": results, "provenance": provenance()}
    files.write_json(pathlib.Path(options.output_dir) / "results.json", found)
    say_last(f"{options.output_dir}/results.json", *(["bench"] if options.quick else ["doctor"]))
    return int(any(result["exit_code"] for result in results.values()))


def _run(command: List[str]) -> Dict:
    """Run one script, show what it prints, and keep its JSON lines."""
    print(f"benchmarks/{' '.join(command)}", flush=True)
    lines: List[str] = []
    with subprocess.Popen([sys.executable, str(FOLDER / command[0]), *command[1:]], stdout=subprocess.PIPE,
                          text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return {"command": ["python", f"benchmarks/{command[0]}", *command[1:]], "rows": rows,
            "exit_code": process.returncode}
