"""How options are shown: words for their types, in errors and in --help, and the layout of --help."""

import argparse
import typing
from collections.abc import Sequence
from typing import Any, Dict, Optional, Tuple

import jsonargparse

WORDS: Dict[Any, Tuple[str, str]] = {str: ("text", "texts"), int: ("a whole number", "whole numbers"),
                                     float: ("a number", "numbers"), bool: ("true or false", "of true and false")}
"""Type → what one and what several of its values are called."""
PLACEHOLDERS = {int: "N", float: "X"}
"""Type → what --help shows in place of a value; for texts it is the option's name."""


def without_none(annotation: Any) -> Any:
    """X for Optional[X]; other types as they are."""
    inner = [part for part in typing.get_args(annotation) if part is not type(None)]
    return inner[0] if typing.get_origin(annotation) is typing.Union and len(inner) == 1 else annotation


def element_type(annotation: Any) -> Optional[Any]:
    """X for List[X], Sequence[X], Tuple[X, ...] and their Optional forms; None for everything else."""
    annotation = without_none(annotation)
    arguments, origin = typing.get_args(annotation), typing.get_origin(annotation)
    if origin in (list, Sequence) or origin is tuple and arguments[1:] == (Ellipsis,):
        return arguments[0]
    return None


def in_words(annotation: Any) -> str:
    """A type as one reads it: "a whole number", "one of lcs, worst", "a list of texts"."""
    annotation, element = without_none(annotation), element_type(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return f"one of {', '.join(map(str, typing.get_args(annotation)))}"
    if element is not None:
        return f"a list of {WORDS[element][1]}" if element in WORDS else f"a list, of each {in_words(element)}"
    return WORDS[annotation][0] if annotation in WORDS else str(annotation).replace("typing.", "")


def placeholder(annotation: Any) -> Optional[str]:
    """What stands for a value in --help; None: the option's name."""
    annotation = without_none(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "{" + ",".join(map(str, typing.get_args(annotation))) + "}"
    return PLACEHOLDERS.get(element_type(annotation) or annotation)


class HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """--help without Python's names of types and values: N is a whole number, X a number."""

    def _get_help_string(self, action: argparse.Action) -> str:
        if action.dest == "print_config":
            return "Print all options as YAML, and end."
        if not action.option_strings or action.dest in ("help", "config"):
            return super()._get_help_string(action) if action.option_strings else action.help
        no_default = action.default is None or "Default:" in action.help
        said = "required" if action.required else "" if no_default else f"default: {_shown(action.default)}"
        return f"{action.help} ({said})" if said else action.help

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, jsonargparse.ActionYesNo) or action.dest == "print_config":
            return ", ".join(action.option_strings)  # --flag, --no-flag
        return super()._format_action_invocation(action)


def _shown(default: Any) -> str:
    """A default as one types it."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return " ".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)
