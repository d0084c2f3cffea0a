"""From mistakes to labelled new points (Agora, step 3): tau makes them, duplicates go, Socrates labels the rest."""

from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import numpy as np

from bort_mx.agora import points
from bort_mx.agora.audit import AuditGuard
from bort_mx.agora.labelling import CheckedTeacher
from bort_mx.agora.perturbation import Perturbed, apply, name_of
from bort_mx.errors import InputError

DROPPED = ("unchanged", "duplicate", "in dev", "in audit", "low confidence", "over the limit")
"""Why a new point is not taken; "unchanged" is a copy of a mistake, "duplicate" a copy of another point."""


class Miner:
    """Makes labelled new points from mistakes, and counts what it drops.

    Args:
        tau: as given to `agora`.
        teacher: labels the new points.
        guard: knows the audit slice.
        dev_keys: of the dev examples' inputs.
        revive: gives an input as JSON has it the type of the data's inputs.
    """

    def __init__(self, tau: Callable[..., Sequence[Any]], teacher: CheckedTeacher, guard: AuditGuard,
                 dev_keys: Set[str], revive: Callable[[Any], Any]):
        self._tau, self._teacher, self._guard, self._dev_keys, self._revive = tau, teacher, guard, dev_keys, revive
        self.name = name_of(tau)

    def mine(self, wrong: List[Any], known: Set[str], room: Optional[int], number: int, rng: np.random.Generator
             ) -> Tuple[List[Dict[str, Any]], Dict[str, Any]]:
        """New points of round `number`.

        Args:
            wrong: the mistakes, perhaps none.
            known: keys of the points there are.
            room: how many new points may be taken; None for any number.
            number: of the round.
            rng: for tau, if it has a parameter of that name.

        Returns:
            (origins, counts): what is written of each new point, and mistakes, made, added and dropped.
        """
        self._guard.check(wrong, f"round {number}: mistakes")
        made = self._made(wrong, rng)
        dropped = dict.fromkeys(DROPPED, 0)
        fresh = self._fresh(made, wrong, known, dropped)
        labels, confidences = self._teacher.ask([self._revive(value) for value, _, _ in fresh])
        origins: List[Dict[str, Any]] = []
        for (value, seed, tau), label, confidence in zip(fresh, labels, confidences):
            if self._teacher.threshold is not None and not confidence >= self._teacher.threshold:  # or nan
                dropped["low confidence"] += 1
            elif room is not None and len(origins) >= room:
                dropped["over the limit"] += 1
            else:
                origins.append({"round": number, "texts": value, "label": points.encode(label),
                                "confidence": confidence, "tau": tau, **_seed_fields(seed)})
        return origins, {"mistakes": len(wrong), "made": len(made), "added": len(origins), "dropped": dropped}

    def _made(self, wrong: List[Any], rng: np.random.Generator) -> List[Tuple[Any, Any, str]]:
        """(new input, seed example or None, name of the tau) as tau makes them."""
        made = apply(self._tau, wrong, rng) if wrong else []
        in_order = len(made) == len(wrong)
        pairs = []
        for position, item in enumerate(made):
            if isinstance(item, Perturbed):
                if not 0 <= item.source < len(wrong):
                    raise InputError(f"tau {self.name}: says that {points.shorten(item.texts)} comes from example "
                                     f"{item.source}; it was given {len(wrong)}, counted from 0")
                pairs.append((item.texts, wrong[item.source], item.tau or self.name))
            else:
                pairs.append((item, wrong[position] if in_order else None, self.name))
        return pairs

    def _fresh(self, made: List[Tuple[Any, Any, str]], wrong: List[Any], known: Set[str], dropped: Dict[str, int]
               ) -> List[Tuple[Any, Any, str]]:
        """(input as JSON has it, seed example or None, name of the tau) of those that are really new."""
        copies = {points.key(points.input_of(example)) for example in wrong}
        fresh, seen = [], set()
        for value, seed, tau in made:
            self._check(value, seed)
            key = points.key(value)
            reason = ("unchanged" if key in copies else "duplicate" if key in known or key in seen else
                      "in dev" if key in self._dev_keys else "in audit" if value in self._guard else None)
            if reason:
                dropped[reason] += 1
            else:
                seen.add(key)
                fresh.append((points.encode(value), seed, tau))
        return fresh

    def _check(self, value: Any, seed: Any) -> None:
        before = None if seed is None else points.input_of(seed)
        shown = "the mistakes" if seed is None else points.shorten(before)
        if value is None or points.is_blank(value, before):
            raise InputError(f"tau {self.name}: gave an empty text ({points.shorten(value)}) for {shown}; every text "
                             "must have a word")
        if before is None:
            return
        if isinstance(before, (list, tuple)):
            like = isinstance(value, (list, tuple, np.ndarray)) and len(value) == len(before)
        else:
            like = isinstance(value, str) == isinstance(before, str)
        if not like:
            raise InputError(f"tau {self.name}: gave {points.shorten(value)} for {shown}; a new input must be of the "
                             "same form, with as many texts")


def _seed_fields(seed: Any) -> Dict[str, Any]:
    if seed is None:
        return dict.fromkeys(("seed_texts", "seed_label", "seed_idx", "seed_group"))
    return {"seed_texts": points.encode(points.input_of(seed)), "seed_label": _label_if_any(seed),
            "seed_idx": points.encode(getattr(seed, "idx", None)),
            "seed_group": points.encode(getattr(seed, "group", None))}


def _label_if_any(seed: Any) -> Any:
    try:
        return points.encode(points.label_of(seed))
    except InputError:
        return None  # a mistake may be a bare input
