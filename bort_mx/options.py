"""From one dataclass to a command line, a YAML file and checked types, by jsonargparse.

A stage declares its options once, as a dataclass with a docstring under each field; `parse_options` does the rest::

    @dataclasses.dataclass
    class Options:
        data: List[str]
        \"\"\"Text files or folders.\"\"\"

        max_steps: int = 1000
        \"\"\"Optimiser steps.\"\"\"

    options = parse_options(Options, argv, "run_pretraining.py", "Pre-train a model.")

gives `--data A B C`, `--max-steps 10`, `--config run.yaml`, `--print-config` and `--help`. Types are evaluated, so
write `Optional[int]`, not `int | None`, which Python 3.9 lacks. What a type cannot say, `__post_init__` checks by
`at_least`, `positive`, `within`, `one_of` or `check`.

tyro (1.0.17) was measured as a replacement: it has no YAML --config, no --print-config, no `--flag true`, no --no-flag
for an Optional[bool], and no errors in one line. Supplying these takes more code than adapting jsonargparse does.
"""

import argparse
import dataclasses
import math
import re
import typing
from argparse import ArgumentError
from collections.abc import Collection, Sequence
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple, Type, TypeVar

import docstring_parser
import jsonargparse
import yaml

from bort_mx import alternatives, suggestions
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.option_help import HelpFormatter, element_type, in_words, placeholder

Options = TypeVar("Options")

LONGEST_SHOWN = 200
"""Characters of a value that an error shows."""
MOST_IN_USAGE = 20
"""--help lists so many options in its first line."""
_YAML_MODE = "bort-mx-yaml"


def parse_options(options_class: Type[Options], argv: Optional[List[str]], program: str, description: str,
                  first: Sequence[str] = ()) -> Options:
    """Read options from the command line and from YAML files.

    A field `like_this` becomes `--like-this` (both spellings are taken in YAML); a boolean becomes `--flag`,
    `--no-flag` and `--flag true|false`; `List[X]` and `Tuple[X, ...]` take one or more values. Fields without a default
    are required. The command line wins over every `--config`, a later `--config` over an earlier one. A string is what
    was typed, whatever it looks like ("[MASK] x", "null", "1e5"); only values of `--config` files are YAML.
    `dataclasses.field(metadata=...)` may hold `positional=True` (no dashes before the name) and `metavar="DIR"`.
    A subclass may declare a field again, say with another default: its help stays, unless it has a docstring there too.
    Four class variables are read. `GROUP` is the heading in `--help` for the fields that the class is the first to
    declare. `USUAL` has the fields that `--help` shows before all headings. `RENAMED` maps a field's name to its former
    name, which errors for that one then replace by the present. `EITHER` has groups of fields that stand for each
    other, such as ("max_steps", "budget"): where the command line names one of them, the others that a file or `first`
    gives do not count, and likewise where a later file names one.

    Args:
        options_class: a dataclass; the docstring under each field (also inherited ones) is its help.
        argv: the arguments without the program's name; None means `sys.argv[1:]`.
        program: the program's name in `--help`.
        description: what the program does, for `--help`.
        first: arguments in place of the fields' defaults. Files and the command line win over them.

    Returns:
        An instance of `options_class`.

    Raises:
        InputError: in one line: an unknown option, a missing or ill-typed value, an unreadable or malformed `--config`,
            two of `EITHER` in one place, or a ValueError from the dataclass's `__post_init__`.
        SystemExit: with code 0, after `--help` or `--print-config`.
    """
    fields = _fields(options_class)
    arguments, configs = _configs_first(argv)
    groups, contents = getattr(options_class, "EITHER", ()), {}
    for path in configs:
        _check_text("--config", path)
        contents[path] = _checked_config(_build_parser(fields, program, description, required=False), path, fields)
    first, left = alternatives.without_outdone(groups, first, contents, arguments,
                                               {name: field.default for name, field in fields.items()})
    before = [f"--config={path if left[path] == values else _dump_yaml(left[path])}" for path, values
              in contents.items()]
    parser = _build_parser(fields, program, description, required=True)
    namespace = _one_line_errors(lambda: parser.parse_args([*first, *before, *arguments]), fields, prefix="",
                                 dashes="--")
    values = {name: _as_declared(getattr(namespace, name), field.type) for name, field in fields.items()}
    alternatives.refuse_two(groups, arguments, values)
    for name, value in values.items():
        _check_text(fields[name].flag, value)
    try:
        return options_class(**values)
    except InputError:
        raise
    except ValueError as error:
        raise InputError(_squeeze(str(error))) from error


