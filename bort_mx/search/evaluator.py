"""Evaluation of an architecture, given T and the data: batches, parameters, latency and error."""

import pathlib
from typing import Any, Dict

import mxnet as mx

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import loading
from bort_mx.data.masking import MaskedBatches
from bort_mx.data.prepared_text import data_hashes
from bort_mx.data.shards import TokenShards
from bort_mx.distributed import Workers
from bort_mx.models.bert import BERT
from bort_mx.models.config import ModelConfig
from bort_mx.pretraining.student_and_teacher import check_length, load_teacher
from bort_mx.search import cost_model
from bort_mx.search.fptas_algorithm import check_maximum_point
from bort_mx.search.options import SearchOptions
from bort_mx.search.sources import digest
from bort_mx.search.space import SearchSpace
from bort_mx.search.surrogates import MeasuredLatency, parameters_by_formula, parameters_counted
from bort_mx.search.teacher_states import SearchBatches

_ROBERTA_ROWS = 2  # RoBERTa's position table has 2 unused rows. Eq. 13 counts them (S = 514); our models lack them.


class Evaluator:
    """Everything that evaluates candidates, made from T's checkpoint and the prepared data.

    Args:
        options: the options of the search.
        space: Xi. T must not be smaller than all its architectures.
        teacher: T's checkpoint.
        data: the directory of prepared data.
        workers: one worker of each host verifies the hashes of the data files.
        ctx: the device.

    Attributes:
        config: configuration of the candidates, except for the architecture.
        teacher_architecture: the architecture of the teacher's checkpoint.
        maximum_point: T's architecture: the teacher's, unless --maximum-point gives another one.
        vocab_size, num_positions: V and S of eq. 13.
        batches: the sequences for training and evaluation.
        workload: the work done for each candidate.
        parameters: p as a function of the architecture.
        measure_latency: î in seconds per sample, as a function of the architecture.
        inputs: hashes of T and of the data.

    Raises:
        InputError: T is smaller than every architecture of the space, or has fewer positions than --seq-len; or the
            data are damaged.
    """

    def __init__(self, options: SearchOptions, space: SearchSpace, teacher: pathlib.Path, data: pathlib.Path,
                 workers: Workers, ctx: mx.Context):
        self.options, self._teacher, self._ctx = options, teacher, ctx
        weights = loading.read(teacher)
        self.teacher_architecture = weights.config.architecture
        self.config = _candidate_config(weights.config, options.dropout)
        self.maximum_point = (Architecture.parse(options.maximum_point) if options.maximum_point
                              else self.teacher_architecture)
        self.vocab_size = weights.config.vocab_size
        self.num_positions = weights.config.num_positions + (_ROBERTA_ROWS if self.config.family == "roberta" else 0)
        check_maximum_point(space.architectures, self.maximum_point, self.vocab_size, self.num_positions)
        check_length(options.seq_len, weights.config, str(teacher))
        self.inputs = {"teacher_sha256": digest(weights), "data": data_hashes(data)}
        self._draw_batches(data, workers)
        self.parameters = (parameters_by_formula(self.vocab_size, self.num_positions)
                           if options.parameters == "formula" else parameters_counted(self.config))
        self.measure_latency = MeasuredLatency(self.config, options.latency_batch_size, options.seq_len,
                                               options.latency_repeats, options.seed, ctx)

    def _draw_batches(self, data: pathlib.Path, workers: Workers) -> None:
        options = self.options
        train, validation = (TokenShards(data, split, verify=workers.local_rank == 0)
                             for split in ("train", "validation"))
        self.tokenizer = train.tokenizer()
        training, held_out = (MaskedBatches(shards, self.tokenizer, options.seq_len, options.seed,
                                            options.mask_probability) for shards in (train, validation))
        self.batches = SearchBatches.draw(training, held_out, options.steps, options.batch_size,
                                          options.micro_batch, options.evaluation_lines)
        self.workload = cost_model.Workload(options.steps, options.batch_size, options.seq_len, training.max_masked,
                                       self.batches.lines, len(options.theta), self.vocab_size)

    def load_teacher(self) -> BERT:
        """Load T with its MLM head.

        Raises:
            InputError: its vocabulary is not that of the data, or its MLM head is not trained.
        """
        return load_teacher(self._teacher, self.tokenizer, self.options.seq_len, self._ctx)

    def cost(self, architecture: Architecture) -> float:
        """Predicted multiply-adds of a candidate, used to share candidates among workers."""
        return cost_model.candidate_work(architecture, self.workload, self.teacher_architecture)

    def of_an_evaluation(self) -> Dict[str, Any]:
        """Everything that determines one evaluation or T's latency. The space and epsilon do not belong to it."""
        measured = {"maximum_point": str(self.maximum_point)} if self.options.latency == "measured" else {}
        return {**self.inputs, **self.options.of_an_evaluation(), "evaluation_lines": self.batches.lines, **measured}

    @property
    def latency_unit(self) -> str:
        """The unit of latency, for the report."""
        return "FLOPs per token" if self.options.latency == "flops" else "s"

    def describe_t(self) -> str:
        """T in words: its architecture, and the hash of its checkpoint. A path would mean nothing on other machines."""
        checkpoint = f"checkpoint {self.inputs['teacher_sha256'][:12]}"
        if self.maximum_point == self.teacher_architecture:
            return f"⟨{self.maximum_point}⟩, {checkpoint}"
        return f"⟨{self.maximum_point}⟩, with ⟨{self.teacher_architecture}⟩, {checkpoint}, as the teacher"

    def describe_lines(self) -> str:
        """A note if there are fewer evaluation lines than requested; otherwise empty."""
        asked, found = self.options.evaluation_lines, self.batches.lines
        return "" if asked == found else (f"--evaluation-lines {asked:,}: the validation split has {found:,} sequences "
                                          f"of at most {self.options.seq_len} tokens; all of them are used")


def _candidate_config(teacher: ModelConfig, dropout: float) -> ModelConfig:
    """Candidates have T's family, vocabulary and positions, and an MLM head."""
    return teacher.replace(head="mlm", dropout=dropout, pooler=False, extra_layer=False)
