"""The conditions on which the paper's guarantees rest, checked where possible, and the guarantees themselves.

Weak AB^nC property: App. B (Lemma 3, Remark 1). Strong AB^nC property: App. C (Theorem 1, Corollary 1). D: depth.
H: hidden size. I: intermediate size. V: vocabulary size. S: rows of the position table. c: least norm of the weights.
[I]: our interpretation. P2: "An Approximation Algorithm for Optimal Subarchitecture Extraction",
arXiv 2010.08512, the companion of the paper.
"""

import dataclasses
import math
from typing import Dict, List, Optional, Sequence

from bort_mx.architecture import ROBERTA_POSITIONS, ROBERTA_VOCABULARY, Architecture
from bort_mx.search.fptas_algorithm import SearchResult
from bort_mx.search.space import intrinsic_order

HOLDS, FAILS, UNVERIFIABLE = "holds", "fails", "cannot be verified"


@dataclasses.dataclass(frozen=True)
class Condition:
    """One condition and the result of its check."""

    name: str
    """What must hold."""
    source: str
    """Where the paper states it."""
    status: str
    """"holds", "fails" or "cannot be verified"."""
    found: str
    """The reason for the status, with numbers."""


@dataclasses.dataclass(frozen=True)
class RuntimeTerms:
    """The terms of the runtime bound O(|Xi| + |W*_T| (1 + |Theta| |B| |Xi| / (epsilon s^1.5))) (P2, abstract).

    |W*_T| is the number of weights of the largest architecture, |B| the batch size. What s is, neither paper says: the
    abstract calls it "an input parameter". So the terms are given as functions of s, and no value is put in.
    """

    architectures: int
    """|Xi|."""
    weights: int
    """|W*_T|."""
    hyperparameter_sets: int
    """|Theta|."""
    batch_size: int
    """|B|."""
    epsilon: int
    """epsilon, the interval size."""

    @property
    def factor(self) -> float:
        """|Theta| |B| |Xi| / epsilon, which is divided by s^1.5."""
        return self.hyperparameter_sets * self.batch_size * self.architectures / self.epsilon

    def total(self, s: float) -> float:
        """The whole expression at a value of s: a number of steps, up to an unknown constant."""
        return self.architectures + self.weights * (1 + self.factor / s ** 1.5)


def approximation_bound(epsilon: float) -> float:
    """The paper's bound on the relative error, rho ≤ |1 − epsilon| (§3.2; P2, abstract)."""
    return abs(1 - epsilon)


def bound_note(epsilon: int) -> str:
    """What the bound means at a given epsilon, in words."""
    bound = f"rho ≤ |1 − epsilon| = {approximation_bound(epsilon):g}"
    if epsilon == 1:
        return f"{bound}: every architecture was evaluated; the choice is the best of the space by these surrogates."
    return (f"{bound}: it promises nothing. A relative loss of W is never above 1, so that at epsilon ≥ 2 any feasible "
            "choice meets it, the paper's at epsilon = 2 included. What does hold: the W returned is no less than that "
            "of the candidate that stands for the optimum's interval; and if parameters and latency grow along the "
            "order and neighbours' errors differ by at most a factor 1 + delta, no less than the optimum's divided by "
            "(1 + delta)^(epsilon − 1).")


def weak_conditions(architectures: Sequence[Architecture], vocab_size: int = ROBERTA_VOCABULARY,
                    num_positions: int = ROBERTA_POSITIONS) -> List[Condition]:
    """The conditions of the weak AB^nC property (App. B) for a space."""
    return [_depths(architectures), _embedding(architectures, vocab_size, num_positions), _pooler(architectures),
            _flops(architectures)]


def strong_conditions(result: SearchResult, gradient_clip: Optional[float],
                      least_weight_norm: Optional[float] = None) -> List[Condition]:
    """The conditions that the strong AB^nC property adds (App. C).

    Args:
        result: a search; its errors are inspected.
        gradient_clip: the global norm to which gradients were clipped; None if they were not clipped.
        least_weight_norm: c, the least norm of the weights over the layers of a trained candidate, if measured.
    """
    return [_bounded_below(result), _bounded_gradients(gradient_clip), _compact_weights(result, gradient_clip),
            _smoothness(result, least_weight_norm), _strong_convexity()]


def order_conditions(result: SearchResult, vocab_size: int = ROBERTA_VOCABULARY,
                     num_positions: int = ROBERTA_POSITIONS) -> List[Condition]:
    """Whether the objectives grow along the intrinsic order. The guarantee of the intervals relies on it [I]."""
    found = result.objectives()
    ordered = [found[a] for a in intrinsic_order(found, vocab_size, num_positions, result.order)]
    conditions = []
    for name in ("parameters", "latency"):
        values = [getattr(objectives, name) for objectives in ordered]
        rising = sum(a <= b for a, b in zip(values, values[1:]))
        conditions.append(Condition(
            f"no drop in {name} along the order of the candidates", "our reading of §3.2",
            HOLDS if rising == len(values) - 1 else FAILS, f"{rising} of {len(values) - 1} neighbours"))
    return conditions


def lipschitz_exponent(num_layers: int) -> int:
    """10 D + 1, the number of linear layers in Theorem 1. Its lower bound is L ≥ c^(10 D + 1)."""
    return 10 * num_layers + 1


