"""Files written whole or not at all, hashed, and read with errors that name them."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any, Dict, Iterator, List, Optional

import yaml

from bort_mx.errors import InputError, Unreadable


def sha256(path: os.PathLike) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        FileNotFoundError: no such file.
        Unreadable: it cannot be read.
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
        give_usual_mode(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def give_usual_mode(path: os.PathLike) -> None:
    """Give a file or folder the mode that the user's umask asks for: some libraries let only the owner read."""
    os.chmod(path, (0o777 if os.path.isdir(path) else 0o666) & ~_umask())


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
        raise Unreadable(f"{path}: cannot be read ({error.strerror or error})") from None
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
        InputError: as `compose_yaml`, or a value that is none of its kind.
    """
    node = compose_yaml(path)
    try:
        return None if node is None else yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:  # PyYAML's
        raise _not_yaml(path, error) from None  # own errors where it makes dates, numbers and the like of words


def compose_yaml(path: os.PathLike) -> Optional[yaml.Node]:
    """The nodes of a YAML file, before values are made of them; None of an empty one.

    Raises:
        InputError: as `read_text`, or not YAML, or a field that is given twice (with the line).
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
        _refuse_cycles(node, [])
        return node
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        raise _not_yaml(path, error) from None


def _refuse_cycles(node: Optional[yaml.Node], above: List[yaml.Node]) -> None:
    """Raises a ComposerError for an alias of what it stands in, which has no end."""
    if any(node is other for other in above):
        raise yaml.composer.ComposerError(None, None, "holds itself by an alias", node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        for value in node.value:
            for part in value if isinstance(value, tuple) else (value,):
                _refuse_cycles(part, [*above, node])


def _not_yaml(path: os.PathLike, error: Exception) -> InputError:
    """What to raise for a YAML file, in one line."""
    if isinstance(error, yaml.reader.ReaderError):
        return InputError(f"{path}: not YAML (character {error.character:#x} at position {error.position:,})")
    mark = getattr(error, "problem_mark", None)
    reason = " ".join(str(getattr(error, "problem", None) or error or type(error).__name__).split())
    return InputError(f"{path}:{mark.line + 1}: not YAML ({reason})" if mark else f"{path}: not YAML ({reason})")


class _StrictLoader(yaml.SafeLoader):
    """Refuses a field that stands twice in a mapping, of which PyYAML would read the last, and half a character."""

    def compose_mapping_node(self, anchor: Optional[str]) -> yaml.MappingNode:
        """A mapping, as it stands there."""
        node = super().compose_mapping_node(anchor)
        first: Dict[Any, int] = {}
        for key, _ in node.value:
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if name in first:
                    problem = f"{key.value!r} is given a second time, first on line {first[name]}"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                first[name] = line
        return node

    def compose_scalar_node(self, anchor: Optional[str]) -> yaml.ScalarNode:
        """A scalar that can be written as UTF-8."""
        node = super().compose_scalar_node(anchor)
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.composer.ComposerError(None, None, f"{node.value!r} holds half a character, \\ud800 to \\udfff; "
                                              "write it whole", node.start_mark)
        return node


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
