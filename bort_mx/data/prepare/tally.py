"""What came in, what was kept, and what was dropped for which reason, by corpus: for the manifest and as a table."""

import collections
from typing import Counter, Dict, List, Mapping, Sequence

DOCUMENTS, DEFINITIONS = "documents_dropped_", "definitions_dropped_"


def by_corpus(names: Sequence[str], read: Mapping[str, Counter[str]], records: Sequence[dict]) -> Dict[str, dict]:
    """The counts of each corpus; in = kept + dropped, for documents and for sentences.

    Args:
        names: the corpora.
        read: of each, the counts of the first pass.
        records: of the second pass.
    """
    return {name or "data": _of_corpus(name, read[name], records) for name in names}


def _of_corpus(name: str, read: Counter[str], records: Sequence[dict]) -> dict:
    splits: Counter[str] = collections.Counter()
    tokens = 0
    for record in records:
        for split, kept in record["kept"].items():
            splits[split] += kept[name][0]
            tokens += kept[name][1]
    held_out = sum(count for split, count in splits.items() if split.startswith("held out "))
    dropped = {"too_short": read["too_short"], "without_tokens": read["without_tokens"],
               "duplicates": sum(record["duplicates"][name] for record in records)}
    return {"bytes": read["bytes_in"],
            "documents": {"in": read["documents_in"],
                          "kept": read["documents_kept"],
                          "dropped": {key[len(DOCUMENTS):]: count for key, count in sorted(read.items())
                                      if key.startswith(DOCUMENTS)}},
            "sentences": {"in": read["sentences_in"], "kept": sum(splits.values()) - held_out, "held_out": held_out,
                          "dropped": dropped},
            "definitions_too_short": read[DEFINITIONS + "too_short"], "lines_with_markup": read["lines_dropped_markup"],
            "invalid_utf8": read["invalid_utf8"], "tokens": tokens}


def table(corpora: Mapping[str, dict]) -> str:
    """The counts as lines of text, a corpus a line, and the reasons below it."""
    rows = [("corpus", "MB read", "documents in", "kept", "sentences in", "kept", "held out", "tokens")]
    for name, counts in corpora.items():
        documents, sentences = counts["documents"], counts["sentences"]
        rows.append((name, f"{counts['bytes'] / 1e6:,.1f}", *(f"{value:,}" for value in (
            documents["in"], documents["kept"], sentences["in"], sentences["kept"], sentences["held_out"],
            counts["tokens"]))))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) if place == 0 else cell.rjust(width)
                       for place, (cell, width) in enumerate(zip(row, widths))) for row in rows]
    return "\n".join([*lines, *(f"{name}, dropped: {_reasons(counts)}" for name, counts in corpora.items())])


def _reasons(counts: Mapping) -> str:
    parts: List[str] = []
    for kind in ("documents", "sentences"):
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}"
                            for reason, count in counts[kind]["dropped"].items() if count)
        if reasons:
            parts.append(f"{kind}: {reasons}")
    for name in ("definitions_too_short", "lines_with_markup", "invalid_utf8"):
        if counts[name]:
            parts.append(f"{counts[name]:,} {name.replace('_', ' ')}")
    return "; ".join(parts) or "nothing"
