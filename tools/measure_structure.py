"""Measure the structure of the package: parameters called `options`, long files, and the paths of four walks.

    python tools/measure_structure.py [ROOT]

ROOT is a checkout of bort_mx, this one by default. The figures are those of docs/architecture.md.
"""

import ast
import pathlib
import sys
from typing import Dict, Iterator, List, Set, Tuple

LONG = 300
"""Lines from which a file is counted as long."""
Function = Tuple[str, str, ast.AST]
"""File, qualified name, definition."""


def functions(package: pathlib.Path) -> Iterator[Function]:
    """Every function and method of a package."""
    for path in sorted(package.rglob("*.py")):
        yield from _inside(str(path.relative_to(package.parent)), "", ast.parse(path.read_text(encoding="utf-8")))


def _inside(file: str, prefix: str, node: ast.AST) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield file, prefix + child.name, child
            yield from _inside(file, f"{prefix}{child.name}.", child)
        elif isinstance(child, ast.ClassDef):
            yield from _inside(file, f"{prefix}{child.name}.", child)


def parameters(definition: ast.AST) -> List[str]:
    """Names of a function's parameters."""
    arguments = definition.args
    return [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def takes_options(package: pathlib.Path) -> List[Tuple[str, Set[str]]]:
    """Functions with a parameter `options`, and the fields of it that each reads by name."""
    return [(f"{file}:{name}", {n.attr for n in ast.walk(definition) if isinstance(n, ast.Attribute)
                                and isinstance(n.value, ast.Name) and n.value.id == "options"})
            for file, name, definition in functions(package) if "options" in parameters(definition)]


def followed(package: pathlib.Path, start: str, parameter: str = "options") -> Set[str]:
    """The functions that one meets who follows a parameter from a function on, handed on by name from call to call.

    A class that keeps it (`self.options = options`) counts with every method that reads it.

    Args:
        package: the package's folder.
        start: the first function's name.
        parameter: its parameter.
    """
    every = list(functions(package))
    by_name: Dict[str, List[Function]] = {}
    for function in every:
        names = function[1].split(".")
        by_name.setdefault(names[-2] if names[-1] == "__init__" else names[-1], []).append(function)
    met: Set[str] = set()
    todo = [(function, parameter) for function in by_name.get(start, [])]
    while todo:
        (file, name, definition), given = todo.pop()
        if f"{file}:{name}" in met:
            continue
        met.add(f"{file}:{name}")
        for call in (node for node in ast.walk(definition) if isinstance(node, ast.Call)):
            callee = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            for place, argument in enumerate(call.args):
                if isinstance(argument, ast.Name) and argument.id == given:
                    for function in by_name.get(callee, []):
                        names = [n for n in parameters(function[2]) if n != "self"]
                        todo += [(function, names[place])] if place < len(names) else []
        if name.endswith("__init__"):
            owner = name.rpartition(".")[0]
            met |= {f"{other}:{method}" for other, method, body in every
                    if other == file and method.startswith(owner + ".") and f"self.{given}" in ast.unparse(body)
                    or other == file and method.startswith(owner + ".") and f"self._{given}" in ast.unparse(body)}
    return met


WALKS = {"pre-training": "pretrain", "fine-tuning": "finetune", "Agora": "run_agora", "search": "run_search"}
"""Stage: the function that its options enter."""


def long_files(package: pathlib.Path) -> Dict[str, int]:
    """Files of more than `LONG` lines."""
    counts = {str(path.relative_to(package.parent)): len(path.read_text(encoding="utf-8").splitlines())
              for path in sorted(package.rglob("*.py"))}
    return {name: count for name, count in counts.items() if count > LONG}


def main(root: pathlib.Path) -> None:
    """Print the figures."""
    package = root / "bort_mx"
    found = takes_options(package)
    few = sum(len(fields) <= 2 for _, fields in found)
    print(f"functions with a parameter `options`: {len(found)}, of which {few} read at most two of its fields")
    for name, fields in found:
        print(f"    {name}: {', '.join(sorted(fields)) or '-'}")
    for stage, start in WALKS.items():
        met = followed(package, start)
        met_files = {place.split(":")[0] for place in met}
        print(f"following `options` through {stage}: {len(met)} functions in {len(met_files)} files")
    files = long_files(package)
    print(f"files of more than {LONG} lines: {len(files)}")
    for name, count in files.items():
        print(f"    {name}: {count}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent))
