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
    """The options `run` or `table`, --data-dir and --record; `record` is the name of the committed file."""
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["run", "table"])
    parser.add_argument("--data-dir", default="../shared/data")
    add_record(parser, RECORDS / record)
    return parser


def add_record(parser: argparse.ArgumentParser, committed: pathlib.Path) -> None:
    """The option --record, without which the committed file is read; what runs must be given a file to append to."""
    parser.add_argument("--record", help=f"default, to read only: {committed.name} of docs/experiments")
    parser.set_defaults(committed=str(committed))


def parse_with_record(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments; exits with 2 if the action is `run` and no --record is given."""
    arguments = parser.parse_args()
    if arguments.action == "run" and arguments.record is None:
        own = f"runs/students/{pathlib.Path(arguments.committed).name}"
        parser.error(f"run appends to a record; name a file of your own, such as --record {own}")
    arguments.record = arguments.record or arguments.committed
    return arguments


def run_or_table(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None],
                 table: Callable[[str], str]) -> None:
    """Do what the command line asks for."""
    arguments = parse_with_record(parser)
    if arguments.action == "table":
        print(table(arguments.record))
    else:
        run(arguments)


def add_checkpoints(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The option of `score_checkpoints`."""
    parser.add_argument("--checkpoints", nargs="+", default=[], help="folders, or NAME=FOLDER")
    return parser
