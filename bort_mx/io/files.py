"""Files that are written completely or not at all, hashes of files, and readers whose errors name the file."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import pathlib
import re
import shutil
from typing import Any, Dict, Iterator, List, Optional

import yaml

from bort_mx.errors import InputError, Unreadable
from bort_mx.io import strict_json
from bort_mx.io.near_names import missing

MOST_REPEATED = 10_000
"""Number of values that the aliases of a YAML file may repeat. Some hundred bytes can stand for billions of values."""
YAML_ERRORS = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError, RecursionError)
"""What PyYAML raises for a bad file: beside its own errors, Python's while it converts text to dates and numbers."""

def sha256(path: os.PathLike) -> str:
    """SHA-256 of a file's content, in hexadecimal.

    Raises:
        FileNotFoundError: the file does not exist.
        Unreadable: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


def sync_directory(path: os.PathLike) -> None:
    """Make new and renamed files in a directory survive a power failure (fsync of the directory)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: os.PathLike) -> Iterator[pathlib.Path]:
    """Yield a temporary path beside `path`. At the end sync it and rename it to `path`; on an error remove it.

    Temporary files that killed processes left in earlier attempts are removed.

    Raises:
        OSError: the file cannot be written, or `path` is a device or a pipe, which would be replaced.
    """
    path = pathlib.Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    clean_leftovers(path)
    temporary = beside(path, "tmp")
    try:
        temporary.unlink(missing_ok=True)
        temporary.touch()
        yield temporary
        give_usual_mode(temporary)  # some libraries make files that only the owner can read
        # Sync the content before the rename. Otherwise a power failure could leave an empty file under the final name.
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def beside(path: pathlib.Path, end: str) -> pathlib.Path:
    """A name beside `path` for this process: hidden, with the number of the process and an ending, "tmp" or "old"."""
    return path.with_name(f".{path.name}.{os.getpid()}.{end}")


def clean_leftovers(path: os.PathLike) -> None:
    """Remove temporary files and folders that killed processes left beside `path`; see `beside`.

    A process may have been killed after it moved the old folder aside, before the new one was there. Then the old
    folder is moved back.
    """
    path = pathlib.Path(path)
    for left in sorted(path.parent.glob(f".{glob.escape(path.name)}.*.*")) if path.parent.is_dir() else ():
        match = re.fullmatch(r"\.(\d+)\.(tmp|old)", left.name[len(path.name) + 1:])
        if match is None or _is_running(int(match[1])):
            continue
        if match[2] == "old" and not path.exists():
            os.rename(left, path)
        elif left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether a process with this number is running on this machine."""
    try:
        os.kill(process, 0)  # signal 0 only checks that the process exists
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to another user
        return True
    return True


def give_usual_mode(path: os.PathLike) -> None:
    """Set the usual permissions by the user's umask. Some libraries make files that only the owner can read."""
    os.chmod(path, (0o777 if os.path.isdir(path) else 0o666) & ~_umask())


