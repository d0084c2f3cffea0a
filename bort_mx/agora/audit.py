"""The audit slice: examples that are never trained on and never mined, and the check that this is so.

Agora trains on perturbed dev examples, so dev accuracy is optimistic from the second round on. A slice of the training
set is therefore put aside, and every set that is trained on or mined is compared with it by normalised text.
"""

from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

from bort_mx.agora.points import input_of, key, label_of, shorten
from bort_mx.errors import InputError
from bort_mx.random import generator


class AuditGuard:
    """Refuses examples whose normalised texts are in the audit slice."""

    def __init__(self, audit: Iterable[Any]):
        self._keys = frozenset(key(input_of(point)) for point in audit)

    def __contains__(self, value: Any) -> bool:
        """True if an input (not a point) is in the audit slice."""
        return key(value) in self._keys

    def __len__(self) -> int:
        return len(self._keys)

    def check(self, points: Sequence[Any], what: str) -> None:
        """Refuse points that are in the audit slice.

        Args:
            points: to be trained on or mined.
            what: names them in the message.

        Raises:
            InputError: at least one is; the message has the count and the first.
        """
        leaks = [point for point in points if input_of(point) in self] if self._keys else []
        if leaks:
            raise InputError(f"{what}: {len(leaks)} of {len(points)} examples are also in the audit slice, the first "
                             f"{shorten(input_of(leaks[0]))}; split the slice off with bort_mx.agora.audit.split")


def split(points: Sequence[Any], size: int, seed: int = 0, others: Iterable[Any] = (),
          passages: bool = False, rates: Optional[Mapping[Any, float]] = None) -> Tuple[List[Any], List[Any]]:
    """Split a training set into the part to train on and the audit slice.

    Examples with the same normalised texts, or of the same `.group` (a passage with its questions), go to the same
    side. Whole groups are drawn in a seeded order, one label after the other as far as it goes, until the slice has
    `size` examples; a large last group may exceed it.

    Args:
        points: labelled examples.
        size: how many examples the slice shall have, at least 1 and fewer than there are.
        seed: of the run.
        others: examples of other sets (dev). An example with the text of one of them, as official files have some, is
            not drawn, nor is its group.
        passages: the first text is a passage that several questions are about, and they go to the same side.
        rates: label -> its share in dev, which the slice shall have too. Where examples of different labels belong
            together, and without it, the slice has the shares of `points`.

    Returns:
        (train, audit), each in the order of `points`.

    Raises:
        InputError: a size that is not possible, or an example without a label.
    """
    known = {key(input_of(other)) for other in others}
    groups = [group for group in _groups(points, passages) if not known & {key(input_of(points[i])) for i in group}]
    if not 1 <= size < len(points):
        raise InputError(f"audit slice of {size} out of {len(points)} examples: give a size between 1 and "
                         f"{len(points) - 1}")
    chosen: set = set()
    for group in _drawn(points, groups, seed, rates):
        if len(chosen) >= size:
            break
        chosen.update(group)
    if len(chosen) == len(points) or not chosen:
        raise InputError(f"audit slice of {size} out of {len(points)} examples: they form so few groups of the same "
                         "text or passage that nothing would be left to train on or to draw; give another size")
    sides = ([], [])
    for index, point in enumerate(points):
        sides[index in chosen].append(point)
    return sides


def _groups(points: Sequence[Any], passages: bool) -> List[List[int]]:
    """Indices of the examples that share their texts, a `.group` or a passage, transitively (union-find)."""
    parent = list(range(len(points)))

    def root(i: int) -> int:
        """The example that represents i's group so far."""
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    first: Dict[Any, int] = {}
    for index, point in enumerate(points):
        names = [("text", key(input_of(point)))]
        if getattr(point, "group", None) is not None:
            names.append(("group", point.group))
        if passages:
            names.append(("passage", key(input_of(point)[0])))
        for name in names:
            parent[root(index)] = root(first.setdefault(name, index))
    groups: Dict[int, List[int]] = {}
    for index in range(len(points)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _drawn(points: Sequence[Any], groups: List[List[int]], seed: int, rates: Optional[Mapping[Any, float]]
           ) -> List[List[int]]:
    """The groups in random order, one of each label (that of the group's first example) in turn."""
    by_label: Dict[Any, List[List[int]]] = {}
    for i in generator(seed, "audit slice").permutation(len(groups)):
        label = label_of(points[groups[i][0]], "audit split")
        by_label.setdefault(label, []).append(groups[i])
    share: Dict[Any, float] = {label: len(queue) for label, queue in by_label.items()}
    if rates and all(len({label_of(points[i]) for i in group}) == 1 for group in groups):
        # A label that dev lacks comes last.
        share = {label: rates.get(label, 0) or 1e-9 for label in by_label}
    # A group's place is its rank within its label over the label's share: every prefix has the labels' proportions.
    ranked = [((rank + 0.5) / share[label], turn, group) for turn, (label, queue) in enumerate(by_label.items())
              for rank, group in enumerate(queue)]
    return [group for _, _, group in sorted(ranked, key=lambda item: item[:2])]
