"""Options: one dataclass is the command line, the YAML file and the types."""

import dataclasses
import importlib
import re
import typing
from typing import ClassVar, Dict, List, Literal, Optional, Sequence, Tuple

import pytest

from bort_mx.cli import COMMANDS
from bort_mx.errors import InputError
from bort_mx.options import at_least, check, one_of, parse_options, positive, within


@dataclasses.dataclass
class Common:
    output_dir: str = "runs/out"
    """Where everything goes, 100 % of it."""


@dataclasses.dataclass
class Run(Common):
    data: List[str] = dataclasses.field(default_factory=lambda: ["builtin"], metadata={"metavar": "DIR|FILE"})
    """Text files
    or folders."""

    max_steps: int = 1000
    """Optimiser steps."""

    learning_rate: float = 1e-4
    """Peak learning rate."""

    dropout: Optional[float] = None
    """Dropout, or the architecture's own."""

    strategy: Literal["lcs", "worst"] = "lcs"
    """Pruning rule."""

    resume: bool = True
    """Go on from the last checkpoint."""

    widths: Tuple[int, ...] = (1, 2)
    """Widths to try."""

    pooler: Optional[bool] = None
    """Put a pooler before the classifier, or as the task has it."""

    layers: Optional[List[int]] = None
    """Layers to keep."""

    def __post_init__(self):
        if self.max_steps < 0:
            raise ValueError(f"max_steps: expected at least 0, found {self.max_steps}")


@dataclasses.dataclass
class Convert:
    source: str = dataclasses.field(metadata={"positional": True})
    """A checkpoint."""

    to: str
    """Target form."""


def run(*argv: str) -> Run:
    return parse_options(Run, list(argv), "run.py", "Runs.")


def error(*argv: str, options=Run) -> str:
    with pytest.raises(InputError) as caught:
        parse_options(options, list(argv), "run.py", "Runs.")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_defaults_are_the_dataclasses_own():
    assert run() == Run()


def test_flags_have_dashes_and_lists_take_several_values():
    options = run("--data", "a", "1", "--max-steps", "3", "--learning-rate", "5e-5", "--dropout=0.1", "--widths", "3",
                  "4")
    assert options == Run(data=["a", "1"], max_steps=3, learning_rate=5e-5, dropout=0.1, widths=(3, 4))
    assert run("--layers", "3", "4").layers == [3, 4]


@pytest.mark.parametrize("argv, expected", [
    (["--resume"], True), (["--no-resume"], False), (["--resume", "false"], False), (["--resume=true"], True)])
def test_booleans(argv, expected):
    assert run(*argv).resume is expected


@pytest.mark.parametrize("argv, expected", [
    ([], None), (["--pooler"], True), (["--no-pooler"], False), (["--pooler", "false"], False)])
def test_booleans_that_may_be_left_to_a_default(argv, expected, tmp_path, capsys):
    assert run(*argv).pooler is expected
    with pytest.raises(SystemExit):
        run(*argv, "--print-config")
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert run("--config", str(tmp_path / "printed.yaml")).pooler is expected


def test_positional_and_required_fields():
    assert parse_options(Convert, ["ckpt", "--to", "hf"], "convert", "") == Convert("ckpt", "hf")
    assert error("--to", "hf", options=Convert) == "source must be given; see --help"
    assert error("ckpt", options=Convert) == "--to must be given; see --help"


