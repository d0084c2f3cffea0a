"""JSON in corpora: lines of objects, with what is no object counted."""

from typing import Any, Dict, Iterator, Optional

from bort_mx.data.corpora.lines import lines_of
from bort_mx.data.corpora.source import Source
from bort_mx.io import strict_json


def json_lines(source: Source) -> Iterator[Dict[str, Any]]:
    """The objects of JSON lines, or of one JSON array with an object a line; what is none is dropped, and counted."""
    for line in lines_of(source):
        line = line.strip().rstrip(b",")
        if line in (b"", b"[", b"]"):
            continue
        source.take()
        record = json_object(source, line)
        if record is not None:
            yield record


def json_object(source: Source, data: bytes) -> Optional[Dict[str, Any]]:
    """An object; None, and counted, for what is none."""
    text = source.decode(data)  # where reading is strict, its error is no broken JSON
    try:
        record = strict_json.loads(text)
    except (ValueError, RecursionError):
        source.drop("broken_json")
        return None
    if not isinstance(record, dict):
        source.drop("broken_json")
        return None
    return record
