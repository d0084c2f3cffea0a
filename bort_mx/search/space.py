"""The search space Xi: read, filtered, put in its intrinsic order, cut into intervals of epsilon architectures.

Paper §3.2, §3.3 and App. B. What the paper states and what is our interpretation: see each function.
"""

import dataclasses
import itertools
import numbers
import pathlib
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import yaml

from bort_mx.architecture import ROBERTA_POSITIONS, ROBERTA_VOCABULARY, Architecture
from bort_mx.errors import InputError
from bort_mx.io import files

PAPER_SPACE = pathlib.Path(__file__).with_name("search_paper.yaml")
SMALL_SPACE = pathlib.Path(__file__).with_name("search_small.yaml")
REPRESENTATIVES = ("first", "middle")
_FIELDS = {"D": "num_layers", "A": "num_heads", "H": "hidden_size", "I": "intermediate_size"}


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The architectures that a search may choose from, and the count of those that were taken out."""

    architectures: Tuple[Architecture, ...]
    """The members of Xi, each once, sorted by (D, A, H, I)."""
    raw: int
    """How many there were before any was taken out."""
    duplicates: int
    """Taken out: named before."""
    indivisible: int
    """Taken out: H not divisible by A (paper §3.3)."""
    odd: int
    """Taken out: odd D (paper App. B, Lemma 3)."""

    def notes(self) -> List[str]:
        """One line for the count, and one for each kind of architecture that was dropped."""
        lines = [f"search space: {len(self.architectures)} of {self.raw} architectures"]
        if self.indivisible:
            lines.append(f"dropped {self.indivisible}: hidden_size not divisible by num_heads")
        if self.odd:
            lines.append(self.odd_note())
        if self.duplicates:
            lines.append(f"dropped {self.duplicates}: listed more than once")
        return lines

    def odd_note(self) -> str:
        """How many were dropped for an odd depth, why, and how to keep them."""
        return (f"dropped {self.odd}: odd num_layers, for which the weak AB^nC property is not proven "
                "(paper App. B); --allow-odd keeps them")


def admit(architectures: Iterable[Architecture], allow_odd: bool = False) -> SearchSpace:
    """The search space made of those architectures that the algorithm may consider.

    [P] H mod A ≠ 0 is dropped (§3.3), and odd D, because Lemma 3 pairs the layers (App. B). `allow_odd` keeps odd
    depths: Remark 1 covers depths in steps of two; `conditions.weak_conditions` says whether a space's are.

    Raises:
        InputError: nothing is given, or nothing is left.
    """
    given = list(architectures)
    unique = list(dict.fromkeys(given))
    valid = [a for a in unique if a.is_valid()]
    kept = [a for a in valid if allow_odd or a.num_layers % 2 == 0]
    space = SearchSpace(tuple(sorted(kept)), len(given), len(given) - len(unique), len(unique) - len(valid),
                        len(valid) - len(kept))
    if not given:
        raise InputError("search space: it is empty; name at least one architecture")
    if not kept:
        raise InputError("; ".join(space.notes()) + "; nothing is left to search")
    return space


def grid(num_layers: Sequence[int], num_heads: Sequence[int], hidden_sizes: Sequence[int],
         intermediate_sizes: Sequence[int]) -> List[Architecture]:
    """Every combination D × A × H × I (paper §3.3), valid or not."""
    return [Architecture(*values) for values in itertools.product(num_layers, num_heads, hidden_sizes,
                                                                  intermediate_sizes)]


def read_space(path: Any = PAPER_SPACE) -> List[Architecture]:
    """The architectures of a space file, valid or not; the paper's 360 by default.

    The file is YAML: either four lists `num_layers`, `num_heads`, `hidden_size`, `intermediate_size` (or the paper's
    letters `D`, `A`, `H`, `I`), or `architectures`, a list of presets' names, "D,A,H,I" or [D, A, H, I].

    Raises:
        InputError: no such file, not YAML, an unknown or repeated or missing field, a value that is not a positive
            integer; the message names file and line.
    """
    fields = _read_fields(pathlib.Path(path))
    if "architectures" in fields:
        if len(fields) > 1:
            others = ", ".join(sorted(set(fields) - {"architectures"}))
            raise InputError(f"{path}: gives both architectures and {others}; give the members or the four lists")
        line, values = fields["architectures"]
        return [_member(value, f"{path}:{line}: architectures") for value in _as_list(values, path, line)]
    missing = [f"{name} ({letter})" for letter, name in _FIELDS.items() if name not in fields]
    if missing:
        raise InputError(f"{path}: misses {', '.join(missing)}; give four lists, or architectures")
    return grid(*(_integers(path, name, *fields[name]) for name in _FIELDS.values()))


def order_key(architecture: Architecture, vocab_size: int = ROBERTA_VOCABULARY,
              num_positions: int = ROBERTA_POSITIONS) -> Tuple[int, ...]:
    """The key of the intrinsic order: (parameters, FLOPs, D, A, H, I), ascending.

    [P] The AB^nC property gives an order. [I] Which one, the paper does not say. By eq. 12 and 13, A changes neither
    size nor cost, so that at epsilon = 2 most intervals of the paper's space pair two architectures that differ in A
    alone.
    """
    return (architecture.parameters(vocab_size, num_positions), architecture.flops(), *architecture.as_tuple())


def intrinsic_order(architectures: Iterable[Architecture], vocab_size: int = ROBERTA_VOCABULARY,
                    num_positions: int = ROBERTA_POSITIONS) -> List[Architecture]:
    """The architectures sorted by `order_key`, whatever order they came in."""
    return sorted(architectures, key=lambda a: order_key(a, vocab_size, num_positions))


def intervals(ordered: Sequence[Architecture], epsilon: float) -> List[Tuple[Architecture, ...]]:
    """Cut the order into ⌈|Xi| / epsilon⌉ runs of epsilon neighbours; the last may be shorter (paper §3.2).

    Raises:
        InputError: epsilon is no whole number, or not in [1, |Xi|].
    """
    size = check_epsilon(epsilon, len(ordered))
    return [tuple(ordered[start:start + size]) for start in range(0, len(ordered), size)]


def check_epsilon(epsilon: float, count: int) -> int:
    """The interval size as an int: 1 ≤ epsilon ≤ |Xi| [P], and whole, because it counts architectures [I].

    Raises:
        InputError: otherwise. 2.0 passes as 2; 1.5 is refused rather than rounded.
    """
    whole = isinstance(epsilon, numbers.Real) and not isinstance(epsilon, bool) and float(epsilon).is_integer()
    if not whole:
        raise InputError(f"epsilon is {epsilon!r}; it counts architectures and must be a whole number")
    if not 1 <= epsilon <= count:
        raise InputError(f"epsilon is {int(epsilon)}; it must lie in [1, {count}], the number of valid architectures")
    return int(epsilon)


def representatives(parts: Sequence[Tuple[Architecture, ...]], representative: str = "first") -> List[Architecture]:
    """One architecture of each interval: its first (smallest) member, or its middle one, index ⌊length / 2⌋ [I].

    At epsilon = 2 the middle is the second member, so that the two choices together cover the space.

    Raises:
        InputError: `representative` is neither "first" nor "middle".
    """
    if representative not in REPRESENTATIVES:
        raise InputError(f"representative is {representative!r}; it must be one of {', '.join(REPRESENTATIVES)}")
    return [part[0 if representative == "first" else len(part) // 2] for part in parts]


def _read_fields(path: pathlib.Path) -> Dict[str, Tuple[int, Any]]:
    """Field name → (line, value); letters are turned into names."""
    if not path.exists():
        raise InputError(f"{path}: no such file; it should hold a search space (YAML)")
    document = files.compose_yaml(path)
    if not isinstance(document, yaml.MappingNode):
        raise InputError(f"{path}: holds no fields; give num_layers, num_heads, hidden_size and intermediate_size, "
                         "or architectures")
    fields: Dict[str, Tuple[int, Any]] = {}
    for key, value in document.value:
        line, name = key.start_mark.line + 1, _field_name(path, key)
        if name in fields:
            raise InputError(f"{path}:{line}: {name} is given a second time (first on line {fields[name][0]})")
        fields[name] = line, _construct(value, f"{path}:{line}: {name}")
    return fields


def _construct(node: yaml.Node, where: str) -> Any:
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{where}: cannot be read ({getattr(error, 'problem', None) or error})") from None


def _field_name(path: pathlib.Path, key: yaml.Node) -> str:
    name = _FIELDS.get(key.value, key.value) if isinstance(key.value, str) else None
    if name not in (*_FIELDS.values(), "architectures"):
        raise InputError(f"{path}:{key.start_mark.line + 1}: unknown field {key.value!r}; known are "
                         f"{', '.join(_FIELDS.values())} (or D, A, H, I) and architectures")
    return name


def _as_list(value: Any, path: Any, line: int) -> List[Any]:
    if not isinstance(value, list):
        raise InputError(f"{path}:{line}: found {value!r}; expected a list")
    return value


def _integers(path: Any, name: str, line: int, value: Any) -> List[int]:
    values = _as_list(value, path, line)
    for item in values:
        if isinstance(item, bool) or not isinstance(item, int) or item < 1:
            raise InputError(f"{path}:{line}: {name} holds {item!r}; it must hold positive integers")
    return values


def _member(value: Any, where: str) -> Architecture:
    try:
        if isinstance(value, str):
            return Architecture.parse(value)
        if isinstance(value, list) and len(value) == 4:
            return Architecture(*value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    raise InputError(f"{where} holds {value!r}; expected a preset's name, \"D,A,H,I\" or [D, A, H, I]")
