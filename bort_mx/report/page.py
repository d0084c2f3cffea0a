"""The report as Markdown and as one HTML file that needs no other."""

import base64
import dataclasses
import html
import pathlib
import string
from typing import Dict, List, Mapping, Sequence, Tuple

from bort_mx.report.findings import FAILS, HOLDS, NOT_RUN, READING, VERDICTS, Finding, shown
from bort_mx.report.sections import Section

TITLE = "The paper's numbers beside ours"
MEANING = {
    HOLDS: "Our value is the printed one: it rounds to the printed digits, or lies within a tolerance that is stated.",
    READING: "It is the printed one only if the paper is read in a way that the line states.",
    FAILS: "It is not, under any reading that we know; the line says why.",
    NOT_RUN: "Nobody here has run what the number needs, or only at another setting or on another machine. A value of "
             "ours may stand beside it, but decides nothing. The line has the command.",
}
STYLES = {HOLDS: "holds", READING: "reading", FAILS: "fails", NOT_RUN: "notrun"}


@dataclasses.dataclass(frozen=True)
class Page:
    """All that the report shows."""

    sections: Sequence[Section]
    figures: Mapping[str, Sequence[str]]
    """table → files beside the report."""
    facts: Sequence[Tuple[str, str]]
    """What produced it: names and values."""
    notes: Sequence[str]
    """Remarks about the runs."""

    def counts(self) -> Dict[str, Dict[str, int]]:
        """Title → verdict → number of findings."""
        return {section.title: {verdict: sum(one.verdict == verdict for one in section.findings)
                                for verdict in VERDICTS} for section in self.sections}


# -- Markdown --------------------------------------------------------------------------------------------------------


def markdown(page: Page) -> str:
    """The report as Markdown."""
    lines = [f"# {TITLE}", "", *(f"- {name}: {value}" for name, value in page.facts), "",
             *(f"- **{verdict}**: {meaning}" for verdict, meaning in MEANING.items()), ""]
    lines += [*_rows([["", *VERDICTS], *_counts(page)]), ""]
    for section in page.sections:
        lines += [f"## {section.title}", "", section.introduction, ""]
        lines += [f"![{section.title}]({name})\n" for name in page.figures.get(section.table, ())]
        if section.matrix is not None:
            lines += [*_rows(section.matrix), "", *_below_matrix(section), ""]
        lines += [*_rows([["number", "the paper", "ours", "how ours was obtained", "verdict", "remarks"],
                          *(_cells(one) for one in section.listed())]), ""]
        lines += _commands(section.unlisted())
    if page.notes:
        lines += ["## About the runs", "", *(f"- {note}" for note in page.notes), ""]
    return "\n".join(lines)


def _counts(page: Page) -> List[List[str]]:
    counts = page.counts()
    total = {verdict: sum(of[verdict] for of in counts.values()) for verdict in VERDICTS}
    return [[title, *(str(of[verdict]) for verdict in VERDICTS)] for title, of in [*counts.items(), ("all", total)]]


def _cells(one: Finding) -> List[str]:
    remark = " ".join([one.note, f"`{one.command}`" if one.command else ""]).strip()
    return [f"{one.row}: {one.column}", shown(one.paper), one.ours or "–", one.how, one.verdict, remark]


def _below_matrix(section: Section) -> List[str]:
    count = len(section.unlisted())
    starred = any("*" in cell for row in section.matrix for cell in row)
    lines = ["\\* not at the paper's setting, so it decides nothing. "] if starred else []
    if count:
        lines.append(f"The paper copies the {count} figures of the other systems from leaderboards. They are not run.")
    return lines


def _commands(findings: Sequence[Finding]) -> List[str]:
    commands = list(dict.fromkeys(one.command for one in findings if one.command))
    lines = ["The commands for the other systems:", "", *(f"    {command}" for command in commands), ""]
    return lines if commands else []


def _rows(rows: Sequence[Sequence[str]]) -> List[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (cells[0], ["---"] * len(cells[0]), *cells[1:])]


# -- HTML --------------------------------------------------------------------------------------------------------------


def html_page(page: Page, folder: pathlib.Path) -> str:
    """The report as one HTML file; the figures are in it.

    Args:
        page: what to show.
        folder: where the figures' files are.
    """
    template = string.Template(pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    facts = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in page.facts)
    meanings = "".join(f"<p>{_badge(verdict)} {_text(meaning)}</p>" for verdict, meaning in MEANING.items())
    notes = "".join(f"<li>{_text(note)}</li>" for note in page.notes)
    return template.substitute(
        title=TITLE, facts=facts, meanings=meanings, summary=_summary(page),
        sections="".join(_section(section, page.figures.get(section.table, ()), folder) for section in page.sections),
        notes=f"<section><h2>About the runs</h2><ul>{notes}</ul></section>" if notes else "")


def _summary(page: Page) -> str:
    head = "".join(f"<th>{_badge(verdict)}</th>" for verdict in VERDICTS)
    anchors = [f'<a href="#{_anchor(section.table)}">{_text(section.title)}</a>' for section in page.sections]
    rows = "".join(f"<tr><th>{name}</th>{''.join(f'<td>{count or chr(183)}</td>' for count in map(int, row[1:]))}</tr>"
                   for name, row in zip([*anchors, "all"], _counts(page)))
    return f'<table class="summary"><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _section(section: Section, figures: Sequence[str], folder: pathlib.Path) -> str:
    parts = [f'<section id="{_anchor(section.table)}"><h2>{_text(section.title)}</h2>',
             f"<p>{_text(section.introduction)}</p>", *(_figure(folder / name, section.title) for name in figures)]
    if section.matrix is not None:
        below = (f"<p>{_text(line.lstrip(chr(92)))}</p>" for line in _below_matrix(section))
        parts += [_matrix(section.matrix), *below, _other_commands(section.unlisted())]
    rows = "".join(_row(one) for one in section.listed())
    parts.append('<table class="findings"><thead><tr><th>number</th><th>the paper</th><th>ours</th>'
                 f"<th>how, and remarks</th><th>verdict</th></tr></thead><tbody>{rows}</tbody></table></section>")
    return "".join(parts)


def _row(one: Finding) -> str:
    remark = f'<div class="remark">{_text(one.note)}</div>' if one.note else ""
    command = (f"<details><summary>the command</summary><code>{_text(one.command)}</code></details>" if one.command
               else "")
    number = f'<b>{_text(one.row)}</b><div class="column">{_text(one.column)}</div>'
    return (f'<tr class="{STYLES[one.verdict]}"><td>{number}</td>'
            f"<td>{_text(shown(one.paper))}</td><td>{_text(one.ours or '–')}</td>"
            f"<td>{_text(one.how)}{remark}{command}</td><td>{_badge(one.verdict)}</td></tr>")


def _matrix(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr><th>{_text(row[0])}</th>{''.join(f'<td>{_text(cell)}</td>' for cell in row[1:])}</tr>"
                   for row in rows[1:])
    return f'<table class="matrix"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _other_commands(findings: Sequence[Finding]) -> str:
    commands = "<br>".join(_text(c) for c in dict.fromkeys(one.command for one in findings if one.command))
    return f"<details><summary>the commands for the other systems</summary><code>{commands}</code></details>"


def _figure(path: pathlib.Path, title: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<img alt="{_text(title)}" src="data:image/png;base64,{data}">'


def _badge(verdict: str) -> str:
    return f'<span class="badge {STYLES[verdict]}">{verdict}</span>'


def _anchor(table: str) -> str:
    return f"table{table}" if table.isdigit() else table


def _text(value: str) -> str:
    return html.escape(str(value))
