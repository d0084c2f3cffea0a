"""Seeded damage to a file: bytes, JSON values, and lines of YAML and tables."""

import json
import random
from typing import Any, List

LONG_NUMBER, DEEP = "7" * 5000, 20000
VALUES: List[Any] = [None, True, False, 0, -1, 1, 3, 0.5, -0.0, 1e308, 10 ** 18, -2 ** 63, "", "x", "\ud800", "\0", "é",
                     [], {}, [[]], [None], [1, "a"], {"a": 1}, [1, 2, 3, 4], "NaN", "../x", "/etc/passwd", "a" * 400]
"""What a JSON value is replaced by."""
SCRIPTS = ["NaN", "Infinity", "-Infinity", "1e999", LONG_NUMBER, "[" * DEEP, "[" * DEEP + "]" * DEEP, '{"a":' * DEEP,
           "", "null", "[]", "{}", '""']
"""What the text of a JSON value is replaced by."""
YAMLS = ["!!timestamp x", "!!binary x", "!!int x", "!!float [1]", "!!python/object:os.system x", "&a [*a]", "*b", "[]",
         "{}", "~", ".nan", ".inf", "-.inf", "1e999", LONG_NUMBER, "[" * 5000, "[" * 3000 + "]" * 3000, "? ", "|", ">",
         "'", '"', "2020-99-99", "0x", "0o9", "1:99:99", "<<: x", "{<<: *a}", "[[], []]", "{1: 2}", "- - -", "yes",
         "\t", "@", "%", "`", '"\\ud800"', "&c [1, &d [*c]]", "{[1]: 2}", "{{}: {}}", "!!set {1, 2}", "=", "!!omap x",
         "!!pairs [1]", "!!merge x", "!!null x", "!!bool x", "[1, 2, 3, 4]", "1_000", "1e5", "-1", "0", "a" * 300]
"""What a YAML value is replaced by."""


def laughs(width: int = 9, depth: int = 12) -> str:
    """A "billion laughs": nested aliases that stand for width ** depth values."""
    lines = [f"a0: &a0 [{', '.join(['x'] * width)}]"]
    return "\n".join([*lines, *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, depth))]) + "\n"


def damaged(content: bytes, name: str, rng: random.Random) -> bytes:
    """One mutation of a file's content, of a kind that fits its name, or of its bytes."""
    if name.endswith((".json", ".jsonl", ".index.json")) and rng.random() < 0.7:
        return _json(content, rng)
    if name.endswith((".yaml", ".yml")) and rng.random() < 0.8:
        return _yaml(content, rng)
    if name.endswith((".tsv", ".csv", ".txt")) and rng.random() < 0.5:
        return _table(content, rng)
    return _bytes(content, rng)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    kind, size = rng.randrange(9), max(1, len(content))
    place = rng.randrange(size) if rng.random() < 0.5 else rng.randrange(min(size, 400))
    length = rng.choice([1, 2, 7, 8, 64, 1000])
    if kind < 3:
        changed = bytearray(content or b"\0")
        for _ in range(rng.choice([1, 1, 2, 8])):
            changed[(place + rng.randrange(64)) % len(changed)] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if kind == 3:
        return content[:place]
    if kind == 4:
        return content[:place] + content[place + length:]
    if kind == 5:
        return content[:place] + rng.randbytes(length) + content[place:]
    if kind == 6:
        return content[:place] + content[place:place + length] * rng.choice([2, 50]) + content[place + length:]
    if kind == 7:
        return content[:place] + rng.choice([b"\0", b"\xff"]) * length + content[place + length:]
    return rng.choice([b"", b"\0" * 100, b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r"), content[::-1],
                       content.decode("latin-1").encode("utf-16")])


def _json(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").splitlines() or [""]
    whole = "\n".join(lines)
    try:
        value = json.loads(whole)
    except RecursionError:  # damaged before
        return _bytes(content, rng)
    except ValueError:  # one object a line
        number = rng.randrange(len(lines))
        new = _json(lines[number].encode(), rng) if _is_json(lines[number]) else b"{"
        lines[number] = new.decode("utf-8", "replace")
        return ("\n".join(lines) + "\n").encode()
    mark = "\u0001 here"
    paths = list(_paths(value))
    path = rng.choice(paths)
    if rng.random() < 0.3:
        return json.dumps(_set(value, path, mark)).replace(json.dumps(mark), rng.choice(SCRIPTS), 1).encode()
    if path and rng.random() < 0.3:
        return json.dumps(_without(value, path)).encode()
    return json.dumps(_set(value, path, rng.choice(VALUES))).encode()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
        return True
    except (ValueError, RecursionError):
        return False


def _paths(value: Any, path: tuple = ()):
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for number, (key, part) in enumerate(parts):
        if number < 40:
            yield from _paths(part, (*path, key))


def _set(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _set(value[path[0]], path[1:], new)
    return copy


def _without(value: Any, path: tuple) -> Any:
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) > 1:
        copy[path[0]] = _without(value[path[0]], path[1:])
    else:
        del copy[path[0]]
    return copy


def _yaml(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").splitlines() or [""]
    if rng.random() < 0.05:
        return content + laughs().encode()
    number = rng.randrange(len(lines))
    key, colon, _ = lines[number].partition(":")
    kind = rng.randrange(6)
    if kind < 4:
        lines[number] = f"{key}{colon} {rng.choice(YAMLS)}"
    elif kind == 4:
        lines.insert(number, lines[rng.randrange(len(lines))])
    else:
        lines[number] = f"{rng.choice(YAMLS)}: {key}"
    return ("\n".join(lines) + "\n").encode()


def _table(content: bytes, rng: random.Random) -> bytes:
    lines = content.decode("utf-8", "replace").split("\n")
    number = rng.randrange(len(lines))
    cells = lines[number].split("\t")
    place = rng.randrange(len(cells))
    new = rng.choice(["", " ", "nan", "inf", "-1", LONG_NUMBER, "1e999", '"', '"a', "\t", "\0", "a" * 200000, "\r"])
    cells[place:place + rng.choice([0, 1, 1, 2])] = [new]
    lines[number] = "\t".join(cells)
    return "\n".join(lines).encode()