def unknown_option(name: str, options_class: type) -> str:
    """What to say of a keyword that is no option: its present name, or one that is spelled alike."""
    return _unknown(name, _fields(options_class), dashes="")


# -- checks, for a dataclass's __post_init__ -----------------------------------------------------------------------


def check(instance: Any, names: Iterable[str], holds: Callable[[Any], bool], rule: str) -> None:
    """Refuse values that break a rule. Of a list, every element is checked; None is never refused.

    Args:
        instance: an instance of the dataclass.
        names: the fields to check.
        holds: whether a value is good.
        rule: what to do, as in "--max-steps 0: must be at least 1".
    Raises:
        InputError: the first value that breaks it.
    """
    for name in names:
        given = getattr(instance, name)
        for value in given if isinstance(given, (list, tuple)) else [given]:
            if value is not None and not holds(value):
                raise InputError(f"--{name.replace('_', '-')} {value}: {rule}")


def at_least(instance: Any, least: float, *names: str) -> None:
    """As `check`: not below `least`, and finite."""
    _finite(instance, names)
    check(instance, names, lambda value: value >= least,
          f"must be at least {least}" if least else "must not be negative")


def positive(instance: Any, *names: str) -> None:
    """As `check`: above 0, and finite."""
    _finite(instance, names)
    check(instance, names, lambda value: value > 0, "must be positive")


def _finite(instance: Any, names: Iterable[str]) -> None:
    check(instance, names, lambda value: not (isinstance(value, float) and math.isinf(value)), "must be finite")


def within(instance: Any, interval: str, *names: str) -> None:
    """As `check`: in an interval such as "[0, 1)", where a square bracket includes the end."""
    low, high = (float(end) for end in interval[1:-1].split(","))
    ends = {value for value, bracket in ((low, interval[0]), (high, interval[-1])) if bracket in "[]"}
    check(instance, names, lambda value: low < value < high or value in ends, f"must be in {interval}")


def one_of(instance: Any, known: Collection, *names: str) -> None:
    """As `check`: one of the known words."""
    check(instance, names, lambda value: value in known, f"must be one of {', '.join(known)}")


# -- parsing -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class _Field:
    """What the parser needs to know of one dataclass field."""

    name: str
    type: Any  # evaluated annotation
    default: Any  # dataclasses.MISSING if required
    help: str
    positional: bool
    metavar: Optional[str]
    group: str  # heading in --help, "" for none
    former: Optional[str]  # the name that it had, for errors

    @property
    def flag(self) -> str:
        """As one writes it on the command line."""
        return self.name if self.positional else "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Whether it is set by --name and --no-name."""
        return self.type in (bool, Optional[bool])

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is dataclasses.MISSING


def _fields(options_class: type) -> Dict[str, _Field]:
    """The fields that `__init__` takes, with evaluated annotations, defaults and help."""
    types, helps = typing.get_type_hints(options_class), _field_docstrings(options_class)
    # Base classes come last and overwrite: a field stands under the heading of the class that first declares it.
    owners = {name: owner for owner in options_class.__mro__ for name in vars(owner).get("__annotations__", ())}
    usual = list(getattr(options_class, "USUAL", ()))
    renamed = {new: old for owner in options_class.__mro__ for new, old in vars(owner).get("RENAMED", {}).items()}
    return {field.name: _Field(
        name=field.name,
        type=types[field.name],
        default=field.default if field.default_factory is dataclasses.MISSING else field.default_factory(),
        help=helps.get(field.name, ""),
        positional=field.metadata.get("positional", False),
        metavar=field.metadata.get("metavar"),
        group="" if field.name in usual else vars(owners[field.name]).get("GROUP", ""),
        former=renamed.get(field.name)) for field in sorted(
            dataclasses.fields(options_class), key=lambda field: usual.index(field.name) if field.name in usual else (
                len(usual) + ("USUAL" not in vars(owners[field.name])))) if field.init}


def _field_docstrings(options_class: type) -> Dict[str, str]:
    """The docstring under each field. Base classes come first, so a subclass's own docstring wins."""
    return {parameter.arg_name: _squeeze(parameter.description or "")
            for owner in reversed(options_class.__mro__[:-1])
            for parameter in docstring_parser.parse_from_object(owner).params}


