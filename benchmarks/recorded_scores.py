"""What the scripts share that score checkpoints without fine-tuning, or table what they recorded."""

import argparse
import pathlib
from typing import Any, Callable, Dict, List, Optional

from bort_mx.io import files
from bort_mx.io.jsonl_log import JsonlLog
from bort_mx.provenance import provenance

RECORDS = pathlib.Path(__file__).resolve().parent.parent / "docs" / "experiments"


def rows(record: str) -> List[Dict[str, Any]]:
    """A record's lines."""
    return [row for _, row in JsonlLog(record, "delete the line", write=False).records]


def score_checkpoints(arguments: argparse.Namespace, scores: Callable[[str], Dict[str, Any]]) -> None:
    """Append a line for each of --checkpoints that the record lacks: its name, what it cost, its scores.

    Args:
        arguments: of the command line.
        scores: the path of a checkpoint → further fields of its line.
    """
    record = JsonlLog(arguments.record, "delete the line")
    done = {row["model"] for _, row in record.records}
    for entry in arguments.checkpoints:
        given, _, path = entry.rpartition("=")
        name = given or pathlib.Path(path).name
        if name in done:
            continue
        row = {"model": name, "cpu_seconds": _found(path, "cost.json", "cpu_seconds"),
               "steps": _found(path, "results.json", "steps"), **scores(path)}
        print(row, flush=True)
        record.append({**row, "commit": provenance()["git_commit"]})


def _found(path: str, name: str, field: str) -> Optional[float]:
    """A field of a run's file; None for a checkpoint that is no run."""
    place = pathlib.Path(path) / name
    return files.read_json(place)[field] if place.is_file() else None


def parser_of(documentation: str, record: str) -> argparse.ArgumentParser:
    """The options `run` or `table`, --data-dir and --record; `record` is the name of its file."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data-dir", default="../shared/data")
    parser.add_argument("--record", default=str(RECORDS / record))
    return parser


def run_or_table(arguments: argparse.Namespace, run: Callable[[argparse.Namespace], None],
                 table: Callable[[str], str]) -> None:
    """Do what the command line asks for."""
    if arguments.action == "table":
        print(table(arguments.record))
    else:
        run(arguments)


def add_checkpoints(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The option of `score_checkpoints`."""
    parser.add_argument("--checkpoints", nargs="+", default=[], help="folders, or NAME=FOLDER")
    return parser
