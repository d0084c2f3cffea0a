"""`bort-mx bench`: say how long it will take, run the benchmarks one after the other, and keep what they print."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time
from typing import Dict, List, Literal, Optional, Sequence

from bort_mx import runtime
from bort_mx.commands.last_lines import say_last
from bort_mx.data.tokenizers.places import vocabulary_place
from bort_mx.durations import in_words
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
    "training": {"full": [["training_throughput.py"]], "quick": [["training_throughput.py", "--quick"]]},
    "finetuning": {"full": [["finetune_throughput.py", "--tuned-peer", "--steps", "30", "--repeats", "3",
                             "--architecture", of] for of in ("4,8,1024,768", "6,12,384,1536")],
                   "quick": [["finetune_throughput.py", "--tuned-peer", "--steps", "4", "--repeats", "2", "--tasks",
                              "RTE"]]},
    "data": {"full": [["prepare.py", "--megabytes", "100"], ["loading_share.py"], ["tokenizer_speed.py"]],
             "quick": [["prepare.py", "--megabytes", "10", "--rounds", "1"], ["loading_share.py", "--shapes", "8x128",
                                                                             "--repeats", "3"],
                       ["tokenizer_speed.py", "--rounds", "3", "--paragraphs", "500"]]},
    "search": {"full": [["search_speed.py"]], "quick": [["search_speed.py", "--quick"]]},
    "scaling": {"full": [["scaling.py"]], "quick": [["scaling.py", "--steps", "15", "--rounds", "1"]]},
    "memory": {"full": [["load_large.py"]], "quick": [["load_large.py", "--architecture", "bort"]]},
}
"""The scripts of benchmarks/ and their arguments. A script prints one JSON object a line, whatever else it prints."""
MINUTES = {"full": {"latency": 30.0, "training": 11.0, "finetuning": 11.0, "data": 3.0, "search": 1.0, "scaling": 8.0,
                    "memory": 0.5},
           "quick": {"latency": 1.0, "training": 1.0, "finetuning": 0.7, "data": 1.0, "search": 0.4, "scaling": 1.0,
                     "memory": 0.2}}
"""About how long the suites take with all peers, estimated from their passes and rounds: two cores of an AMD EPYC, on
which a matrix product reaches `REFERENCE` GFLOP/s."""
REFERENCE = 140.0
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
    """For finetuning: folder with RoBERTa's vocab.json and merges.txt, or the name of such a model on the Hub."""

    output_dir: str = "runs/bench"
    """Folder that results.json is written into. One that is there keeps its other suites, if it is of this machine."""

    resume: Literal["never", "auto"] = "never"
    """auto: leave out the suites that results.json has already, with the same --quick and of
    the same commit."""

    def __post_init__(self):
        one_of(self, ("all", *SUITES), "suite")
        one_of(self, ("never", "auto"), "resume")


def main(argv: List[str]) -> int:
    """Run the chosen suites; 1 if one of them failed."""
    options = parse_options(BenchOptions, argv, "bort-mx bench", "Compare the speed with that of other libraries here.")
    if not FOLDER.is_dir():
        raise InputError("the benchmarks are not in this installation; run this from a checkout of the project")
    machine = {"cpu": cpu_name(), "threads": runtime.set_threads(), "instructions": instructions()}
    absent = ", ".join(name for name, there in machine["instructions"].items() if not there)
    print(f"{machine['cpu']}, {machine['threads']} threads" + (f"; the processor lacks {absent}" if absent else ""),
          flush=True)
    # The default is a folder's name, which is not looked for on the Hub.
    vocab = options.vocab if options.vocab == BenchOptions.vocab else str(vocabulary_place(options.vocab))
    path = pathlib.Path(options.output_dir) / "results.json"
    results, chosen = _earlier(path, machine), [name for name in SUITES if options.suite in ("all", name)]
    size, produced, failures = "quick" if options.quick else "full", provenance(), []
    if options.resume == "auto":
        there = [name for name in chosen if _is_whole(results.get(name), options.quick, produced["git_commit"])]
        chosen = [name for name in chosen if name not in there]
        print(f"--resume auto: {path} has {', '.join(there) or 'none of them'} already", flush=True)
    print(forecast(size, chosen, product_gflops()), flush=True)
    for number, name in enumerate(chosen, 1):
        print(f"suite {number} of {len(chosen)}: {name}", flush=True)
        begin = time.monotonic()
        runs = _run_suite(SUITES[name][size], options.data_dir, vocab)
        print(f"{name} took {in_words(time.monotonic() - begin)}", flush=True)
        failed = [run["command"][1] for run in runs if run["exit_code"]]
        failures += failed
        results = _earlier(path, machine)  # once more: another bench may have written other suites meanwhile
        if failed and not any(run["exit_code"] for run in results.get(name, [{"exit_code": 1}])):
            print(f"{', '.join(failed)} failed; the earlier results of {name} are kept", flush=True)
            continue
        results[name] = [{**run, "quick": options.quick, "git_commit": produced["git_commit"]} for run in runs]
        results = {one: results[one] for one in SUITES if one in results}  # in one order, whichever ran first
        with writing(path.parent, "--output-dir"):  # after each suite: what has been measured is not lost
            files.write_json(path, {"machine": machine, "results": results, "provenance": produced})
    say_last(f"{options.output_dir}/results.json", *(["bench"] if options.quick else ["doctor"]))
    return int(bool(failures))


def product_gflops(size: int = 1024, repeats: int = 5) -> float:
    """The best speed of NumPy's float32 matrix product here, which tells roughly how fast the machine is."""
    import numpy as np  # once the number of threads is set

    matrix = np.ones((size, size), np.float32)
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - begin)
    return 2e-9 * size ** 3 / min(seconds)


def forecast(size: str, suites: Sequence[str], gflops: float) -> str:
    """How long suites will take on a machine of this speed, in words.

    Args:
        size: "full" or "quick".
        suites: names of `SUITES`.
        gflops: the speed of a matrix product.
    """
    seconds = {name: 60 * MINUTES[size][name] * REFERENCE / gflops for name in suites}
    parts = ", ".join(f"{name} {in_words(of)}" for name, of in seconds.items())
    return (f"forecast, from a matrix product at {gflops:.0f} GFLOP/s: about {in_words(sum(seconds.values()))}"
            + (f" ({parts})" if len(suites) > 1 else ""))


def _is_whole(suite: Optional[List[Dict]], quick: bool, commit: str) -> bool:
    """Whether a suite of results.json need not be run again: it is whole, and of this commit."""
    return bool(suite) and all((run["exit_code"], run["quick"], run.get("git_commit")) == (0, quick, commit)
                               for run in suite)


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
    rows = [json.loads(line) for line in lines if line.startswith('{"')]  # "{'" is a dictionary that a peer prints
    return {"command": ["python", f"benchmarks/{command[0]}", *command[1:]], "rows": rows,
            "exit_code": process.returncode}