def _build_parser(fields: Dict[str, _Field], program: str, description: str,
                  required: bool) -> jsonargparse.ArgumentParser:
    """The parser of all fields; `required=False` lets any be absent, as in a YAML file that holds only some."""
    jsonargparse.set_loader(_YAML_MODE, _load_yaml)
    jsonargparse.set_dumper(_YAML_MODE, _dump_yaml)
    parser = jsonargparse.ArgumentParser(prog=program, description=description, exit_on_error=False,
                                         allow_abbrev=False, parser_mode=_YAML_MODE, print_config="--print-config",
                                         formatter_class=HelpFormatter,
                                         usage="%(prog)s [options]" if len(fields) > MOST_IN_USAGE else None)
    parser.add_argument("--config", action=jsonargparse.ActionConfigFile, metavar="FILE.yaml",
                        help="YAML file with options. Options on the command line win.")
    groups: Dict[str, Any] = {"": parser}
    for field in fields.values():
        if field.group not in groups:
            groups[field.group] = parser.add_argument_group(field.group)
        _add_field(groups[field.group], field, required)
    return parser


def _add_field(parser: Any, field: _Field, required: bool) -> None:
    settings: Dict[str, Any] = {"help": field.help or " "}
    if not field.required:
        settings["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    metavar = field.metavar or placeholder(field.type)
    if metavar and not field.is_flag:
        settings["metavar"] = metavar
    element = element_type(field.type)
    if field.is_flag:
        settings.update(action=jsonargparse.ActionYesNo(yes_prefix="", no_prefix="no-"), nargs="?")
    else:
        settings["type"] = _parser_type(field.type if element is None else element)
    many, must = element is not None, field.required and required
    if field.positional:
        settings["nargs"] = ("+" if must else "*") if many else (None if must else "?")
    elif not field.is_flag:
        settings.update(required=must, **({"nargs": "+"} if many else {}))
    parser.add_argument(field.flag, **settings)


def _check_text(flag: str, value: Any) -> None:
    """Raises InputError for a text that is empty, or that no file can have as its name and no text as its content."""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if text == "":
            raise InputError(f"{flag} \"\": is empty; give a value, or leave the option out")
        if isinstance(text, str) and ("\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)):
            raise InputError(f"{flag} {ascii(text)}: holds a byte that is not UTF-8 text; rename the file or "
                             "folder, or give the text as UTF-8")


class _Literal:
    """A type for jsonargparse that takes a string as it stands.

    jsonargparse reads the words of the command line, and strings of files once more, as YAML. It does so by annotation
    only: of another type it calls each word, and each value that the YAML of a file has.
    """

    def __init__(self, annotation: Any):
        self._annotation = annotation

    def __call__(self, value: Any) -> Optional[str]:
        if not isinstance(value, str) and not (value is None and self._annotation is not str):
            raise ValueError(f"Got value: {value}")  # as jsonargparse says it; see `_explain`
        return value


def _parser_type(annotation: Any) -> Any:
    """What jsonargparse reads a value by: strings literally, everything else by its annotation."""
    return _Literal(annotation) if annotation in (str, Optional[str]) else annotation


def _as_declared(value: Any, annotation: Any) -> Any:
    """A list back to the tuple that the field declares."""
    is_tuple = tuple in (typing.get_origin(a) for a in (annotation, *typing.get_args(annotation)))
    return tuple(value) if is_tuple and isinstance(value, list) else value


def _configs_first(argv: Optional[List[str]]) -> Tuple[List[str], List[str]]:
    """The arguments without `--config FILE`; and the files, which come first, as jsonargparse lets the last one win."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument("--config", action="append", default=[])
    try:
        found, rest = finder.parse_known_args(argv)
    except ArgumentError as error:
        raise InputError(_squeeze(str(error))) from None
    return rest, list(dict.fromkeys(found.config[::-1]))[::-1]


def _checked_config(parser: jsonargparse.ArgumentParser, path: str, fields: Dict[str, _Field]) -> Dict[str, Any]:
    """The content of one YAML file, parsed by itself, so that an error can name it."""
    try:
        _refuse_two_spellings(files.compose_yaml(path), path)
        values = _load_yaml(files.read_text(path))
    except InputError as error:
        raise InputError(f"--config: {error}") from None
    except files.YAML_ERRORS as error:
        raise InputError(f"--config: {path}: not YAML ({_squeeze(str(error))})") from None
    if not isinstance(values, dict):
        raise InputError(f"--config: {path}: expected lines like 'option: value', found {_short(values)}")
    for name, value in values.items():
        if name in fields and not _has_the_form(value, fields[name].type):
            raise InputError(f"--config: {path}: {name}: expected {in_words(fields[name].type)}, found "
                             f"{_short(value)}")
    _one_line_errors(lambda: parser.parse_object(dict(values)), fields, prefix=f"--config: {path}: ", dashes="")
    return values


def _refuse_two_spellings(document: Optional[yaml.Node], path: str) -> None:
    """Raises InputError if an option is given with dashes and with underscores."""
    first: Dict[str, str] = {}
    for key, _ in document.value if isinstance(document, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            before = first.setdefault(key.value.replace("-", "_"), key.value)
            if before != key.value:
                raise InputError(f"{path}:{key.start_mark.line + 1}: {key.value} is {before} again; give it once")


def _has_the_form(value: Any, annotation: Any) -> bool:
    """Whether a YAML value is a list, boolean or not null where that is due.

    jsonargparse would list a word's letters, and take null for any type.
    """
    if value is None:
        return type(None) in typing.get_args(annotation)
    if annotation in (bool, Optional[bool]):
        return isinstance(value, bool)
    return element_type(annotation) is None or isinstance(value, list)


def _load_yaml(text: str) -> Any:
    """YAML with jsonargparse's reading of numbers (1e-5 is a float); dashes in top-level keys become underscores."""
    values = jsonargparse.get_loader("yaml")(text)
    return {str(key).replace("-", "_"): v for key, v in values.items()} if isinstance(values, dict) else values


class _Dumper(yaml.SafeDumper):
    """Quotes strings that look like a number to `_load_yaml`, which reads more as numbers than YAML 1.1 does (1e5)."""


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar(
    "tag:yaml.org,2002:str", text, style="'" if re.fullmatch(r"[-+]?[\d._]+(e[-+]?\d+)?", text, re.I) else None))


def _dump_yaml(values: Any) -> str:
    return yaml.dump(values, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False)


def _one_line_errors(parse: Callable[[], Any], fields: Dict[str, _Field], prefix: str, dashes: str) -> Any:
    try:
        return parse()
    except ArgumentError as error:
        raise InputError(prefix + _explain(str(error), fields, dashes)) from None
    except yaml.YAMLError as error:
        raise InputError(f"{prefix}a value cannot be read as YAML: {_squeeze(str(error))}") from None


_NO_TEXT = r"-?(\d[\d.e+-]*|inf)|nan|True|False"
"""What YAML reads as a number or a truth value, as Python writes it."""


def _explain(message: str, fields: Dict[str, _Field], dashes: str) -> str:
    """jsonargparse's message in one line, in the words the user typed."""
    def spelled(name: str) -> str:
        return fields[name].flag if dashes and name in fields else name

    ill_typed = re.match(r'Parser key "(\w+)', message)
    value = re.search(r"(?:Got|Given) value: (.*)", message, re.DOTALL)
    if ill_typed and value and ill_typed[1] in fields:
        name = ill_typed[1]
        if fields[name].type in (str, Optional[str]) and re.fullmatch(_NO_TEXT, value[1]):
            return f"{spelled(name)}: expected text, found {value[1]}; put it in quotes"
        known = [word for part in (fields[name].type, *typing.get_args(fields[name].type))
                 if typing.get_origin(part) is typing.Literal for word in typing.get_args(part)]
        return (f"{spelled(name)}: expected {in_words(fields[name].type)}, found {_short(_squeeze(value[1]))}"
                + suggestions.hint(value[1].strip("' "), known, suggestions.VALUES))
    neither = re.match(r"argument ([^\s:/]+)\S*: invalid _boolean_type value: (.*)", message)
    if neither:
        return f"{neither[1]}: expected true or false, found {neither[2]}"
    unknown = re.match(r"(?:unrecognized arguments: |Option ')([^\s'=]+)", message, re.IGNORECASE)
    if unknown:
        return _unknown(unknown[1], fields, dashes)
    missing = re.match(r"the following arguments are required: (.*)", message)
    if missing:
        return ", ".join(spelled(name) for name in missing[1].split(", ")) + " must be given; see --help"
    return _squeeze(message)


def _unknown(name: str, fields: Dict[str, _Field], dashes: str) -> str:
    if dashes and not name.startswith("-"):
        return f"unexpected argument {name}; see --help"
    spellings = [field.flag if dashes else field.name for field in fields.values()]
    for field, spelling in zip(fields.values(), spellings):
        if name.lstrip("-").replace("-", "_") == field.former:
            return f"{name} is now {spelling}"
    near = suggestions.meant(name.partition("=")[0], fields, suggestions.MEANINGS)
    if near is None:
        return f"unknown option {name}; see --help"
    return f"unknown option {name} (did you mean {fields[near].flag if dashes else near}?)"


def _short(value: Any) -> str:
    """A value in an error; long ones are cut."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _squeeze(text: str) -> str:
    return " ".join(text.split())
