"""Every command that README and the docs print: its script is there, and it has the options that are given to it."""

import pathlib
import re
import subprocess
import sys

import pytest

from bort_mx.cli import COMMANDS

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGES = sorted(path for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
PROGRAM = re.compile(r"(?:^|[\s;(/])(?:bort-mx|python -m bort_mx) ([a-z]+)(?= |$)(.*)|"
                     r"(?:^|[\s;(/])python ((?:[a-z]+/)*\w+\.py)(.*)")
STAGES = {"run_pretraining.py": "pretrain", "run_finetune.py": "finetune", "run_search.py": "search"}
OPTION = re.compile(r"(?<=\s)--[a-z][a-z0-9-]*")


def printed(text):
    """The commands of a page's blocks and of its `inline code`: (program or script, the rest of the line)."""
    fenced, codes, prose = False, [], []
    for line in text.replace("\\\n", " ").splitlines():
        fenced ^= line.startswith("```")
        block = fenced or line.startswith("    ")
        codes += [re.sub(r"\s#\s.*$", "", line)] if block else []
        prose += [] if block else [line]
    codes += [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", "\n".join(prose))]
    found = []
    for match in (match for code in codes for match in PROGRAM.finditer(code)):
        program, rest = match.groups()[:2] if match[1] else match.groups()[2:]
        found.append((program, re.split(r"[|;&>]| -- ", rest)[0]))  # after -- another program's
    return found


def test_the_finder_sees_commands():
    text = ("    for x in a; do python run_search.py --data d \\\n      --seed 1; done\n"
            "`.venv/bin/python a/b/run_x.py\n--inline`\n"
            "```\nbort-mx predict --classify f > out  # --no\n```\n    horovodrun -np 8 python benchmarks/a.py --b 1\n")
    assert [(program, OPTION.findall(rest)) for program, rest in printed(text)] == [
        ("run_search.py", ["--data", "--seed"]), ("predict", ["--classify"]), ("benchmarks/a.py", ["--b"]),
        ("a/b/run_x.py", ["--inline"])]


@pytest.fixture(scope="module")
def options_of():
    """options_of(program): the options that its --help shows, asked once."""
    asked = {}

    def ask(program):
        command = ([str(ROOT / program)] if program.endswith(".py") else ["-m", "bort_mx", program])
        if program not in asked:
            text = subprocess.run([sys.executable, *command, "--help"], capture_output=True, text=True, cwd=ROOT,
                                  check=True).stdout
            places = "\n".join(re.findall(r"^ {2,4}-.*", text, re.MULTILINE))  # not what other options' texts name
            asked[program] = set(re.findall(r"--[a-z][a-z0-9-]*", places)) | {"--help"}
        return asked[program]
    return ask


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_have_the_options_that_are_given(page, options_of):
    wrong = []
    for program, rest in printed(page.read_text(encoding="utf-8")):
        program = STAGES.get(program, program)
        known = program in COMMANDS or (ROOT / program).is_file()
        wrong += [] if known else [f"no {program}"]
        options = set(OPTION.findall(rest))
        wrong += [f"{program} {option}" for option in (options - options_of(program) if known and options else ())]
    assert not wrong
