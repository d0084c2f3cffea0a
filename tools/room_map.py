"""Print the map of the package's rooms for docs/architecture.md: which room imports which, as a Mermaid diagram.

    python tools/room_map.py [ROOT]

An arrow is left out where a longer way leads there too. Re-exports of a package's `__init__.py` do not count.
"""

import ast
import pathlib
import sys
from typing import Dict, List, Set

CORE = "core"
"""The files that stand in no folder: architecture, options, distributed, devices, random, runtime, plotting …"""
ERRORS = "errors"
"""errors.py, which stands below all."""


def rooms(package: pathlib.Path) -> Dict[str, Set[str]]:
    """Each room, with the rooms that it imports."""
    found: Dict[str, Set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).parts
        room = parts[0] if len(parts) > 1 else ERRORS if path.stem == ERRORS else CORE
        if path.name in ("__init__.py", "__main__.py", "cli.py"):
            continue
        found.setdefault(room, set()).update(
            other for other in (_room(name, package) for name in _imported(path)) if other not in ("", room))
    return found


def _imported(path: pathlib.Path) -> List[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "bort_mx":
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _room(name: str, package: pathlib.Path) -> str:
    first = (name.split(".") + [""])[1]
    if first == ERRORS:
        return ERRORS
    return first if (package / first).is_dir() else CORE if (package / f"{first}.py").is_file() else ""


def reduced(graph: Dict[str, Set[str]]) -> Dict[str, Set[str]]:
    """The graph without the arrows that a longer way makes superfluous."""
    def reach(start: str) -> Set[str]:
        """All rooms that lead on from one."""
        seen: Set[str] = set()
        todo = list(graph.get(start, ()))
        while todo:
            room = todo.pop()
            if room not in seen:
                seen.add(room)
                todo += graph.get(room, ())
        return seen

    return {room: {other for other in others
                   if not any(other in reach(between) for between in others if between != other)}
            for room, others in graph.items()}


def mermaid(graph: Dict[str, Set[str]]) -> str:
    """The diagram's text."""
    arrows = [f"    {room} --> {other}" for room in sorted(graph) for other in sorted(graph[room])]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```"])


if __name__ == "__main__":
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent
    print(mermaid(reduced(rooms(root / "bort_mx"))))
