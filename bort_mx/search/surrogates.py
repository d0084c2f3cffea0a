"""The surrogates of the three objectives: trained error, parameters and latency (paper §3.3).

Dimensions: B sequences, s tokens, M masked positions per sequence, N = B·M, V vocabulary size, n training steps.
[P]: stated by the paper. [I]: our interpretation.
"""

import gc
import math
import statistics
import time
from typing import Callable, Dict, List, Sequence

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.architecture import Architecture
from bort_mx.devices import to_device
from bort_mx.distributed import Workers
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.build import build_from_config
from bort_mx.models.config import ModelConfig
from bort_mx.pretraining.losses import distillation_loss
from bort_mx.search.options import Hyperparameters
from bort_mx.search.teacher_states import NumberedBatch, SearchBatches, TeacherStates
from bort_mx.training import schedules
from bort_mx.training.optimizers import OptimizerSettings, build_optimizer
from bort_mx.training.step import NonFiniteError, Sums, TrainingStep

UNTIMED_PASSES = 2
"""Number of forward passes before the timed ones. The first of them compiles the graph and allocates its memory."""


class TeacherObjective:
    """Cross-entropy of a candidate against T's distribution: "between the last layers" of both [P], at temperature 1.

    [I] The distribution is that over V at the masked positions, as in pre-training; the paper does not say over what.

    Args:
        model: the candidate, with its MLM head.
        teacher: T's stored states.
        ctx: the device.
    """

    def __init__(self, model: BERT, teacher: TeacherStates, ctx: mx.Context):
        self._model, self._teacher, self._ctx = model, teacher, ctx

    def __call__(self, numbered: NumberedBatch, detailed: bool = False) -> Sums:
        """Sum of −Σ_v p_T(v) log p(v) over the masked positions of a micro-batch, and their number."""
        batch = numbered.batch
        inputs = [to_device(a, self._ctx) for a in (batch.input_ids, batch.valid_length, batch.masked_positions)]
        logits = self._model(*inputs)  # (B, M, V)
        logits = logits.reshape((-1, logits.shape[-1]))  # (N, V)
        weights = to_device(batch.weights.reshape(-1), self._ctx)  # (N,)
        loss = distillation_loss(logits, self._teacher.logits(numbered.index), weights, 1.0, reduction="sum")
        return Sums(loss, float(batch.weights.sum()))