def test_yaml_with_dashes_or_underscores_and_the_command_line_wins(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("max-steps: 7\nlearning_rate: 1e-5\ndata: [x, y]\nresume: false\nwidths: [5]\n")
    second.write_text("dropout: 0.2\nlearning_rate: 2e-5\n")
    options = run("--max-steps", "9", "--config", str(first), f"--config={second}")
    assert options == Run(data=["x", "y"], max_steps=9, learning_rate=2e-5, dropout=0.2, resume=False, widths=(5,))


def test_stand_ins_for_defaults_yield_to_files_and_the_command_line(tmp_path):
    (tmp_path / "c.yaml").write_text("dropout: 0.2\n")
    argv = ["--max-steps", "9", "--config", str(tmp_path / "c.yaml")]
    options = parse_options(Run, argv, "run.py", "Runs.", first=["--max-steps", "7", "--dropout", "0.5",
                                                                "--learning-rate", "1e-5"])
    assert options == Run(max_steps=9, dropout=0.2, learning_rate=1e-5)


def test_required_fields_may_come_from_yaml(tmp_path):
    (tmp_path / "c.yaml").write_text("to: hf\n")
    assert parse_options(Convert, ["s", "--config", str(tmp_path / "c.yaml")], "convert", "") == Convert("s", "hf")


@pytest.mark.parametrize("argv, expected", [
    (["--max-steps", "many"], "--max-steps: expected a whole number, found 'many'"),
    (["--max-steps", "2.5"], "--max-steps: expected a whole number, found '2.5'"),
    (["--dropout", "some"], "--dropout: expected a number, found 'some'"),
    (["--strategy", "best"], "--strategy: expected one of lcs, worst, found 'best'"),
    (["--max-step", "3"], "unknown option --max-step (did you mean --max-steps?)"),
    (["--resume", "perhaps"], "--resume: expected true or false, found 'perhaps'"),
    (["--zebra"], "unknown option --zebra; see --help"),
    (["--max-steps"], "argument --max-steps: expected one argument"),
    (["--config"], "argument --config: expected one argument"),
    (["--max-steps", "-1"], "max_steps: expected at least 0, found -1"),
    (["stray"], "unexpected argument stray; see --help"),
])
def test_bad_command_lines_in_one_line(argv, expected):
    assert error(*argv) == expected


@pytest.mark.parametrize("text, expected", [
    ("max-steps: many\n", ": max_steps: expected a whole number, found 'many'"),
    ("data: 3\n", ": data: expected a list of texts, found 3"),
    ("max_stepz: 3\n", ": unknown option max_stepz (did you mean max_steps?)"),
    ("- 3\n", ": expected lines like 'option: value', found [3]"),
    ("resume: perhaps\n", ": resume: expected true or false, found 'perhaps'"),
    ("resume: null\n", ": resume: expected true or false, found None"),
    ("output_dir: null\n", ": output_dir: expected text, found None"),
    ("max_steps: null\n", ": max_steps: expected a whole number, found None"),
    ("data: null\n", ": data: expected a list of texts, found None"),
    ("data: [x, null]\n", ": data: expected a list of texts, found 'None'"),
    ("output_dir: 3\n", ": output_dir: expected text, found 3; put it in quotes"),
    ("output_dir: -1.5e-30\n", ": output_dir: expected text, found -1.5e-30; put it in quotes"),
    ("output_dir: no\n", ": output_dir: expected text, found False; put it in quotes"),
    ("output_dir: [3]\n", ": output_dir: expected text, found '[3]'"),
    ("pooler: perhaps\n", ": pooler: expected true or false, found 'perhaps'"),
    ("a: [1\nb: }\n", ":2: not YAML (expected ',' or ']'"),
    ("max-steps: 3\nresume: true\nmax-steps: 4\n",
     ":3: not YAML ('max-steps' is given a second time, first on line 1)"),
    ('data: ["\\ud800"]\n', ":1: not YAML ('\\ud800' holds half a character, "),
    ("data: !!timestamp {=: x}\n", ": not YAML (expected string or bytes-like object"),
    ("a: &a [*a]\n", ":1: not YAML (contains itself through an alias)"),
    ("&a {x: *a}\n", ":1: not YAML (contains itself through an alias)"),
    ("max-steps: 3\nmax_steps: 4\n", ":2: max_steps is max-steps again; give it once"),
    ("x: {resume: true, resume: false}\n", ":1: not YAML ('resume' is given a second time, first on line 1)"),
])
def test_bad_yaml_names_the_file_and_the_line_or_option(tmp_path, text, expected):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert error("--config", str(path)).startswith(f"--config: {path}{expected}")


NASTY = ["[MASK] is the capital", "&x", "*x", "null", "~", "1e5", "007", "yes", "{a: b}", "- x", "x: y", "!!python",
         "@f", "'", '"x', " x ", "-", "# x", "a\nb", "\t", "ä 中", "${x}"]
TEXT, TEXTS = (str, Optional[str]), (List[str], Optional[List[str]], Tuple[str, ...])


def options_of_commands() -> Dict[str, type]:
    """The options of every command and so of the three scripts, which are commands too."""
    modules = [importlib.import_module(module) for module, _ in COMMANDS.values()]
    return {name: found for module in modules for name, found in vars(module).items()
            if dataclasses.is_dataclass(found) and name.endswith("Options")}


def strings_given(options: type, words: List[str]) -> Tuple[List[str], Dict[str, object]]:
    """Arguments that give every string option one of the words, in turn, and the values that they should have."""
    types, argv, positional, expected = typing.get_type_hints(options), [], [], {}
    for number, field in enumerate(dataclasses.fields(options)):
        kind, word, other = types[field.name], *(words[(number + k) % len(words)] for k in range(2))
        assert kind in TEXT + TEXTS or "str" not in str(kind).replace("Literal[", ""), kind  # none is overlooked
        others = {name for group in getattr(options, "EITHER", ()) if field.name in group for name in group}
        if kind in TEXT + TEXTS and not others & set(expected):  # of options that stand for each other the first
            expected[field.name] = [word, other] if kind in TEXTS else word
            given = [word, other] if kind in TEXTS else [word]
            if field.metadata.get("positional"):
                positional += given
            else:
                argv += ["--" + field.name.replace("_", "-"), *given]
    assert expected
    return positional + argv, expected


@pytest.mark.parametrize("options", options_of_commands().values(), ids=options_of_commands())
def test_every_string_of_every_command_is_what_was_typed(options, monkeypatch, tmp_path):
    monkeypatch.setattr(options, "__post_init__", lambda self: None, raising=False)
    for word in NASTY:
        argv, expected = strings_given(options, [word])
        found = parse_options(options, argv, "x", "")
        assert {name: getattr(found, name) for name in expected} == expected
    # A printed configuration says the same, and strings of files are not read as YAML a second time.
    argv, expected = strings_given(options, NASTY)
    (tmp_path / "c.yaml").write_text(printed(options, argv), encoding="utf-8")
    positional = argv[:sum(field.metadata.get("positional", False) for field in dataclasses.fields(options))]
    found = parse_options(options, ["--config", str(tmp_path / "c.yaml"), *positional], "x", "")
    assert {name: getattr(found, name) for name in expected} == expected


def printed(options: type, argv: List[str], first: Sequence[str] = ()) -> str:
    """What --print-config prints."""
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as out, pytest.raises(SystemExit):
        parse_options(options, [*argv, "--print-config"], "x", "", first=first)
    return out.getvalue()


def test_strings_of_a_file_are_yaml_once(tmp_path):
    (tmp_path / "c.yaml").write_text("data: ['[MASK] x', 'null', \"1e5\"]\noutput_dir: '&x'\n")
    found = run("--config", str(tmp_path / "c.yaml"))
    assert (found.data, found.output_dir) == (["[MASK] x", "null", "1e5"], "&x")


def test_missing_or_binary_config(tmp_path):
    assert error("--config", str(tmp_path / "no.yaml")) == f"--config: {tmp_path}/no.yaml: no such file"
    (tmp_path / "bin.yaml").write_bytes(b"\xff\xfe")
    found = error("--config", str(tmp_path / "bin.yaml"))
    assert found.startswith(f"--config: {tmp_path}/bin.yaml: not UTF-8 text, byte 0xff at byte offset 0; convert")


def test_help_comes_from_the_fields_docstrings(capsys):
    with pytest.raises(SystemExit) as caught:
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert caught.value.code == 0
    assert "--data DIR|FILE" in text and "Text files or folders." in text
    assert "Where everything goes, 100 % of it. (default: runs/out)" in text and "(default: 0.0001)" in text
    assert "--max-steps N" in text and "--dropout X" in text and "--strategy {lcs,worst}" in text
    assert "--resume, --no-resume" in text and "(default: 1 2)" in text
    assert not re.search(r"\b(int|float|Optional|null|None|type)\b", text)


def test_the_usual_options_come_first_and_agoras_last_in_help_of_fine_tuning(capsys):
    from bort_mx.commands import finetune

    with pytest.raises(SystemExit):
        finetune.main(["--help"])
    text = capsys.readouterr().out
    flags = re.findall(r"^  (--[\w-]+)", text, re.MULTILINE)
    assert flags[:2] == ["--config", "--print-config"] and flags[2:12] == [
        "--train", "--dev", "--test", "--task", "--checkpoint", "--output-dir", "--epochs", "--learning-rate",
        "--batch-size", "--resume"]
    headings = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert headings[:3] == ["options", "Fine-tuning", "Files of your own"] and headings[-1] == "Agora, with --agora"
    assert text.startswith("usage: run_finetune.py [options]\n") and flags.count("--train") == 1


@dataclasses.dataclass
class Special(Run):
    GROUP: ClassVar[str] = "only with --special"

    special: bool = False
    """Runs specially."""

    tries: int = 3
    """How often."""


def test_a_class_may_have_a_heading_of_its_own_in_help(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse_options(Special, ["--help"], "run.py", "Runs.")
    general, special = capsys.readouterr().out.split("only with --special:")
    assert "--dropout" in general and "Runs specially." in special and "--dropout" not in special
    (tmp_path / "c.yaml").write_text("special: true\nmax_steps: 5\n")
    options = parse_options(Special, ["--config", str(tmp_path / "c.yaml"), "--tries", "4"], "run.py", "Runs.")
    assert options == Special(max_steps=5, special=True, tries=4)
    assert error("--tries", "x", options=Special) == "--tries: expected a whole number, found 'x'"


@dataclasses.dataclass
class Renewed(Special):
    GROUP: ClassVar[str] = "a stage's own"
    RENAMED: ClassVar[Dict[str, str]] = {"max_steps": "max_updates"}

    tries: int = 5
    dropout: Optional[float] = 0.1
    """Dropout of this stage."""

    last: int = 1
    """Declared here first."""


def test_a_field_declared_again_keeps_its_heading_and_its_help(capsys):
    assert parse_options(Renewed, [], "run.py", "Runs.") == Renewed(tries=5, dropout=0.1)
    with pytest.raises(SystemExit):
        parse_options(Renewed, ["--help"], "run.py", "Runs.")
    general, rest = " ".join(capsys.readouterr().out.split()).split("only with --special:")
    special, own = rest.split("a stage's own:")
    assert "Dropout of this stage." in general and "or the architecture's own" not in general
    assert "How often. (default: 5)" in special and "Declared here first." in own
    assert "--tries" not in own and "--dropout" not in own


def test_a_former_name_is_answered_with_the_present_one(tmp_path):
    (tmp_path / "old.yaml").write_text("max-updates: 3\n")
    for argv, expected in ((["--max-updates", "3"], "--max-updates is now --max-steps"),
                           (["--max-updates=3"], "--max-updates is now --max-steps"),
                           (["--config", str(tmp_path / "old.yaml")],
                            f"--config: {tmp_path}/old.yaml: max_updates is now max_steps")):
        assert error(*argv, options=Renewed) == expected


def test_print_config_can_be_read_back(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("--max-steps", "5", "--print-config")
    (tmp_path / "printed.yaml").write_text(capsys.readouterr().out)
    assert run("--config", str(tmp_path / "printed.yaml")) == Run(max_steps=5)


def test_checks_name_the_option_and_what_to_do():
    options = Run(max_steps=0, learning_rate=float("nan"), widths=(3, -1), strategy="best")
    for refused, said in [
            (lambda: at_least(options, 0, "max_steps", "widths"), "--widths -1: must not be negative"),
            (lambda: at_least(options, 1, "max_steps"), "--max-steps 0: must be at least 1"),
            (lambda: positive(options, "learning_rate"), "--learning-rate nan: must be positive"),
            (lambda: one_of(options, ("lcs", "worst"), "strategy"), "--strategy best: must be one of lcs, worst"),
            (lambda: check(options, ["data"], str.isupper, "shout"), "--data builtin: shout")]:
        with pytest.raises(InputError) as caught:
            refused()
        assert str(caught.value) == said
    at_least(options, 1, "dropout")  # None: left to its default
    at_least(options, 0, "max_steps")


@pytest.mark.parametrize("interval, good, bad", [
    ("[0, 1)", (0, 0.5), (-1, 1, float("nan"))), ("(0, 1)", (0.5,), (0, 1)), ("[0, 1]", (0, 1), (-0.1, 1.1)),
    ("[13, 19]", (13, 19), (12, 20))])
def test_intervals(interval, good, bad):
    for value in good:
        within(Run(dropout=value), interval, "dropout")
    for value in bad:
        with pytest.raises(InputError) as caught:
            within(Run(dropout=value), interval, "dropout")
        assert str(caught.value) == f"--dropout {value}: must be in {interval}"


@dataclasses.dataclass
class Ended:
    """Options of which two stand for each other."""

    EITHER: ClassVar[Tuple[Tuple[str, ...], ...]] = (("max_steps", "budget"),)

    max_steps: int = 9
    """Steps."""

    budget: Optional[str] = None
    """Time."""


@pytest.mark.parametrize("first, file, later, typed, expected", [
    ([], "budget: 1h", "", [], (9, "1h")),
    ([], "budget: 1h", "", ["--max-steps", "3"], (3, None)),
    ([], "max-steps: 4", "", ["--budget=2h"], (9, "2h")),
    ([], "budget: 1h", "max_steps: 4", [], (4, None)),
    ([], "max_steps: 4", "budget: 1h", [], (9, "1h")),
    (["--max-steps", "200"], "budget: 1h", "", [], (9, "1h")),
    (["--max-steps", "200"], "", "", ["--budget", "5m"], (9, "5m")),
    ([], "budget: 1h\nmax_steps: 9", "", [], (9, "1h")),  # its default, as a printed configuration has it
    ([], "budget: 1h", "max_steps: 9", [], (9, None)),  # its default, and named all the same
    ([], "budget: 1h\nmax_steps: 4", "", ["--max-steps", "3"], "--config: PATH: max_steps: 4 and budget: 1h exclude"),
    ([], "", "", ["--max-steps", "3", "--budget", "1h"], "--max-steps 3 and --budget 1h exclude each other; give one"),
])
def test_of_options_that_stand_for_each_other_the_last_place_decides(tmp_path, first, file, later, typed, expected):
    words = []
    for number, text in enumerate(filter(None, (file, later))):
        (tmp_path / f"{number}.yaml").write_text(text)
        words += ["--config", str(tmp_path / f"{number}.yaml")]
    if isinstance(expected, str):
        with pytest.raises(InputError, match=re.escape(expected.replace("PATH", str(tmp_path / "0.yaml")))):
            parse_options(Ended, [*words, *typed], "x", "", first=first)
        return
    found = parse_options(Ended, [*words, *typed], "x", "", first=first)
    assert (found.max_steps, found.budget) == expected
    (tmp_path / "printed.yaml").write_text(printed(Ended, [*words, *typed], first))
    found = parse_options(Ended, ["--config", str(tmp_path / "printed.yaml")], "x", "")
    assert (found.max_steps, found.budget) == expected
