"""The search space Xi: read it, filter it, sort it by the intrinsic order, cut it into intervals of size epsilon.

Paper §3.2, §3.3 and App. B. [P]: stated by the paper. [I]: our interpretation where the paper does not say.
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
from bort_mx.io.near_names import missing

PAPER_SPACE = pathlib.Path(__file__).with_name("search_paper.yaml")
SMALL_SPACE = pathlib.Path(__file__).with_name("search_small.yaml")
MOST_ARCHITECTURES = 1_000_000
"""Number of architectures that a space may have; the paper's has 360."""
REPRESENTATIVES = ("first", "middle")
SIZE = "size"
_FIELDS = {"D": "num_layers", "A": "num_heads", "H": "hidden_size", "I": "intermediate_size"}

ORDERS = (SIZE, *("".join(letters) for letters in itertools.permutations(_FIELDS)))
"""Orders of the space: by parameters and FLOPs, or lexicographic, by the values of four letters in their order."""
_STRATEGY = {"order": ORDERS, "representative": REPRESENTATIVES}
"""Fields of a space file beside its members, with their values."""


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """The architectures that a search may choose from, and the numbers of those that were dropped."""

    architectures: Tuple[Architecture, ...]
    """The members of Xi, each once, sorted by (D, A, H, I)."""
    raw: int
    """Number of architectures before any was dropped."""
    duplicates: int
    """Number dropped because they were listed before."""
    indivisible: int
    """Number dropped because H is not divisible by A (paper §3.3)."""
    odd: int
    """Number dropped because D is odd (paper App. B, Lemma 3)."""

    def notes(self) -> List[str]:
        """One line with the total, and one for each reason to drop architectures."""
        lines = [f"search space: {len(self.architectures)} of {self.raw} architectures"]
        if self.indivisible:
            lines.append(f"dropped {self.indivisible}: hidden_size not divisible by num_heads")
        if self.odd:
            lines.append(self.odd_note())
        if self.duplicates:
            lines.append(f"dropped {self.duplicates}: listed more than once")
        return lines

    def odd_note(self) -> str:
        """How many architectures were dropped for an odd depth, why, and how to keep them."""
        return (f"dropped {self.odd}: odd num_layers, for which the weak AB^nC property is not proven "
                "(paper App. B); --allow-odd keeps them")


def admit(architectures: Iterable[Architecture], allow_odd: bool = False) -> SearchSpace:
    """Build the search space from the architectures that the algorithm may consider.

    [P] Architectures with H mod A ≠ 0 are dropped (§3.3), and those with odd D too, because Lemma 3 pairs the layers
    (App. B). `allow_odd` keeps odd depths: Remark 1 covers depths in steps of two. `abnc.weak_conditions` says whether
    the depths of a space are such.

    Raises:
        InputError: no architecture is given, or none is left.
    """
    given = list(architectures)
    unique = list(dict.fromkeys(given))
    valid = [a for a in unique if a.is_valid()]
    kept = [a for a in valid if allow_odd or a.num_layers % 2 == 0]
    space = SearchSpace(tuple(sorted(kept)), len(given), len(given) - len(unique), len(unique) - len(valid),
                        len(valid) - len(kept))
    if not given:
        raise InputError("search space: it is empty; give at least one architecture")
    if not kept:
        raise InputError("; ".join(space.notes()) + "; nothing is left to search")
    return space


def grid(num_layers: Sequence[int], num_heads: Sequence[int], hidden_sizes: Sequence[int],
         intermediate_sizes: Sequence[int]) -> List[Architecture]:
    """Every combination D × A × H × I (paper §3.3), valid or not.

    Raises:
        InputError: they are more than `MOST_ARCHITECTURES`.
    """
    count = len(num_layers) * len(num_heads) * len(hidden_sizes) * len(intermediate_sizes)
    if count > MOST_ARCHITECTURES:
        raise InputError(f"search space: its lists give {count:,} architectures, and at most {MOST_ARCHITECTURES:,} "
                         "are read; shorten a list")
    return [Architecture(*values) for values in itertools.product(num_layers, num_heads, hidden_sizes,
                                                                  intermediate_sizes)]


def read_space(path: Any = PAPER_SPACE) -> List[Architecture]:
    """Read the architectures of a space file, valid or not. Default: the paper's 360.

    The file is YAML: either four lists `num_layers`, `num_heads`, `hidden_size`, `intermediate_size` (or the paper's
    letters `D`, `A`, `H`, `I`), or one list `architectures` of preset names, "D,A,H,I" or [D, A, H, I]. It may also
    have `order` and `representative`, see `read_strategy`.

    Raises:
        InputError: no such file, not YAML, an unknown, repeated or missing field, or a value that is not a positive
            integer. The message names file and line.
    """
    fields = _read_fields(pathlib.Path(path))
    fields = {name: field for name, field in fields.items() if name not in _STRATEGY}
    if "architectures" in fields:
        if len(fields) > 1:
            others = ", ".join(sorted(set(fields) - {"architectures"}))
            raise InputError(f"{path}: gives both architectures and {others}; give architectures or the four lists")
        line, values = fields["architectures"]
        return [_member(value, f"{path}:{line}: architectures") for value in _as_list(values, path, line)]
    missing = [f"{name} ({letter})" for letter, name in _FIELDS.items() if name not in fields]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; give four lists, or architectures")
    return grid(*(_integers(path, name, *fields[name]) for name in _FIELDS.values()))


