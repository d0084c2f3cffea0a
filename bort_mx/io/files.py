"""Files that are written completely or not at all, hashes of files, and readers whose errors name the file."""

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
    """Yield a temporary path beside `path`. At the end sync it and rename it to `path`; on an error remove it."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        give_usual_mode(temporary)  # mkstemp makes files that only the owner can read
        # Sync the content before the rename. Otherwise a power failure could leave an empty file under the final name.
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def give_usual_mode(path: os.PathLike) -> None:
    """Set the usual permissions by the user's umask. Some libraries make files that only the owner can read."""
    os.chmod(path, (0o777 if os.path.isdir(path) else 0o666) & ~_umask())


def write_text(path: os.PathLike, text: str) -> None:
    """Write a text file as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: os.PathLike, value: Any) -> None:
    """Write a JSON file atomically, indented, with keys in the given order."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_text(path: os.PathLike) -> str:
    """Read a UTF-8 text file, without a byte order mark at its beginning.

    Raises:
        InputError: the file does not exist, cannot be read, or is not UTF-8 (the message gives byte and offset).
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
    """The lines of a UTF-8 text file, including empty ones, without their Unix or Windows line ends.

    Raises:
        InputError: see `read_text`.
    """
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]  # no empty line after a final line end


def not_utf8(path: os.PathLike, error: UnicodeDecodeError, offset: int = 0) -> InputError:
    """The error for bytes that are not UTF-8. `offset` is the position in the file where the decoded bytes begin."""
    return InputError(f"{path}: not UTF-8 text, byte {error.object[error.start]:#04x} at byte offset "
                      f"{offset + error.start:,}; convert the file to UTF-8")


def read_json(path: os.PathLike) -> Any:
    """Read a JSON file.

    Raises:
        InputError: see `read_text`; or the file is not JSON (the message gives line and column).
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON at column {error.colno} ({error.msg})") from None


def read_yaml(path: os.PathLike) -> Any:
    """Read a YAML file.

    Raises:
        InputError: see `compose_yaml`; or a value does not fit its YAML type.
    """
    node = compose_yaml(path)
    try:
        return None if node is None else yaml.SafeLoader("").construct_document(node)
    # PyYAML raises plain Python errors while it converts text to dates, numbers and so on.
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError) as error:
        raise _not_yaml(path, error) from None


def compose_yaml(path: os.PathLike) -> Optional[yaml.Node]:
    """The node tree of a YAML file, before nodes become values; None for an empty file.

    Raises:
        InputError: see `read_text`; or the file is not YAML, or a field is given twice (the message gives the line).
    """
    text = read_text(path)
    try:
        node = yaml.compose(text, Loader=_StrictLoader)
        _refuse_cycles(node, [])
        return node
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        raise _not_yaml(path, error) from None


def _refuse_cycles(node: Optional[yaml.Node], above: List[yaml.Node]) -> None:
    """Raises ComposerError if a node contains an alias of itself: reading it would never end."""
    if any(node is other for other in above):
        raise yaml.composer.ComposerError(None, None, "contains itself through an alias", node.start_mark)
    if isinstance(node, yaml.CollectionNode):
        for value in node.value:
            for part in value if isinstance(value, tuple) else (value,):
                _refuse_cycles(part, [*above, node])


def _not_yaml(path: os.PathLike, error: Exception) -> InputError:
    """The error for a bad YAML file, on one line."""
    if isinstance(error, yaml.reader.ReaderError):
        return InputError(f"{path}: not YAML (character {error.character:#x} at position {error.position:,})")
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
        if any("\ud800" <= character <= "\udfff" for character in node.value):
            raise yaml.composer.ComposerError(None, None, f"{node.value!r} holds half a character, \\ud800 to \\udfff; "
                                              "write it whole", node.start_mark)
        return node


def _umask() -> int:
    current = os.umask(0)
    # os.umask can only be read by setting it.
    os.umask(current)
    return current
