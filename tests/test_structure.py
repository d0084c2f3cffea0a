"""The house: no circle of imports, no shadowed module, a map of every room, options where they belong."""

import ast
import importlib
import importlib.util
import pathlib
import pkgutil
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bort_mx"
MOST_TAKING_OPTIONS = 25
ABOVE_DATA = ("models", "checkpoints", "training", "pretraining", "search", "finetuning", "agora")


def modules():
    """Name → file of every module."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name[:-len(".__init__")] if name.endswith(".__init__") else name] = path
    return found


def imported(path, known):
    """Modules that a file imports by name, at its top or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module
                      for a in node.names}
        elif isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
    return names & set(known)


def circles(graph):
    """The sets of modules that import each other, by repeated removal of those that import none that is left."""
    graph = {name: set(others) - {name} for name, others in graph.items()}
    while True:
        done = {name for name, others in graph.items() if not others}
        importers = {other for others in graph.values() for other in others}
        done |= set(graph) - importers  # nobody imports them: on no circle either
        if not done:
            return sorted(graph)
        graph = {name: others - done for name, others in graph.items() if name not in done}


def test_no_circle_of_imports_not_even_a_lazy_one():
    known = modules()
    assert circles({name: imported(path, known) for name, path in known.items()}) == []
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == ["b", "c"]  # the test itself sees one


def test_data_knows_nothing_of_models():
    known = modules()
    for name, path in known.items():
        if name.startswith("bort_mx.data"):
            rooms = {m: m.split(".")[1] for m in imported(path, known) if m.count(".")}
            above = [m for m, room in rooms.items() if room in ABOVE_DATA]
            assert not above, f"{name} imports {above}"


def test_no_module_is_shadowed_by_what_its_package_exports():
    for info in pkgutil.walk_packages([str(PACKAGE)], "bort_mx."):
        if info.name.endswith("__main__"):
            continue
        module = importlib.import_module(info.name)
        parent = sys.modules[info.name.rpartition(".")[0]]
        assert getattr(parent, info.name.rpartition(".")[2]) is module, f"{info.name} is shadowed"


def test_every_module_is_in_the_map():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    missing = []
    for name, path in modules().items():
        words = name.split(".")[1:]
        if path.name in ("__init__.py", "__main__.py") or words[:2] == ["data", "tasks"]:
            continue
        if not re.search(rf"\b{re.escape(words[-1])}\b", text):
            missing.append(name)
    assert not missing


def test_what_the_map_names_is_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:bort_mx|tests|docs|tools|benchmarks|configs)/[\w/.-]+?)(?::\w+)?`", text))
    assert len(paths) > 40
    assert not [path for path in sorted(paths) if not (ROOT / path).exists()]
    for path, name in re.findall(r"`(bort_mx/[\w/]+\.py):(\w+)`", text):
        definitions = re.findall(r"(?m)^\s*(?:def|class) (\w+)|^(\w+)\b.* =", (ROOT / path).read_text(encoding="utf-8"))
        assert name in {word for pair in definitions for word in pair}, f"{path} has no {name}"


def load_tool(name):
    """A module of tools/, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_diagram_is_that_of_the_code():
    rooms = load_tool("room_map")
    assert rooms.mermaid(rooms.reduced(rooms.rooms(PACKAGE))) in (ROOT / "docs" / "architecture.md").read_text("utf-8")


def test_options_stay_where_runs_are_put_together():
    found = load_tool("measure_structure").takes_options(PACKAGE)
    assert 5 < len(found) <= MOST_TAKING_OPTIONS, [name for name, _ in found]


@pytest.mark.parametrize("name", ["bort_mx.agora", "bort_mx.finetuning", "bort_mx.search", "bort_mx.data"])
def test_these_packages_import_no_mxnet(name):
    """So that --help and bad options stay quick."""

    code = f"import sys, {name}; sys.exit('mxnet' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], cwd=ROOT) == 0
