"""Text that every machine has: the docstrings, comments and documentation of Python's own standard library.

The run scripts and the demo train on it where no data is given. It is some MB of English, the same on every machine
with the same Python version.
"""

import ast
import inspect
import io
import os
import pathlib
import re
import sysconfig
import tokenize
from typing import Iterator, List

from bort_mx.io import files

SKIPPED = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__", "encodings"}
FEWEST_WORDS = 6


def write_corpus(directory: os.PathLike) -> pathlib.Path:
    """Write the built-in text, one paragraph a line, to `directory`/standard-library.txt. Returns its path."""
    path = pathlib.Path(directory) / "standard-library.txt"
    files.write_text(path, "".join(line + "\n" for line in paragraphs()))
    return path


def paragraphs() -> Iterator[str]:
    """The paragraphs of all docstrings and of the language reference, in the order of the files' names."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if not SKIPPED & set(path.relative_to(root).parts):
            for text in _texts(path):
                yield from _paragraphs(text)


def _texts(path: pathlib.Path) -> List[str]:
    """Docstrings and comments of a file, and long strings of pydoc's topics, which hold the language reference."""
    try:
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        comments = _comments(source)
    except (SyntaxError, ValueError, tokenize.TokenError):  # templates, and files of the parser's own tests
        return []
    owners = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, owners)]
    if path.parent.name == "pydoc_data":
        strings = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        texts += [text for text in strings if len(text) > 200]
    return texts + comments


def _comments(source: str) -> List[str]:
    """Blocks of whole-line comments, without their hashes."""
    blocks: List[List[str]] = []
    last = -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.line[:token.start[1]].strip():
            if token.start[0] != last + 1:
                blocks.append([])
            blocks[-1].append(token.string.lstrip("#").rstrip("# -="))
            last = token.start[0]
    return ["\n".join(block) for block in blocks if len(block) > 1]


def _paragraphs(text: str) -> Iterator[str]:
    """Paragraphs of prose: no examples, tables or signatures, which are not English."""
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        line = " ".join(block.replace("``", "").replace("`", "").replace("*", "").split())
        words = re.findall(r"[A-Za-z][a-z]+", line)
        if len(words) >= FEWEST_WORDS and ">>>" not in line and sum(map(len, words)) > 0.6 * len(line):
            yield line
