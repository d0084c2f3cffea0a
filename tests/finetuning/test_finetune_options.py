"""Options of fine-tuning."""

import dataclasses

import numpy as np
import pytest
from finetuning_runs import weights

from bort_mx.checkpoints import load
from bort_mx.commands.finetune import run_arguments
from bort_mx.data.tasks import get_task
from bort_mx.errors import InputError
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions


def test_chs_are_the_papers_and_what_is_given_wins():
    task = get_task("CoLA")
    options = FineTuningOptions(task="CoLA", chs=True, warmup=0.2).resolved(task, task)
    assert (options.learning_rate, options.weight_decay, options.warmup, options.seed, options.batch_size) == (
        9e-6, 10, 0.2, 3, 8)
    assert options.extra_layer is True
    plain = FineTuningOptions(task="SST-2").resolved(get_task("SST-2"), get_task("SST-2"))
    assert (plain.learning_rate, plain.batch_size, plain.extra_layer) == (1e-5, 16, False)
    mnli, ax = get_task("MNLI-matched"), get_task("AX")
    assert FineTuningOptions(task="AX", chs=True).resolved(mnli, ax).warmup == 0.45


def test_classifiers(small, tmp_path):
    """U(−1/2, 1/2) as in the paper, N(0, 0.02²) as in BERT, with pooler and extra layer where asked."""
    for init, options in (("uniform", {}), ("normal", {"pooler": True, "extra_layer": True})):
        out = tmp_path / init
        finetune(dataclasses.replace(small, classifier_init=init, learning_rate=1e-12, epochs=1, output_dir=str(out),
                                     weight_decay=0.0, **options))
        _, _, config = load(out)
        assert (config.pooler, config.extra_layer) == (bool(options), bool(options))
        new = np.concatenate([v.ravel() for k, v in weights(out, "best").items() if k.startswith("classifier.")
                              and k.endswith("weight")])
        assert (np.abs(new).max() > 0.3) == (init == "uniform") and np.abs(new).max() < 0.5


@pytest.mark.parametrize("values, message", [
    (dict(batch_size=0), "--batch-size 0"), (dict(dropout=1.0), "--dropout 1.0"), (dict(epochs=0), "--epochs 0"),
    (dict(learning_rate=0.0), "--learning-rate 0.0"), (dict(predict_only=True, seeds=3), "leave out --seeds"),
    (dict(seeds=3, resume="x"), "--resume auto"), (dict(warmup=np.inf), "--warmup inf: must be finite"),
    (dict(epochs=-10 ** 400), "must be at least 1"),
    (dict(learning_rate=np.inf), "--learning-rate inf: must be finite"), (dict(warmup=np.nan), "--warmup nan"),
    (dict(patience=3), "--patience 3 requires --early-stopping"),
    (dict(early_stopping=True, evaluation_interval=0), "--early-stopping: with --evaluation-interval 0"),
    (dict(task="RTE", teacher="t", kd_weight=0.0), "--kd-weight 0: nothing would be learnt from --teacher t"),
    (dict(task="RTE", split_seed=5), "--split-seed 5: no dev set is split off here"),
    (dict(train="a.csv", dev="b.csv", split_seed=5), "--split-seed 5: no dev set is split off here"),
    (dict(keep_classifier=True, pooler=True), "--keep-classifier uses the classifier as it was trained"),
    (dict(checkpoint="fresh", predict_only=True), "fresh has no classifier; leave out --predict-only")])
def test_options_out_of_range_are_refused_by_name(values, message):
    with pytest.raises(InputError, match=message):
        FineTuningOptions(**values)


@pytest.mark.parametrize("words, message", [
    (["--keep-classifier", "--pooling", "first"], "--keep-classifier .*; leave out --pooling"),
    (["--keep-classifier", "--classifier-init", "uniform"], "--keep-classifier .*; leave out --classifier-init"),
    (["--keep-classifier", "--no-pooler"], "--keep-classifier .*; leave out --no-pooler"),
    (["--epochs", "1", "--max-epochs", "10"], "--epochs is the number of epochs, .*; leave out --max-epochs")])
def test_what_another_option_makes_idle_is_refused(tmp_path, words, message):
    with pytest.raises(InputError, match=message):
        run_arguments(["--task", "RTE", "--data-dir", "none", "--checkpoint", "none", "--output-dir",
                       str(tmp_path / "run"), *words])
    assert not (tmp_path / "run").exists()