class TrainedError:
    """ê: train a new candidate for n steps towards T; ê is then the same cross-entropy on the evaluation lines.

    [P] n steps of SGD, the loss, and ê. [I] The initial weights are new, with the same seed for every candidate and
    theta. With several thetas, the lowest ê is used. If any of a candidate's steps is not finite, that theta gives NaN.

    Args:
        config: configuration of the candidates, except for the architecture.
        batches: the sequences for training and evaluation.
        teacher: T's states for these sequences.
        theta: Theta, the sets of hyperparameters to try.
        optimizer: the optimizer and its hyperparameters.
        clip: upper bound on the norm of the gradient; 0 for none.
        seed: seed of initial weights and dropout.
        ctx: the device.

    Attributes:
        step_seconds: candidate → times of the training steps made in this run.
    """

    def __init__(self, config: ModelConfig, batches: SearchBatches, teacher: TeacherStates,
                 theta: Sequence[Hyperparameters], optimizer: OptimizerSettings = OptimizerSettings("sgd", 0.0),
                 clip: float = 1.0, seed: int = 0, ctx: mx.Context = mx.cpu()):
        self._config, self._batches, self._teacher, self._theta = config, batches, teacher, theta
        self._optimizer, self._clip, self._seed, self._ctx = optimizer, clip, seed, ctx
        self.step_seconds: Dict[Architecture, List[float]] = {}

    def __call__(self, architecture: Architecture) -> float:
        """ê in nats; NaN if no theta gave a finite one."""
        errors = [self._error(architecture, theta) for theta in self._theta]
        return min((error for error in errors if math.isfinite(error)), default=math.nan)

    def _error(self, architecture: Architecture, theta: Hyperparameters) -> float:
        model = build_from_config(self._config.replace(architecture=architecture), seed=self._seed, ctx=self._ctx)
        objective = TeacherObjective(model, self._teacher, self._ctx)
        error = self._evaluate(objective) if self._train(model, objective, theta, architecture) else math.nan
        del model, objective
        release()
        return error

    def _train(self, model: BERT, objective: TeacherObjective, theta: Hyperparameters,
               architecture: Architecture) -> bool:
        """Train for n steps on this worker alone. Returns whether all steps were finite."""
        optimizer = build_optimizer(parameters_of(model), self._optimizer)
        core = TrainingStep(objective, optimizer, Workers(), self._clip)  # `Workers()`: no averaging over workers
        warmup = schedules.warmup_steps(theta.warmup, len(self._batches.training))
        times = self.step_seconds.setdefault(architecture, [])
        try:
            for step, batches in enumerate(self._batches.training, start=1):
                # The seed depends on the candidate, not on the order of candidates: any worker gets the same ê.
                random.seed_mxnet(self._seed, "search step", step, *architecture.as_tuple())
                start = time.perf_counter()
                core(batches, theta.learning_rate * schedules.noam(step, warmup))
                mx.nd.waitall()  # MXNet computes asynchronously: wait before stopping the clock
                times.append(time.perf_counter() - start)
        except NonFiniteError:  # ten steps in a row; going on is useless, and the candidate counts as infeasible
            return False
        return core.skipped == 0

    def least_weight_norm(self, architecture: Architecture) -> float:
        """c of App. C: the least Frobenius norm of a layer's weights, after the steps of the first theta.

        Of the linear layers of encoder and head; the embeddings are none.
        """
        model = build_from_config(self._config.replace(architecture=architecture), seed=self._seed, ctx=self._ctx)
        self._train(model, TeacherObjective(model, self._teacher, self._ctx), self._theta[0], architecture)
        norms = [float(np.linalg.norm(parameter.data().asnumpy())) for name, parameter in parameters_of(model).items()
                 if len(parameter.shape) == 2 and name.endswith("weight") and "embed" not in name
                 and not name.endswith("position_weight")]
        del model
        release()
        return min(norms)

    def _evaluate(self, objective: TeacherObjective) -> float:
        total, weight = 0.0, 0.0
        for numbered in self._batches.evaluation:
            sums = objective(numbered)
            total, weight = total + float(sums.loss.asscalar()), weight + sums.weight
        return total / weight


def parameters_by_formula(vocab_size: int, num_positions: int) -> Callable[[Architecture], int]:
    """p by eq. 13 (embedding, encoder and pooler), as a function of the architecture."""
    return lambda architecture: architecture.parameters(vocab_size, num_positions)


def parameters_counted(config: ModelConfig) -> Callable[[Architecture], int]:
    """p as the number of weights of the model with the head of `config`. Allocates no memory for the weights."""
    def count(architecture: Architecture) -> int:
        model = BERT(config.replace(architecture=architecture))
        return sum(int(np.prod(p.shape)) for p in parameters_of(model).values())
    return count


class MeasuredLatency:
    """î: seconds per sequence for a forward pass of embedding and encoder; the median of several passes.

    [P] Mean time of inference on the evaluation lines. [I] The median, over one fixed batch of full sequences, because
    other work on the machine distorts a mean. The MLM head is left out, as in eq. 12.

    Args:
        config: configuration of the models, except for the architecture.
        batch_size: B.
        length: s.
        repeats: number of timed passes.
        seed: seed of the sequences' random ids.
        ctx: the device.
    """

    def __init__(self, config: ModelConfig, batch_size: int, length: int, repeats: int, seed: int = 0,
                 ctx: mx.Context = mx.cpu()):
        self._config, self._repeats, self._ctx = config.replace(head="encoder"), repeats, ctx
        ids = random.generator(seed, "latency").integers(0, config.vocab_size, (batch_size, length))
        self._ids = to_device(ids, ctx)  # (B, s)

    def __call__(self, architecture: Architecture) -> float:
        """Latency in seconds per sequence."""
        model = build_from_config(self._config.replace(architecture=architecture), seed=0, ctx=self._ctx)
        times = [self._pass(model) for _ in range(UNTIMED_PASSES + self._repeats)][UNTIMED_PASSES:]
        del model
        release()
        return statistics.median(times) / self._ids.shape[0]

    def _pass(self, model: BERT) -> float:
        mx.nd.waitall()
        start = time.perf_counter()
        model(self._ids).wait_to_read()
        return time.perf_counter() - start


def release() -> None:
    """Free the memory of a deleted model. Gluon's blocks and parameters form cycles, so the collector must run."""
    mx.nd.waitall()
    gc.collect()
