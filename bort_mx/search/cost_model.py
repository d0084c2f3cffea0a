"""Cost of a search: multiply-adds of each candidate, and hours of a whole search at a measured speed.

B: batch size. s: sequence length. M: masked positions per sequence. V: vocabulary size. H: hidden size.
"""

import dataclasses
import statistics
from typing import List, Sequence

from bort_mx.architecture import PRESETS, ROBERTA_VOCABULARY, Architecture
from bort_mx.errors import InputError
from bort_mx.search.space import admit, intervals, intrinsic_order, read_space, read_strategy, representatives
from bort_mx.search.work_sharing import assign

_TRAINING = 3  # a forward pass, and a backward pass of twice its cost


@dataclasses.dataclass(frozen=True)
class Workload:
    """The work done for each candidate. The defaults are those of the paper's search (§3.3)."""

    steps: int = 3
    """n, number of training steps per candidate and set of hyperparameters."""
    batch_size: int = 1024
    """B, number of sequences per training step."""
    length: int = 512
    """s, number of tokens per sequence."""
    masked_positions: int = 77
    """M, number of masked positions per sequence: 15 % of s."""
    evaluation_lines: int = 11828
    """Number of sequences on which error and latency are evaluated."""
    hyperparameter_sets: int = 1
    """|Theta|, number of sets of hyperparameters."""
    vocab_size: int = ROBERTA_VOCABULARY
    """V."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """Predicted wall-clock time of a search on several devices."""

    devices: int
    """Number of devices. Each evaluates its own candidates."""
    teacher_seconds: float
    """Time of the teacher's single pass over all batches, shared by the devices."""
    candidate_seconds: float
    """Time of the candidates on the busiest device."""

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the whole search."""
        return self.teacher_seconds + self.candidate_seconds

    @property
    def device_hours(self) -> float:
        """Wall-clock hours, times the number of devices."""
        return self.seconds * self.devices / 3600


def encoder_work(architecture: Architecture, length: int, masked_positions: int) -> int:
    """Multiply-adds of the encoder for one sequence, if the last states are needed at M of its s tokens only.

    This is the whole encoder without what the last layer can skip: (s − M)(2H² + 2HI + 2sH).
    """
    H, I, s = architecture.hidden_size, architecture.intermediate_size, length
    return architecture.multiply_adds(s) - (s - masked_positions) * (2 * H * H + 2 * H * I + 2 * s * H)


def forward_work(architecture: Architecture, length: int, masked_positions: int, vocab_size: int) -> int:
    """Multiply-adds of one sequence through encoder and MLM head: encoder + M (H² + VH)."""
    H = architecture.hidden_size
    return encoder_work(architecture, length, masked_positions) + masked_positions * (H * H + vocab_size * H)


def candidate_work(architecture: Architecture, workload: Workload, maximum_point: Architecture) -> float:
    """Multiply-adds of one candidate: training, error and latency on the evaluation lines, and T's head each time.

    T's logits are computed again from its stored hidden states for every candidate: M V H(T) per sequence.
    """
    w = workload
    own = forward_work(architecture, w.length, w.masked_positions, w.vocab_size)
    head_of_t = w.masked_positions * w.vocab_size * maximum_point.hidden_size
    trained = w.hyperparameter_sets * w.steps * w.batch_size * (_TRAINING * own + head_of_t)
    evaluated = w.hyperparameter_sets * w.evaluation_lines * (own + head_of_t)
    return float(trained + evaluated + w.evaluation_lines * architecture.multiply_adds(w.length))


def teacher_work(maximum_point: Architecture, workload: Workload) -> float:
    """Multiply-adds of T: one pass over all training and evaluation sequences, and its latency measurement."""
    w = workload
    sequences = w.steps * w.batch_size + w.evaluation_lines
    return float(sequences * encoder_work(maximum_point, w.length, w.masked_positions)
                 + w.evaluation_lines * maximum_point.multiply_adds(w.length))


def measured_rate(architecture: Architecture, workload: Workload, step_seconds: Sequence[float],
                  teacher_hidden_size: int = 0) -> float:
    """Multiply-adds per second of training, from the median of measured times of a step with B sequences.

    `teacher_hidden_size`: H of T if the step also applied T's head to stored states (M V H(T) per sequence), else 0.

    Raises:
        InputError: there are no times, or a time is not positive.
    """
    if not step_seconds or min(step_seconds) <= 0:
        raise InputError(f"measured step times: {list(step_seconds)!r}; at least one is needed, all above 0 seconds")
    own = forward_work(architecture, workload.length, workload.masked_positions, workload.vocab_size)
    head_of_t = workload.masked_positions * workload.vocab_size * teacher_hidden_size
    return workload.batch_size * (_TRAINING * own + head_of_t) / statistics.median(step_seconds)


def predict_search(candidates: Sequence[Architecture], maximum_point: Architecture, rate: float, devices: int = 1,
                   workload: Workload = Workload()) -> Prediction:
    """Time of a search at `rate` multiply-adds per second and device.

    This is an extrapolation. It assumes that every candidate reaches the rate measured for one. It ignores start-up,
    reading of data and the update of weights. It is valid only for the kind of device on which the rate was measured.
    """
    costs = [candidate_work(architecture, workload, maximum_point) for architecture in candidates]
    busiest = max(sum(costs[i] for i in share) for share in assign(costs, devices))
    return Prediction(devices, teacher_work(maximum_point, workload) / (rate * devices), busiest / rate)


def paper_candidates() -> List[Architecture]:
    """The architectures that the paper's search evaluates (§3.3): 150, by the order of `PAPER_SPACE`."""
    strategy = read_strategy()
    ordered = intrinsic_order(admit(read_space()).architectures, order=strategy["order"])
    return representatives(intervals(ordered, 2), strategy["representative"])


def predict_paper_search(rate: float, devices: Sequence[int] = (1, 8)) -> List[Prediction]:
    """Time of the paper's own search (§3.3: 150 candidates, T = RoBERTa-large) at a measured rate per device."""
    candidates = paper_candidates()
    return [predict_search(candidates, PRESETS["roberta-large"], rate, count) for count in devices]
