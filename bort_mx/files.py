"""Files written whole or not at all, hashed, and read with errors that name them."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any, Dict, Iterator, List

import yaml

from bort_mx.errors import InputError


def sha256(path: os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def sync_directory(path: os.PathLike) -> None:
    """Make the names in a directory survive a power cut (fsync of the directory itself)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`; at the end sync it and rename it, or on an error remove it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: os.PathLike, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: os.PathLike, value: Any) -> None:
    """Write a JSON file atomically, indented, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_text(path: os.PathLike) -> str:
    """A UTF-8 text file, without the byte order mark that it may begin with.

    Raises:
        InputError: no such file, one that cannot be read, or not UTF-8 (with the byte and its offset).
    """
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    return text[text.startswith("\ufeff"):]


def read_lines(path: os.PathLike) -> List[str]:
    """The lines of a UTF-8 text file, empty ones too; the end of a line, be it Unix's or Windows', is not part of it.

    Raises:
        InputError: as `read_text`.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def not_utf8(path: os.PathLike, error: UnicodeDecodeError, offset: int = 0) -> InputError:
    """What to raise for bytes that are not UTF-8; `offset` is where the bytes decoded begin in the file."""
    return InputError(f"{path}: not UTF-8 text, byte {error.object[error.start]:#04x} at byte offset "
                      f"{offset + error.start:,}; convert the file to UTF-8")


def read_json(path: os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        InputError: as `read_text`, or not JSON (with line and column).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON at column {error.colno} ({error.msg})") from None


def read_yaml(path: os.PathLike) -> Any:
    """Read a YAML file.

    Raises:
        InputError: as `read_text`, or not YAML, or a field that is given twice (with the line).
    """
    try:
        return yaml.load(read_text(path), Loader=_StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        raise InputError(f"{where}: not YAML ({getattr(error, 'problem', None) or 'unreadable'})") from None


class _StrictLoader(yaml.SafeLoader):
    """Refuses what PyYAML would drop without a word, and texts that cannot be written anywhere."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        """A mapping; of a field that is given twice only one value could be read."""
        seen: Dict[Any, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and seen.setdefault((key.tag, key.value), line) != line:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given a second time, first on line {seen[key.tag, key.value]}",
                    key.start_mark)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        """A scalar; "\\ud800" by itself is no Unicode."""
        value = super().construct_scalar(node)
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise yaml.constructor.ConstructorError(None, None, f"{value!r} holds half a character", node.start_mark)
        return value


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