def write_text(path: os.PathLike, text: str) -> None:
    """Write a text file as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: os.PathLike, value: Any) -> None:
    """Write a JSON file atomically, indented, with keys in the given order."""
    write_text(path, json_text(value, indent=2) + "\n")


def json_text(value: Any, indent: Optional[int] = None) -> str:
    """A value as JSON that can be written as UTF-8; other characters (of a path that is not UTF-8) are escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.isascii() or not _has_surrogate(text) else json.dumps(value, indent=indent)


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def read_text(path: os.PathLike) -> str:
    """Read a UTF-8 text file, without a byte order mark at its beginning.

    Raises:
        InputError: the file does not exist, cannot be read, or is not UTF-8 (the message gives byte and offset).
    """
    try:
        text = pathlib.Path(path).read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InputError(missing(path)) from None
    except OSError as error:
        raise Unreadable(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    return text[text.startswith("\ufeff"):]


def read_lines(path: os.PathLike) -> List[str]:
    """The lines of a UTF-8 text file, including empty ones, without their Unix or Windows line ends.

    Raises:
        InputError: see `read_text`.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]  # no empty line after a final line end


def not_utf8(path: os.PathLike, error: UnicodeDecodeError, offset: int = 0) -> InputError:
    """The error for bytes that are not UTF-8. `offset` is the position in the file where the decoded bytes begin."""
    place = f"byte {error.object[error.start]:#04x} at byte offset {offset + error.start:,}"
    return InputError(f"{path}: not UTF-8 text, {place}; convert the file to UTF-8 (from Windows: iconv -f CP1252)")


def read_json(path: os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        InputError: see `read_text`; or not JSON, a field with two values (the message gives line and column), nested
            too deep, or a whole number of thousands of digits.
    """
    text = read_text(path)
    try:
        return strict_json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: {strict_json.reason(error)}") from None
    except RecursionError:
        raise InputError(f"{path}: JSON nested too deep; is it the right file?") from None
    except ValueError as error:  # a whole number of more digits than Python converts
        raise InputError(f"{path}: JSON with a number that is too long ({str(error).split(';')[0]})") from None


def read_yaml(path: os.PathLike) -> Any:
    """Read a YAML file.

    Raises:
        InputError: see `compose_yaml`; or a value does not fit its YAML type.
    """
    node = compose_yaml(path)
    try:
        return None if node is None else yaml.SafeLoader("").construct_document(node)
    except YAML_ERRORS as error:
        raise _not_yaml(path, error) from None


def compose_yaml(path: os.PathLike) -> Optional[yaml.Node]:
    """The node tree of a YAML file, before nodes become values; None for an empty file.

    Raises:
        InputError: see `read_text`; or the file is not YAML, or a field is given twice (the message gives the line).
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
        _refuse_endless(node)
        return node
    except YAML_ERRORS as error:
        raise _not_yaml(path, error) from None


def _refuse_endless(node: Optional[yaml.Node]) -> None:
    """Raises ComposerError if a node contains itself through an alias, or if aliases repeat too many values.

    Reading the former would never end. Reading the latter ("a billion laughs") takes hours and all memory.
    """
    sizes: Dict[int, Optional[int]] = {}

    def size(part: yaml.Node) -> int:
        """Number of values in a node when its aliases are written out. Every node is visited once."""
        if id(part) not in sizes:
            sizes[id(part)] = None  # unfinished: whoever meets it again stands inside it
            inner = part.value if isinstance(part, yaml.CollectionNode) else ()
            sizes[id(part)] = 1 + sum(size(child) for value in inner
                                      for child in (value if isinstance(value, tuple) else (value,)))
        if sizes[id(part)] is None:
            raise yaml.composer.ComposerError(None, None, "contains itself through an alias", part.start_mark)
        return sizes[id(part)]

    if node is None:
        return
    repeated = size(node) - len(sizes)
    if repeated > MOST_REPEATED:
        raise yaml.composer.ComposerError(None, None, f"its aliases repeat {_counted(repeated)} values, and at most "
                                          f"{MOST_REPEATED:,} are read; write the values out", node.start_mark)


def _counted(number: int) -> str:
    return f"{number:,}" if number < 10 ** 12 else "more than 1,000,000,000,000"


def _not_yaml(path: os.PathLike, error: Exception) -> InputError:
    """The error for a bad YAML file, on one line."""
    if isinstance(error, yaml.reader.ReaderError):
        return InputError(f"{path}: not YAML (character {error.character:#x} at position {error.position:,})")
    if isinstance(error, RecursionError):
        return InputError(f"{path}: not YAML that can be read (nested too deep)")
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error or type(error).__name__).split())
    return InputError(f"{path}:{mark.line + 1}: not YAML ({reason})" if mark else f"{path}: not YAML ({reason})")


class _StrictLoader(yaml.SafeLoader):
    """A loader that refuses a field given twice (PyYAML would use the last) and half a UTF-16 surrogate pair."""

    def compose_mapping_node(self, anchor: Optional[str]) -> yaml.MappingNode:
        """Compose a mapping; a field must not occur twice."""
        node = super().compose_mapping_node(anchor)
        first: Dict[Any, int] = {}
        for key, _ in node.value:
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":  # "<<", a merge, may be repeated
                if name in first:
                    problem = f"{key.value!r} is given a second time, first on line {first[name]}"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                first[name] = line
        return node

    def compose_scalar_node(self, anchor: Optional[str]) -> yaml.ScalarNode:
        """Compose a scalar; it must be possible to write it as UTF-8."""
        node = super().compose_scalar_node(anchor)
        if _has_surrogate(node.value):
            raise yaml.composer.ComposerError(None, None, f"{node.value!r} holds half a character, \\ud800 to \\udfff; "
                                              "write it whole", node.start_mark)
        return node


def _umask() -> int:
    current = os.umask(0)
    # os.umask can only be read by setting it.
    os.umask(current)
    return current
