"""`bort-mx bench`: run the benchmarks one after the other, and keep what they print."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from typing import Dict, List

from bort_mx import runtime
from bort_mx.commands.last_lines import say_last
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.output import writing
from bort_mx.machine import cpu_name, instructions
from bort_mx.options import one_of, parse_options
from bort_mx.provenance import provenance

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks"
Scripts = List[List[str]]
SUITES: Dict[str, Dict[str, Scripts]] = {
    "latency": {"full": [["latency.py"]], "quick": [["latency.py", "--quick"]]},
    "training": {"full": [["training_throughput.py"]],
                 "quick": [["training_throughput.py", "--works", "MLM, Bort", "--repeats", "3"]]},
    "finetuning": {"full": [["finetune_throughput.py"]],
                   "quick": [["finetune_throughput.py", "--steps", "8", "--repeats", "2", "--tasks", "RTE"]]},
    "data": {"full": [["prepare.py"], ["loading_share.py"], ["tokenizer_speed.py"]],
             "quick": [["prepare.py", "--megabytes", "30", "--rounds", "1"], ["loading_share.py", "--shapes", "8x128",
                                                                             "--repeats", "3"],
                       ["tokenizer_speed.py", "--rounds", "3", "--paragraphs", "500"]]},
    "search": {"full": [["search_speed.py"]], "quick": [["search_speed.py", "--quick"]]},
    "scaling": {"full": [["scaling.py"]], "quick": [["scaling.py", "--steps", "15", "--rounds", "1"]]},
    "memory": {"full": [["load_large.py"]], "quick": [["load_large.py", "--architecture", "bort"]]},
}
"""The scripts of benchmarks/ and their arguments. A script prints one JSON object a line, whatever else it prints."""
NEEDS_DATA = "finetune_throughput.py"
"""The script that needs --data-dir and --vocab."""


@dataclasses.dataclass
class BenchOptions:
    """Options of `bort-mx bench`."""

    suite: str = "all"
    """Which benchmarks to run: latency, training, finetuning, data, search, scaling, memory, or all."""

    quick: bool = False
    """Run with fewer systems, repeats and data. This shows that the benchmarks run; the numbers mean little."""

    data_dir: str = "data"
    """For finetuning: folder with the official files of GLUE."""

    vocab: str = "roberta-vocabulary"
    """For finetuning: folder with RoBERTa's vocab.json and merges.txt."""

    output_dir: str = "runs/bench"
    """Folder that results.json is written into. One that is there keeps its other suites, if it is of this machine."""

    def __post_init__(self):
        one_of(self, ("all", *SUITES), "suite")


def main(argv: List[str]) -> int:
    """Run the chosen suites; 1 if one of them failed."""
    options = parse_options(BenchOptions, argv, "bort-mx bench", "Compare the speed with that of other libraries here.")
    if not FOLDER.is_dir():
        raise InputError("the benchmarks are not in this installation; run this from a checkout of the project")
    machine = {"cpu": cpu_name(), "threads": runtime.set_threads(), "instructions": instructions()}
    absent = ", ".join(name for name, there in machine["instructions"].items() if not there)
    print(f"{machine['cpu']}, {machine['threads']} threads" + (f"; the processor lacks {absent}" if absent else ""),
          flush=True)
    path = pathlib.Path(options.output_dir) / "results.json"
    results, chosen = _earlier(path, machine), [name for name in SUITES if options.suite in ("all", name)]
    for name in chosen:
        scripts = SUITES[name]["quick" if options.quick else "full"]
        results[name] = [{**run, "quick": options.quick}
                         for run in _run_suite(scripts, options.data_dir, options.vocab)]
        with writing(path.parent, "--output-dir"):  # after each suite: what has been measured is not lost
            files.write_json(path, {"machine": machine, "results": results, "provenance": provenance()})
    say_last(f"{options.output_dir}/results.json", *(["bench"] if options.quick else ["doctor"]))
    return int(any(run["exit_code"] for name in chosen for run in results[name]))


def _earlier(path: pathlib.Path, machine: Dict) -> Dict[str, List[Dict]]:
    """The suites of an earlier results.json of the same machine; none if there is no such file.

    Raises:
        InputError: the file is of something else, or of another machine.
    """
    if not path.is_file():
        return {}
    found = files.read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("results"), dict) or found.get("machine") != machine:
        raise InputError(f"{path}: not results of bench on this machine and number of threads; choose another "
                         "--output-dir")
    return found["results"]


def _run_suite(scripts: Scripts, data_dir: str, vocab: str) -> List[Dict]:
    """Run the scripts of a suite."""
    found = []
    for command in scripts:
        if command[0] != NEEDS_DATA:
            found.append(_run(command))
            continue
        lacking = [path for path in (data_dir, vocab) if not pathlib.Path(path).is_dir()]
        if lacking:
            reason = f"no folder {' and no folder '.join(lacking)}; give --data-dir and --vocab"
            print(f"benchmarks/{command[0]}: left out: {reason}", flush=True)
            found.append({"command": command, "rows": [], "exit_code": 0, "left_out": reason})
        else:
            found.append(_run([*command, "--data-dir", data_dir, "--vocab", vocab]))
    return found


def _run(command: List[str]) -> Dict:
    """Run one script, show what it prints, and keep its JSON lines."""
    print(f"benchmarks/{' '.join(command)}", flush=True)
    lines: List[str] = []
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen([sys.executable, str(FOLDER / command[0]), *command[1:]], stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONPATH": path}) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    return {"command": ["python", f"benchmarks/{command[0]}", *command[1:]], "rows": rows,
            "exit_code": process.returncode}
