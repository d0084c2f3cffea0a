"""Write the tables of docs/benchmarks.md and docs/reproduce.md, and README.md's line, from what `bort-mx bench` wrote.

    python tools/bench_tables.py [--check] [RESULTS.json]

RESULTS.json is docs/experiments/bench.json unless given; a run's results.json replaces that file. The tables stand
between `<!-- bench: NAME -->` and `<!-- end of bench -->`. It may have some of the suites only: the others' tables say
that nothing is measured. With --check nothing is written; the exit code is 1 if a document does not match.
"""

import json
import pathlib
import re
import sys
from typing import Any, Callable, Dict, Iterable, List, Sequence

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import predict_hours  # noqa: E402

from bort_mx.provenance import without_folders  # noqa: E402

KEPT = ROOT / "docs" / "experiments" / "bench.json"
DOCUMENTS = (ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "reproduce.md", ROOT / "README.md")
BLOCK = re.compile(r"(<!-- bench: ([\w-]+) -->\n)(.*?)(<!-- end of bench -->)", re.DOTALL)
Rows = List[Dict[str, Any]]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; without rows, a sentence."""
    if not rows:
        return "Not measured yet.\n"
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def rows_of(found: Dict, suite: str) -> Rows:
    """The JSON objects of a suite; none if it has not run."""
    return [row for run in found["results"].get(suite, []) for row in run["rows"]]


def left_out(missing: Iterable[str]) -> str:
    """A line for each peer that was left out, with the reason."""
    return "".join(f"\nLeft out: {line}.\n" for line in sorted(missing))


def with_spread(value: Dict[str, Any]) -> str:
    """Median (quartiles)."""
    low, high = value["quartiles"]
    if value["rounds"] == 1:
        return f"{value['median']:g} (one)"
    return f"{value['median']:g} ({low:g}–{high:g})"


def machine(found: Dict) -> str:
    """The machine, in a sentence."""
    of = found["machine"]
    lacking = [name for name, there in of["instructions"].items() if not there]
    peak = next((row["gemm_peak_gflops"] for row in rows_of(found, "latency") if "gemm_peak_gflops" in row), None)
    threads = f"{of['threads']} thread{'s' if of['threads'] > 1 else ''}"
    words = f"{of['cpu']}, {threads}" + (f", without {', '.join(lacking)}" if lacking else "")
    words += f"; float32 matrix product {peak:g} GFLOP/s" if peak else ""
    few = [suite for suite, runs in found["results"].items() if any(run.get("quick") for run in runs)]
    quick = f"\nFrom `--quick` runs, of few rounds and systems: {', '.join(few)}." if few else ""
    commits = sorted({(run.get("git_commit") or found["provenance"].get("git_commit") or "unknown")[:12]
                      for runs in found["results"].values() for run in runs})
    return (f"{words}. Commit {', '.join(commits)}; medians, quartiles in brackets; \"one\": a single round, where one "
            f"takes long.{quick}\n")


def latency(found: Dict) -> str:
    """All systems and cases: milliseconds of every engine, and the share of the peak that ours reaches."""
    measured = [row for row in rows_of(found, "latency") if "engines" in row]
    engines = list(dict.fromkeys(name for row in measured for name in row["engines"]))
    body = [[row["system"], row["case"],
             *(with_spread(row["engines"][name]["ms"]) if name in row["engines"] else "–" for name in engines),
             f"{row['engines'].get('bort_mx on MXNet', {}).get('share_of_peak', 0):.0%}"] for row in measured]
    missing = {f"{name}: {why}" for row in measured for name, why in row["missing"].items()}
    header = ["system", "batch x tokens", *(f"{name}, ms" for name in engines), "of the peak, MXNet"]
    return table(header, body) + left_out(missing)


def training(found: Dict) -> str:
    """Tokens a second of the training steps, and the ratios."""
    body = [[row["work"], row["shape"], name, f"{speed:g}",
             with_spread(row["ratio"][name]) if name in row["ratio"] else "1"]
            for row in rows_of(found, "training") for name, speed in row["tokens_per_s"].items()]
    missing = {f"{name}: {why}" for row in rows_of(found, "training") for name, why in row["missing"].items()}
    return table(["work", "sequences x tokens", "step", "tokens/s", "its time / ours"], body) + left_out(missing)


def data(found: Dict) -> str:
    """Tokenizing, preparing, loading."""
    body: List[List[Any]] = []
    for row in rows_of(found, "data"):
        for name, speed in row.get("megabytes_per_s", {}).items():
            body.append([f"tokenize {row['megabytes']} MB, {name}", f"{with_spread(speed)} MB/s"])
        if "prepare_mb_s" in row:
            # All words of a short text are soon remembered, so this is more than corpora allow.
            body.append([f"prepare {row['megabytes']:g} MB, a short text repeated, on {row['cores']} cores",
                         f"{row['prepare_mb_s']:g} MB/s, {row['ratio']:g} times the speed of the bare tokenizer; real "
                         "text: [corpora.md](experiments/corpora.md)"])
        if "share_percent" in row:
            body.append([f"load and mask {row['shape']}", f"{row['share_percent']:g} % of a training step"])
    missing = {f"{name}: {why}" for row in rows_of(found, "data") for name, why in row.get("missing", {}).items()}
    return table(["work", "measured"], body) + left_out(missing)


def others(found: Dict) -> str:
    """Search, scaling, memory and fine-tuning."""
    body: List[List[Any]] = []
    for row in rows_of(found, "search"):
        body.append([f"search of {row['candidates']} candidates, seconds by phase",
                     ", ".join(f"{name} {seconds:g}" for name, seconds in row["phases_s"].items())])
    for row in rows_of(found, "scaling"):
        if "share_of_twice_one" in row:
            body.append(["two workers, share of twice one worker's tokens/s", with_spread(row["share_of_twice_one"])])
            body.append(["two workers of one thread, speed over one of two threads",
                         with_spread(row["over_one_of_two_threads"])])
            body.append(["two workers of one thread, speed over two runs at once without Horovod",
                         with_spread(row["over_two_runs_at_once"])])
    for row in rows_of(found, "memory"):
        body.append([f"load a checkpoint of {row['architecture']}, {row['file_bytes'] / 1e9:.2f} GB",
                     f"{row['load_s']:.1f} s, peak memory {row['peak_over_file']:.2f} times the file"])
    for row in rows_of(found, "finetuning"):
        shape = f"⟨{','.join(map(str, row['architecture']))}⟩"
        body.append([f"fine-tuning {shape} on {row['task']}, examples a second", f"{row['bort_mx_examples_per_s']:g}"])
        if "ratio_median" in row:
            peer = "Trainer with batches by length" if row["tuned_peer"] else "Trainer as it comes"
            body.append([f"fine-tuning {shape} on {row['task']}, time of transformers' {peer} / ours",
                         f"{row['ratio_median']:g} ({row['ratio_quartiles'][0]:g}–{row['ratio_quartiles'][1]:g})"])
    missing = {f"{name}: {why}" for suite in ("scaling", "finetuning") for row in rows_of(found, suite)
               for name, why in row.get("missing", {}).items()}
    missing |= {f"benchmarks/{run['command'][0]}: {run['left_out']}" for runs in found["results"].values()
                for run in runs if "left_out" in run}
    return table(["work", "measured"], body) + left_out(missing)


def summary(found: Dict) -> str:
    """README's line on speed; "" if the training suite has not run in full beside transformers."""
    for run in found["results"].get("training", []):
        for row in run["rows"]:
            medians = {name: ratio["median"] for name, ratio in row["ratio"].items()}
            stock, gathered = medians.get("transformers, stock"), [
                median for name, median in medians.items() if name.startswith("transformers, gathered")]
            known = (row["work"], row["shape"]) == ("MLM, Bort", "8x128") and stock and gathered
            if known and not run.get("quick"):
                return (f"- A training step at Bort's size is {stock:.1f} times as fast as transformers' on PyTorch as "
                        f"it comes, and {min(gathered):.2f}\n  times as fast as the best that computes masked "
                        "positions only.\n")
    return ""


TABLES: Dict[str, Callable[[Dict], str]] = {"machine": machine, "latency": latency, "training": training, "data": data,
                                            "others": others, "summary": summary,
                                            "predicted": predict_hours.predicted}


def filled(text: str, found: Dict) -> str:
    """A document with its tables written anew; a block that comes out empty is left as it stands."""
    return BLOCK.sub(lambda match: f"{match[1]}{TABLES[match[2]](found) or match[3]}{match[4]}", text)


def main(arguments: List[str]) -> int:
    """Write the documents, or compare them."""
    check, paths = "--check" in arguments, [pathlib.Path(a) for a in arguments if a != "--check"]
    found = json.loads((paths or [KEPT])[0].read_text(encoding="utf-8"))
    stale = [path for path in DOCUMENTS if filled(path.read_text(encoding="utf-8"), found)
             != path.read_text(encoding="utf-8")]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)}: does not match {KEPT.relative_to(ROOT)}; run tools/bench_tables.py")
        return int(bool(stale))
    if paths:
        KEPT.write_text(json.dumps(without_folders(found), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for path in stale:
        path.write_text(filled(path.read_text(encoding="utf-8"), found), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