def read_strategy(path: Any = PAPER_SPACE) -> Dict[str, str]:
    """`order` and `representative` of a space file, as far as it has them.

    Raises:
        InputError: another value than `ORDERS` and `REPRESENTATIVES` have; or as `read_space`.
    """
    fields = _read_fields(pathlib.Path(path))
    for name, known in _STRATEGY.items():
        line, value = fields.get(name, (0, known[0]))
        if value not in known:
            raise InputError(f"{path}:{line}: {name} is {value!r}; it must be one of {', '.join(known)}")
    return {name: fields[name][1] for name in _STRATEGY if name in fields}


def order_key(architecture: Architecture, vocab_size: int = ROBERTA_VOCABULARY,
              num_positions: int = ROBERTA_POSITIONS, order: str = SIZE) -> Tuple[int, ...]:
    """Sort key of the intrinsic order: (parameters, FLOPs, D, A, H, I), ascending; or the values of four letters.

    [P] The AB^nC property implies an order. [I] The paper does not say which one. In eq. 12 and 13, A changes neither
    size nor cost. Therefore, at epsilon = 2, most intervals of the paper's space hold two architectures that differ in
    A only. Of the 24 lexicographic orders, ten make the paper's A1, A2 and A3 all candidates (the second of each pair).
    """
    if order != SIZE:
        return tuple(getattr(architecture, _FIELDS[letter]) for letter in order)
    return (architecture.parameters(vocab_size, num_positions), architecture.flops(), *architecture.as_tuple())


def intrinsic_order(architectures: Iterable[Architecture], vocab_size: int = ROBERTA_VOCABULARY,
                    num_positions: int = ROBERTA_POSITIONS, order: str = SIZE) -> List[Architecture]:
    """Sort architectures by `order_key`. The order of the input does not matter.

    Raises:
        InputError: an unknown order.
    """
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    return sorted(architectures, key=lambda a: order_key(a, vocab_size, num_positions, order))


def intervals(ordered: Sequence[Architecture], epsilon: float) -> List[Tuple[Architecture, ...]]:
    """Cut the order into ⌈|Xi| / epsilon⌉ intervals of epsilon neighbours. The last may be shorter (paper §3.2).

    Raises:
        InputError: epsilon is not a whole number, or is not in [1, |Xi|].
    """
    size = check_epsilon(epsilon, len(ordered))
    return [tuple(ordered[start:start + size]) for start in range(0, len(ordered), size)]


def check_epsilon(epsilon: float, count: int) -> int:
    """The interval size as an int: 1 ≤ epsilon ≤ |Xi| [P]; a whole number, because it counts architectures [I].

    Raises:
        InputError: epsilon is out of range or not whole. 2.0 is accepted as 2; 1.5 is refused, not rounded.
    """
    whole = isinstance(epsilon, numbers.Real) and not isinstance(epsilon, bool) and float(epsilon).is_integer()
    if not whole:
        raise InputError(f"epsilon is {epsilon!r}; it counts architectures and must be a whole number")
    if not 1 <= epsilon <= count:
        raise InputError(f"epsilon is {int(epsilon)}; it must lie in [1, {count}], the number of valid architectures")
    return int(epsilon)


def representatives(parts: Sequence[Tuple[Architecture, ...]], representative: str = "first") -> List[Architecture]:
    """One architecture per interval: its first (smallest) member, or its middle one with index ⌊length / 2⌋ [I].

    At epsilon = 2 the middle one is the second member. There, both choices together cover the space.

    Raises:
        InputError: `representative` is neither "first" nor "middle".
    """
    if representative not in REPRESENTATIVES:
        raise InputError(f"representative is {representative!r}; it must be one of {', '.join(REPRESENTATIVES)}")
    return [part[0 if representative == "first" else len(part) // 2] for part in parts]


def _read_fields(path: pathlib.Path) -> Dict[str, Tuple[int, Any]]:
    """Read the fields: name → (line, value). Letters are replaced by full names."""
    if not path.exists():
        raise InputError(f"{missing(path)}; it should contain a search space (YAML)")
    document = files.compose_yaml(path)
    if not isinstance(document, yaml.MappingNode):
        raise InputError(f"{path}: contains no fields; give num_layers, num_heads, hidden_size and intermediate_size, "
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
        return yaml.SafeLoader("").construct_document(node)
    except files.YAML_ERRORS as error:
        raise InputError(f"{where}: cannot be read ({getattr(error, 'problem', None) or error})") from None


def _field_name(path: pathlib.Path, key: yaml.Node) -> str:
    name = _FIELDS.get(key.value, key.value) if isinstance(key.value, str) else None
    if name not in (*_FIELDS.values(), "architectures", *_STRATEGY):
        raise InputError(f"{path}:{key.start_mark.line + 1}: unknown field {key.value!r}; known are "
                         f"{', '.join(_FIELDS.values())} (or D, A, H, I), architectures, {', '.join(_STRATEGY)}")
    return name


def _as_list(value: Any, path: Any, line: int) -> List[Any]:
    if not isinstance(value, list):
        raise InputError(f"{path}:{line}: found {value!r}; expected a list")
    return value


def _integers(path: Any, name: str, line: int, value: Any) -> List[int]:
    values = _as_list(value, path, line)
    for item in values:
        if isinstance(item, bool) or not isinstance(item, int) or item < 1:
            raise InputError(f"{path}:{line}: {name} contains {item!r}; it must contain positive integers")
    return values


def _member(value: Any, where: str) -> Architecture:
    try:
        if isinstance(value, str):
            return Architecture.parse(value)
        if isinstance(value, list) and len(value) == 4:
            return Architecture(*value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    raise InputError(f"{where} contains {value!r}; expected a preset's name, \"D,A,H,I\" or [D, A, H, I]")
