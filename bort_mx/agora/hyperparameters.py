"""Theta: the hyperparameter sets that Agora starts from, the paper's (section 5) or those of a YAML file."""

import itertools
import math
import os
import pathlib
from typing import Any, List, NamedTuple, Set

from bort_mx.agora.points import shorten
from bort_mx.errors import InputError
from bort_mx.io import files

PAPER = pathlib.Path(__file__).with_name("theta_paper.yaml")


class Theta(NamedTuple):
    """One hyperparameter set, in the paper's order."""

    learning_rate: float
    """Peak learning rate, above 0."""
    weight_decay: float
    """Lambda of AdamW with decay learning rate * lambda, at least 0."""
    warmup: float
    """Proportion of the steps that are warm-up, in [0, 1)."""
    seed: int
    """Random seed of the training, at least 0."""


MOST_SETS = 1_000_000
"""Number of sets that lists may give; the paper's give 500."""
_TOP_KEYS = ("sets", "theta")


def load_thetas(path: os.PathLike) -> List[Theta]:
    """The hyperparameter sets of a YAML file.

    The file holds either the four lists `learning_rate`, `weight_decay`, `warmup` and `seed`, meaning their product
    (the last one runs fastest), at the top or under `theta`; or a list `sets` of four values each, or of mappings with
    the four names.

    Raises:
        InputError: no such file, not YAML, another key, a value out of its range, a set that occurs twice, or none.
    """
    content = _read(path)
    whole = next((name for name in _TOP_KEYS if name in content), None)
    if whole and len(content) > 1:
        raise InputError(f"{path}: holds {whole} and also {', '.join(k for k in content if k != whole)}; give one or "
                         "the other")
    if "sets" in content:
        thetas = _explicit(content["sets"], path)
    else:
        thetas = _product(content.get("theta", content), path)
    seen: Set[Theta] = set()
    twice = next((theta for theta in thetas if theta in seen or seen.add(theta)), None)
    if twice is not None:
        raise InputError(f"{path}: {tuple(twice)} occurs twice; give every set once")
    return thetas


def paper_thetas() -> List[Theta]:
    """The paper's Theta = L x D x W x S, 500 sets."""
    return load_thetas(PAPER)


def _read(path: os.PathLike) -> dict:
    content = files.read_yaml(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {shorten(content)}; expected the lists {', '.join(Theta._fields)}, or sets")
    unknown = [str(name) for name in content if name not in _TOP_KEYS + Theta._fields]
    if unknown:
        raise InputError(f"{path}: field {unknown[0]!r} is unknown; give {', '.join(Theta._fields)}, or sets")
    return content


def _product(lists: Any, path: os.PathLike) -> List[Theta]:
    if not isinstance(lists, dict):
        raise InputError(f"{path}: theta is {shorten(lists)}; expected the lists {', '.join(Theta._fields)}")
    _check_names(lists, f"{path}")
    for name, values in lists.items():
        if not isinstance(values, list) or not values:
            raise InputError(f"{path}: field {name} is {shorten(values)}; expected a list with at least one value")
    count = math.prod(len(lists[name]) for name in Theta._fields)
    if count > MOST_SETS:
        raise InputError(f"{path}: its lists give {count:,} sets, and at most {MOST_SETS:,} are read; shorten a list")
    return [_theta(values, f"{path}") for values in itertools.product(*(lists[name] for name in Theta._fields))]


def _explicit(sets: Any, path: os.PathLike) -> List[Theta]:
    if not isinstance(sets, list) or not sets:
        raise InputError(f"{path}: field sets is {shorten(sets)}; expected a list with at least one set")
    thetas = []
    for number, values in enumerate(sets, start=1):
        where = f"{path}: set {number}"
        if isinstance(values, dict):
            _check_names(values, where)
            values = [values[name] for name in Theta._fields]
        if not isinstance(values, list) or len(values) != len(Theta._fields):
            raise InputError(f"{where}: is {shorten(values)}; expected the four values {', '.join(Theta._fields)}")
        thetas.append(_theta(values, where))
    return thetas


def _check_names(mapping: dict, where: str) -> None:
    for name in Theta._fields:
        if name not in mapping:
            raise InputError(f"{where}: field {name} is missing; give {', '.join(Theta._fields)}")
    unknown = [str(name) for name in mapping if name not in Theta._fields]
    if unknown:
        raise InputError(f"{where}: field {unknown[0]!r} is unknown; give {', '.join(Theta._fields)}")


def _theta(values: Any, where: str) -> Theta:
    numbers = [_number(value, f"{where}: {name}") for name, value in zip(Theta._fields, values)]
    rate, decay, warmup, seed = numbers
    rules = (("learning_rate", rate > 0, "a number above 0"), ("weight_decay", decay >= 0, "at least 0"),
             ("warmup", 0 <= warmup < 1, "a proportion in [0, 1)"),
             ("seed", seed >= 0 and seed == int(seed), "a whole number, at least 0"))
    for (name, right, expected), number in zip(rules, numbers):
        if not right:
            raise InputError(f"{where}: {name} is {number!r}; expected {expected}")
    return Theta(rate, decay, warmup, int(seed))


def _number(value: Any, where: str) -> float:
    # YAML 1.1 reads 1e-5, without a point, as text.
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise InputError(f"{where} is {shorten(value)}; expected a number")
    return number
