"""`bort-mx reproduce`: the paper's numbers beside ours, as Markdown and as one HTML file."""

import dataclasses
import pathlib
from typing import Any, Dict, List, Optional, Sequence, Tuple

from bort_mx.commands.last_lines import say_first, say_last
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.io.output import writing
from bort_mx.machine import instructions
from bort_mx.options import one_of, parse_options
from bort_mx.provenance import provenance
from bort_mx.report import published
from bort_mx.report.findings import VERDICTS
from bort_mx.report.published import TABLES

DESCRIPTION = "Put every number of the paper beside ours: computed, measured now, or taken from finished runs."
MARKDOWN, HTML, RESULTS, NUMBERS = "reproduction.md", "reproduction.html", "results.json", "numbers.json"


@dataclasses.dataclass
class ReproduceOptions:
    """Options of `bort-mx reproduce`."""

    output_dir: str = "runs/reproduction"
    """Folder for the report: reproduction.html, reproduction.md, its figures, results.json and numbers.json, and for
    each benchmark with runs its table and submission zip. An earlier report there is replaced."""

    table: str = "all"
    """Which part: a table from 1 to 9, figure1, text (the numbers of the prose), or all."""

    runs: Optional[str] = None
    """Folder that holds the output directories of finished runs, at any depth. What they found is put beside the
    paper's numbers."""

    numbers: Optional[str] = None
    """A JSON file with other values in place of the paper's, such as an edited copy of a report's numbers.json."""

    def __post_init__(self):
        one_of(self, ("all", *TABLES), "table")
        if not self.output_dir:
            raise InputError('--output-dir "": is empty; give a folder')


SLOW = ("all", "1", "2", "text")
"""Parts for which models of full size are built and timed."""


def main(argv: List[str]) -> int:
    """Write the report; print the number of each verdict."""
    options = parse_options(ReproduceOptions, argv, "bort-mx reproduce", DESCRIPTION)
    say_first(f"computing the paper's numbers{f' and reading the runs in {options.runs}' if options.runs else ''}, for "
              f"a page in {options.output_dir}" + (", in a minute or two" if options.table in SLOW else ""))
    from bort_mx.training.finished_runs import find_runs  # MXNet is loaded only now: --help and bad options stay quick

    paper = published.read(options.numbers)
    runs, notes = find_runs(options.runs) if options.runs else ([], [])
    out = pathlib.Path(options.output_dir)
    with writing(out, "--output-dir"):
        out.mkdir(parents=True, exist_ok=True)
    counts = _write(out, paper, TABLES if options.table == "all" else (options.table,), runs, notes, options.numbers)
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS), flush=True)
    say_last(f"{out}: {HTML}, {MARKDOWN}, {RESULTS}, {NUMBERS}",
             *(["doctor"] if options.runs else ["reproduce", "--output-dir", out, "--runs", "runs"]))
    return 0


def _write(out: pathlib.Path, paper: published.Published, tables: Sequence[str], runs: Sequence[Any],
           notes: List[str], numbers: Optional[str]) -> Dict[str, int]:
    """Write all files; the number of findings with each verdict."""
    from bort_mx.finetuning.benchmark import collect_runs
    from bort_mx.report import page_figures  # loads MXNet
    from bort_mx.report.page import Page, html_page, markdown
    from bort_mx.report.sections import build_sections
    from bort_mx.report.training_cost import find_two_runs

    sections = build_sections(paper, tables, runs)
    with writing(out, "--output-dir"):
        collected = collect_runs(runs, out)
        figures = page_figures.draw(out, paper, sections, find_two_runs(runs))
        remarks = [*notes, *(f"{name}: {note}" for name, of in collected.items() for note in of["notes"])]
        page = Page(sections, figures, _facts(numbers), remarks)
        files.write_text(out / MARKDOWN, markdown(page))
        files.write_text(out / HTML, html_page(page, out))
        findings = [dataclasses.asdict(one) for section in sections for one in section.findings]
        files.write_json(out / RESULTS, {"findings": findings, "notes": remarks, "benchmarks": collected,
                                         "provenance": provenance()})
        files.write_json(out / NUMBERS, paper.records())
    return {verdict: sum(one["verdict"] == verdict for one in findings) for verdict in VERDICTS}


def _facts(numbers: Optional[str]) -> List[Tuple[str, str]]:
    """What produced the report."""
    made: Dict[str, Any] = provenance()
    from bort_mx.training.hours import device_in_words

    has = ", ".join(f"{name}: {'yes' if there else 'no'}" for name, there in instructions().items())
    return [("command", made["command"]), ("program", f"bort_mx {made['bort_mx']}, commit {made['git_commit']}"),
            ("machine", f"{device_in_words(None, 1)}; {has}"),
            ("the paper's numbers", f"from {numbers}" if numbers else "as shipped with the program")]