def _depths(architectures: Sequence[Architecture]) -> Condition:
    depths = sorted({a.num_layers for a in architectures})
    even = all(depth % 2 == 0 for depth in depths)
    by_two = len(depths) > 1 and all(b - a == 2 for a, b in zip(depths, depths[1:]))
    reason = "all even" if even else "in steps of two" if by_two else "neither all even nor in steps of two"
    return Condition("depths are even, or D_{i+1} = D_i + 2", "Lemma 3, Remark 1", HOLDS if even or by_two else FAILS,
                     f"D in {{{', '.join(map(str, depths))}}}: {reason}")


def _embedding(architectures: Sequence[Architecture], vocab_size: int, num_positions: int) -> Condition:
    ratios = [(vocab_size + num_positions + 6) * a.hidden_size / _paired_parameters(a) for a in architectures]
    return Condition(
        "embedding of lower order than a pair of layers, in parameters", "eq. 13, 15, 18", HOLDS,
        "with V and S constant it has degree 1 in H, the pair 8H² + 4HI + 18H + 2I degree 2. That speaks of H → ∞: in "
        f"this space the embedding is {min(ratios):.2g} to {max(ratios):.2g} times a pair")


def _pooler(architectures: Sequence[Architecture]) -> Condition:
    ratios = [a.hidden_size ** 2 / _paired_parameters(a) for a in architectures]
    return Condition(
        "pooler of lower order than a pair of layers, in parameters", "eq. 13, 16, 19", FAILS,
        "both have degree 2 in H: H² against 8H² + 4HI + 18H + 2I. It is bounded by the pair (eq. 16), but for fixed I "
        "the ratio tends to 1/8, not to 0 (eq. 19), and the degree of 4 that the proof names is not in eq. 13. In this "
        f"space the pooler is {min(ratios):.2g} to {max(ratios):.2g} times a pair")


def _flops(architectures: Sequence[Architecture]) -> Condition:
    def pair(a: Architecture) -> float:
        H, I = a.hidden_size, a.intermediate_size
        return 2 * (4 * (2 * H - 1) * H + H * H + (2 * H - 1) * I + 7 * I * I)
    ratios = [((2 * a.hidden_size - 1) * a.hidden_size + 3 * a.hidden_size) / pair(a) for a in architectures]
    return Condition(
        "embedding and pooler bounded by a pair of layers, in FLOPs", "eq. 12, symmetric to 15 and 16",
        HOLDS if max(ratios) <= 1 else FAILS,
        f"they are {min(ratios):.2g} to {max(ratios):.2g} times a pair; of the same degree in H, so that the strict "
        "form (eq. 19) fails as for the parameters")


def _paired_parameters(a: Architecture) -> int:
    # Lemma 3 compares with two layers, because it pairs the layers of a network of even depth.
    return 2 * a.encoder_parameters() // a.num_layers


def _bounded_below(result: SearchResult) -> Condition:
    errors = [ranked.objectives.error for ranked in result.ranking]
    finite = [error for error in errors if math.isfinite(error)]
    return Condition(
        "ê is bounded from below", "App. C", HOLDS if len(finite) == len(errors) else FAILS,
        f"a cross-entropy is at least T's own entropy, hence above 0; found {min(finite):.4g} to {max(finite):.4g}"
        + ("" if len(finite) == len(errors) else f", and {len(errors) - len(finite)} not finite"))


def _bounded_gradients(gradient_clip: Optional[float]) -> Condition:
    name, source = "stochastic gradients are bounded", "§3.3, App. C"
    if gradient_clip is None:
        return Condition(name, source, UNVERIFIABLE, "gradients were not clipped")
    return Condition(name, source, HOLDS, f"clipped to a global norm of {gradient_clip:g}; finite precision")


def _compact_weights(result: SearchResult, gradient_clip: Optional[float]) -> Condition:
    name, source = "weights lie in a compact set", "Theorem 1, Remark 2"
    if gradient_clip is None:
        return Condition(name, source, UNVERIFIABLE, "gradients were not clipped; only finite precision bounds them")
    return Condition(name, source, HOLDS, "a finite number of steps of bounded length from a bounded start; finite "
                     "precision")


def _smoothness(result: SearchResult, c: Optional[float]) -> Condition:
    depths = [ranked.architecture.num_layers for ranked in result.ranking]
    exponents = lipschitz_exponent(min(depths)), lipschitz_exponent(max(depths))
    text = (f"Theorem 1 gives a lower bound, L ≥ c^(10D+1), here c^{exponents[0]} to c^{exponents[1]}; smoothness "
            "needs an upper one, which is argued to exist and not computed, and which no finite number of evaluations "
            "shows")
    if c is not None and c > 0:
        logarithms = [exponent * math.log10(c) for exponent in exponents]
        text += f". With c = {c:.4g}, log10 L ≥ {logarithms[0]:.3g} to {logarithms[1]:.3g}"
        text += "" if c >= 1 else "; the theorem asks for c ≥ 1, which this is not"
    return Condition("ê is L-Lipschitz smooth in the weights", "Theorem 1, Corollary 1", UNVERIFIABLE, text)


def _strong_convexity() -> Condition:
    return Condition(
        "ê is mu-strongly convex in the weights", "P2, for rho ≤ |1 − epsilon|", FAILS,
        "the loss of a network with hidden layers is not convex: exchanging two neurons of a layer, with their "
        "weights, gives another minimum of the same loss, and the weights between the two do not. The bound is "
        "therefore not proven for networks")


def as_rows(conditions: Sequence[Condition]) -> List[Dict[str, str]]:
    """Conditions as JSON values."""
    return [dataclasses.asdict(condition) for condition in conditions]
