"""Students of --distill and --losses as a user trains them: losses, first weights, budgets, workers, bad input."""

import itertools
import json
import pathlib
import shutil

import mxnet as mx
import numpy as np
import pytest
from test_pretraining import rows, run, same_weights, start, weights

from bort_mx import Architecture
from bort_mx.checkpoints import load, read, save
from bort_mx.data.masking import MaskedBatches
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.models import build_model
from bort_mx.models.bert import parameters_of
from bort_mx.models.inner_states import InnerStates
from bort_mx.pretraining import pretrain as pretraining
from bort_mx.pretraining.from_teacher import layers_of, start_from_teacher
from bort_mx.pretraining.inner_objective import pairs_of_layers
from bort_mx.pretraining.options import PretrainingOptions
from bort_mx.sentence_embedding import SentenceEmbedding
from bort_mx.training import schedules
from bort_mx.training.budget import Budget

STUDENT = ["--architecture", "2,2,16,24", "--batch-size", "8", "--seq-len", "32", "--learning-rate", "3e-3", "--warmup",
           "0.2", "--schedule", "linear", "--log-interval", "1", "--checkpoint-interval", "4", "--evaluation-interval",
           "0", "--evaluation-sequences", "16", "--max-steps", "12", "--dropout", "0"]

UNENDED = STUDENT[:STUDENT.index("--max-steps")] + STUDENT[STUDENT.index("--max-steps") + 2:]
"""Without --max-steps, for a --budget."""
SAMPLE = np.arange(40).reshape(4, 10), np.array([10, 10, 7, 3])


@pytest.fixture(scope="module")
def teacher(prepared, tmp_path_factory):
    """A wider and deeper encoder without a head, on the vocabulary of the text."""
    from bort_mx.data.shards import TokenShards

    tokenizer = TokenShards(prepared, "train").tokenizer()
    path = tmp_path_factory.mktemp("teacher") / "teacher"
    model = build_model(Architecture(3, 3, 24, 36), tokenizer.vocab_size, seed=3, num_positions=64)
    save(path, model, tokenizer)
    return path


@pytest.fixture(scope="module")
def distilled(prepared, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("distilled") / "run"
    run("--data", prepared, "--teacher", teacher, "--losses", "relations=1", "hidden=0.5", *STUDENT, "--output-dir",
        out, "--max-steps", "40")
    return out


@pytest.mark.parametrize("family", ["bert", "roberta"])
@pytest.mark.parametrize("head", ["mlm", "encoder"])
def test_inner_states_are_the_models(family, head):
    """The last hidden states are an encoder's; queries, keys and values are products with the weights."""
    model = build_model(Architecture(2, 2, 16, 24), 50, head, family=family, seed=1)
    encoder = build_model(Architecture(2, 2, 16, 24), 50, "encoder", family=family, seed=1)
    ids, lengths = mx.nd.array(np.random.default_rng(0).integers(0, 50, (3, 7))), mx.nd.array([7, 3, 5])
    projected, embedded, first, last = InnerStates(model, [2], [0, 1, 2])(ids, lengths)
    expected = encoder(ids, lengths).asnumpy()
    for b, n in enumerate([7, 3, 5]):
        np.testing.assert_allclose(last.asnumpy()[:n, b], expected[b, :n], atol=1e-5)
    cell = model.encoder.transformer_cells[1].attention_cell
    weight = np.concatenate([p.data().asnumpy() for p in (cell.query_weight, cell.key_weight, cell.value_weight)])
    np.testing.assert_allclose(projected.asnumpy(), first.asnumpy() @ weight.T, atol=1e-5)
    assert embedded.shape == (7, 3, 16) and not np.allclose(embedded.asnumpy(), first.asnumpy())


def test_losses_fall_and_no_head_is_made(distilled):
    found = [row for row in rows(distilled) if "loss" in row]
    for name in ("relations_loss", "hidden_loss"):
        assert np.mean([row[name] for row in found[-5:]]) < 0.97 * np.mean([row[name] for row in found[:5]]), name
    assert found[3]["loss"] == pytest.approx(found[3]["relations_loss"] + 0.5 * found[3]["hidden_loss"], rel=1e-5)
    assert not any(name.startswith(("decoder", "projection")) for name in weights(distilled, 40))
    results = json.loads((distilled / "results.json").read_text())
    assert results["validation_losses"] == [[40, results["validation_loss"]]]
    cost = json.loads((distilled / "cost.json").read_text())
    assert cost["seconds"] > 0 and cost["cpu_seconds"] > 0 and cost["forecast"]["steps"] == 40


@pytest.mark.parametrize("losses", [["mlm=0.3", "relations=1"], ["embeddings"], ["hidden", "relations"]])
def test_killed_and_resumed_is_bit_identical(prepared, teacher, tmp_path, losses):
    options = ["--data", prepared, "--teacher", teacher, "--losses", *losses, *STUDENT, "--init-from-teacher", "lower"]
    run(*options, "--output-dir", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (8, 12):
        shutil.rmtree(tmp_path / f"killed/checkpoints/step-{step}")
    run(*options, "--output-dir", tmp_path / "killed", "--resume", "auto")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert same_weights(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    final = rows(tmp_path / "whole")[-1]
    assert ("validation_mlm_accuracy" in final) == ("mlm=0.3" in losses)


def test_a_student_of_embeddings_embeds_and_is_a_sentence_transformer(prepared, teacher, tmp_path):
    """The checkpoint holds the dense layer, a folder written from it gives the same embeddings."""
    from bort_mx.checkpoints.convert import convert
    from bort_mx.inference.pipeline import embed, open_model

    run("--data", prepared, "--teacher", teacher, "--distill", "embeddings", "--output-dir", tmp_path / "run", *STUDENT)
    found = [row["embeddings_loss"] for row in rows(tmp_path / "run") if "embeddings_loss" in row]
    assert np.mean(found[-3:]) < np.mean(found[:3])
    held = read(tmp_path / "run")
    assert held.config.embedding.steps == (("identity", 24), ("normalize", 0))
    convert(held, tmp_path / "folder", "hf")
    assert (tmp_path / "folder/modules.json").is_file()
    texts = [("The cat sat.", None), ("A function returns a value.", None)]
    ours, theirs = (np.stack(list(embed(*open_model(tmp_path / name, "encoder"), texts))) for name in ("run", "folder"))
    np.testing.assert_allclose(theirs, ours, atol=1e-5)
    assert ours.shape == (2, 24) and np.linalg.norm(ours, axis=1) == pytest.approx(np.ones(2), abs=1e-5)


def test_a_text_is_a_sequence_for_embeddings(prepared, teacher, tmp_path, capsys, monkeypatch):
    """--sequences single is the default of that loss; every sequence of a step is one line of the text."""
    from bort_mx.data.shards import TokenShards

    eos_id, drawn = TokenShards(prepared, "train").tokenizer().eos_id, []

    class Watched(MaskedBatches):
        def at(self, *arguments):
            batch = super().at(*arguments)
            drawn.append(set((batch.input_ids == eos_id).sum(axis=1)))  # lines of each sequence
            return batch

    monkeypatch.setattr(pretraining, "MaskedBatches", Watched)
    options = ["--data", prepared, "--teacher", teacher, *STUDENT]
    run(*options, "--distill", "embeddings", "--output-dir", tmp_path / "embeddings")
    assert "8 sequences of at most 32 tokens" in capsys.readouterr().out
    assert json.loads((tmp_path / "embeddings/config.json").read_text())["sequences"] == "single"
    assert drawn == [{1}] * 12
    for more, expected in ([], "packed"), (["--sequences", "single"], "single"):
        drawn.clear()
        run(*options, "--distill", "hidden", "--output-dir", tmp_path / expected, *more)
        assert ("at most" in capsys.readouterr().out) == (drawn == [{1}] * 12) == (expected == "single")


def test_a_run_of_a_version_that_packed_goes_on_packed(prepared, teacher, tmp_path):
    options = ["--data", prepared, "--teacher", teacher, "--distill", "embeddings", *STUDENT]
    run(*options, "--sequences", "packed", "--output-dir", tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "older")
    config = json.loads((tmp_path / "older/config.json").read_text())
    del config["options"]["sequences"], config["sequences"]
    (tmp_path / "older/config.json").write_text(json.dumps(config))
    shutil.rmtree(tmp_path / "older/checkpoints/step-12")
    with pytest.raises(InputError, match="--sequences single: the run in .*older was started with packed; leave it"):
        run(*options, "--sequences", "single", "--output-dir", tmp_path / "older", "--resume", "auto")
    run(*options, "--output-dir", tmp_path / "older", "--resume", "auto")
    assert rows(tmp_path / "older") == rows(tmp_path / "whole")
    shutil.rmtree(tmp_path / "older/checkpoints/step-12")
    run(*options, "--output-dir", tmp_path / "older", "--resume", "auto")  # once more: now the folder has the entry
    assert same_weights(weights(tmp_path / "older"), weights(tmp_path / "whole"))


def saved_embedder(path, tokenizer, embedding, seed=5):
    """A model of the student's shape that embeds texts."""
    model = build_model(Architecture(2, 2, 16, 24), tokenizer.vocab_size, seed=seed, num_positions=64,
                        embedding=embedding, dropout=0.0)
    rng = np.random.default_rng(seed)
    model.embedding_tensors = {name: rng.normal(size=shape).astype(np.float32)
                               for name, shape in embedding.shapes(16).items()}
    save(path, model, tokenizer)
    return model


@pytest.mark.parametrize("pooling, steps, goes_on", [
    (("mean",), (("identity", 24), ("normalize", 0)), True), (("mean",), (("normalize", 0),), False),
    (("first",), (("tanh", 24), ("normalize", 0)), False), (("mean",), (("tanh", 24), ("normalize", 0)), False)])
def test_a_student_embeds_by_the_rule_that_it_was_trained_by(prepared, teacher, tmp_path, capsys, pooling, steps,
                                                             goes_on):
    """Whatever --init embeds by; its dense layer is taken only where the rule is the same."""
    held = saved_embedder(tmp_path / "init", read(teacher).tokenizer, SentenceEmbedding(pooling, steps, 20))
    options = ["--data", prepared, "--teacher", teacher, "--init", tmp_path / "init", "--losses", "embeddings",
               *STUDENT[2:], "--max-steps", "4", "--learning-rate", "1e-12"]
    run(*options, "--output-dir", tmp_path / "run")
    found = read(tmp_path / "run")
    assert found.config.embedding == SentenceEmbedding(("mean",), (("identity", 24), ("normalize", 0)), 32)
    weight = np.asarray(found.float32("embedding.0.weight"))
    assert goes_on == ("embedding.0.weight" in held.embedding_tensors and np.allclose(
        weight, held.embedding_tensors["embedding.0.weight"], atol=1e-6))
    assert ("is replaced by pooling mean, dense to 24 (identity)" in capsys.readouterr().out) != goes_on
    run(*options, "--output-dir", tmp_path / "run", "--resume", "auto")  # it can be read


@pytest.mark.parametrize("steps", [(("identity", 24), ("normalize", 0)), (("normalize", 0),)])
def test_losses_that_leave_a_dense_layer_behind_leave_it_out(prepared, teacher, tmp_path, capsys, steps):
    saved_embedder(tmp_path / "init", read(teacher).tokenizer, SentenceEmbedding(("mean",), steps))
    run("--data", prepared, "--teacher", teacher, "--init", tmp_path / "init", "--losses", "hidden", *STUDENT[2:],
        "--max-steps", "2", "--output-dir", tmp_path / "run")
    dense = len(steps) == 2
    assert ("is left out, as no loss trains its dense layers" in capsys.readouterr().out) == dense
    assert read(tmp_path / "run").config.embedding == (None if dense else SentenceEmbedding(("mean",), steps))


@pytest.mark.parametrize("losses", [["relations", "mlm=0.2"], ["relations=1", "hidden=1", "--every-layer"],
                                    ["embeddings"], ["replaced=50"]])
def test_one_and_two_workers_agree(prepared, teacher, tmp_path, losses, two_workers):
    """Learning as well as ending, with losses that the next command's line opens the model for."""
    of_teacher = [] if losses == ["replaced=50"] else ["--teacher", teacher]
    options = ["--data", prepared, *of_teacher, "--losses", *losses, *STUDENT]
    run(*options, "--output-dir", tmp_path / "one")
    process = start(*options, "--output-dir", tmp_path / "two", launcher=two_workers)
    _, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    for mine, theirs in itertools.zip_longest(rows(tmp_path / "one"), rows(tmp_path / "two")):
        for name in mine:
            assert theirs[name] == pytest.approx(mine[name], abs=1e-4, rel=1e-4), name


def test_replaced_tokens_are_learnt_and_resumed_bit_for_bit(prepared, tmp_path):
    """The generator's and the detector's weights are kept for resuming, and are not in the model."""
    options = ["--data", prepared, "--losses", "replaced=50", *STUDENT]
    run(*options, "--output-dir", tmp_path / "whole", "--max-steps", "24")
    found = [row for row in rows(tmp_path / "whole") if "loss" in row]
    assert found[1]["loss"] == pytest.approx(found[1]["generator_loss"] + 50 * found[1]["replaced_loss"], rel=1e-5)
    for name in ("generator_loss", "replaced_loss"):
        assert np.mean([row[name] for row in found[-4:]]) < np.mean([row[name] for row in found[:4]]), name
    assert not any(name.startswith(("generator", "detector", "decoder")) for name in weights(tmp_path / "whole", 24))
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (20, 24):
        shutil.rmtree(tmp_path / f"killed/checkpoints/step-{step}")
    run(*options, "--output-dir", tmp_path / "killed", "--max-steps", "24", "--resume", "auto")
    steps, others = ([row for row in rows(tmp_path / name) if "loss" in row] for name in ("whole", "killed"))
    assert others == steps
    assert same_weights(weights(tmp_path / "killed", 24), weights(tmp_path / "whole", 24))


def test_the_generator_has_the_models_embeddings_and_both_learn_them():
    from bort_mx.data.masking import Batch
    from bort_mx.pretraining.replaced_tokens import ReplacedTokens, build_generator, replaced_loss

    model = build_model(Architecture(4, 2, 16, 24), 50, family="bert", seed=1)
    generator = build_generator(model, 0, mx.cpu())
    assert generator.config.architecture == Architecture(1, 2, 16, 6)
    assert generator.word_embed[0].weight is model.word_embed[0].weight is generator.decoder[3].weight
    objective = ReplacedTokens(model, generator)
    assert "generator.decoder.0.weight" in objective.parameters
    assert not any("word_embed" in name for name in objective.parameters)
    ids = np.random.default_rng(0).integers(5, 50, (2, 8)).astype(np.int32)
    batch = Batch(ids, np.array([8, 6], np.int32), np.array([[2, 4], [3, 0]], np.int32),
                  np.array([[7, 8], [9, 0]], np.int32), np.array([[1, 1], [1, 0]], np.float32),
                  draws=np.array([[0, 0.9], [0.5, 0]], np.float32))
    filled, replaced, kept = (a.asnumpy() for a in objective._fill(batch, mx.nd.one_hot(mx.nd.array([7, 9, 9, 3]), 50)))
    assert list(filled[0, [2, 4]]) == [7, 9] and filled[1, 3] == 9 and (filled[1, :3] == ids[1, :3]).all()
    assert replaced.sum() == 1 and replaced[0, 4] == 1 and kept.sum() == 14
    scores = np.random.default_rng(1).normal(0, 3, (2, 8))
    p = 1 / (1 + np.exp(-scores))
    entropy = -(replaced * np.log(p) + (1 - replaced) * np.log(1 - p))
    expected = (entropy * kept).sum(1) / kept.sum(1)
    found = replaced_loss(*(mx.nd.array(a) for a in (scores, replaced, kept)))
    np.testing.assert_allclose(found.asnumpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 9, 50, 1003])
def test_tokens_are_drawn_by_their_probabilities(size):
    """The id at which the cumulative sum passes the uniform number; one of no probability never."""
    from bort_mx.pretraining.replaced_tokens import draw

    rng = np.random.default_rng(size)
    probabilities = rng.random((400, size)) * (rng.random((400, size)) < 0.3)
    probabilities[:, -1] += probabilities.sum(axis=1) == 0
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    uniform = rng.random(400).astype(np.float32)
    uniform[:2] = 0, np.nextafter(np.float32(1), np.float32(0))
    found = draw(mx.nd.array(probabilities), uniform)
    sums = np.cumsum(probabilities, axis=1)
    assert (np.take_along_axis(probabilities, found[:, None], 1) > 0).all()
    expected = (sums <= uniform[:, None].astype(float) * sums[:, -1:]).sum(axis=1)
    off = found != expected
    assert off.sum() <= 1, "but where rounding decides"
    near = np.abs(np.take_along_axis(sums, np.minimum(found, expected)[:, None], 1)[:, 0] - uniform)
    assert (near[off] < 1e-5).all()


def test_draws_of_more_blocks_than_float32_counts():
    """2²⁴ and more of them: a step of many masked positions on a large GPU."""
    from bort_mx.pretraining.replaced_tokens import draw

    expected = np.arange(6_000_000) % 4  # three blocks each
    found = draw(mx.nd.one_hot(mx.nd.array(expected), 4), np.random.default_rng(0).random(len(expected), np.float32))
    assert (found == expected).all()


@pytest.mark.parametrize("sequences", ["packed", "single"])
def test_a_cached_teacher_is_asked_once_a_sequence_and_changes_little(prepared, teacher, tmp_path, monkeypatch,
                                                                      sequences):
    """Twenty sequences fit. Resumed with the file, a run learns the same bit for bit; without it, up to rounding."""
    from bort_mx.pretraining.teacher_cache import KNOWN, STATES, TeacherCache

    options = ["--data", prepared, "--teacher", teacher, "--losses", "relations", "hidden", *STUDENT,
               "--evaluation-sequences", "8", "--sequences", sequences]
    gigabytes = 20 * 2 * 32 * (3 * 24 + 24) / 1e9 * 1.001  # twenty sequences
    asked, genuine = [], TeacherCache._open
    monkeypatch.setattr(TeacherCache, "_open", lambda self: (genuine(self), setattr(
        self, "_inner", lambda ids, lengths, inner=self._inner: asked.append(1) or inner(ids, lengths)))[0])
    run(*options, "--teacher-cache", gigabytes, "--output-dir", tmp_path / "cached")
    states, known = (np.load(tmp_path / "cached" / name) for name in (STATES, KNOWN))
    assert states.shape == (20, 32, 96) and states.dtype == np.float16 and known.all()
    assert len(asked) < 12 + 1  # eight sequences a step: after the third step all are known; one pass evaluates
    shutil.copytree(tmp_path / "cached", tmp_path / "killed")
    for step in (8, 12):
        shutil.rmtree(tmp_path / f"killed/checkpoints/step-{step}")
    shutil.copytree(tmp_path / "killed", tmp_path / "bare")
    (tmp_path / "bare" / STATES).unlink()
    for name in ("killed", "bare"):
        run(*options, "--teacher-cache", gigabytes, "--output-dir", tmp_path / name, "--resume", "auto")
    assert rows(tmp_path / "killed") == rows(tmp_path / "cached")
    assert same_weights(weights(tmp_path / "killed"), weights(tmp_path / "cached"))
    for mine, theirs in zip(rows(tmp_path / "bare"), rows(tmp_path / "cached")):
        assert mine == pytest.approx(theirs, rel=1e-3)


def test_cached_states_are_the_teachers(tmp_path):
    from bort_mx.data.masking import Batch
    from bort_mx.pretraining.teacher_cache import TeacherCache

    inner = InnerStates(build_model(Architecture(2, 2, 16, 24), 50, seed=1), [2], [2])
    cache = TeacherCache(inner, [48, 16], 7, 1e-4, tmp_path, 5, False)
    ids, lengths = np.random.default_rng(0).integers(0, 50, (3, 7)), np.array([7, 3, 5])
    batch = Batch(ids, lengths, None, None, None, np.array([4, 0, 2]))
    arrays = mx.nd.array(ids), mx.nd.array(lengths)
    first, again = cache(batch, *arrays), cache(batch, *arrays)
    for one, other, true in zip(first, again, inner(*arrays)):
        np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())
        np.testing.assert_allclose(one.asnumpy(), true.asnumpy(), atol=2e-3, rtol=1e-3)
    assert cache.sequences == 5 and cache.bytes == 5 * 7 * 64 * 2
    kept = np.load(tmp_path / "teacher_cache.npy")
    cache._inner = lambda *arrays: [part + 1 for part in inner(*arrays)]  # as if rounded otherwise in another batch
    cache(Batch(ids, lengths, None, None, None, np.array([4, 1, 2])), *arrays)
    now = np.load(tmp_path / "teacher_cache.npy")
    np.testing.assert_array_equal(now[[0, 2, 4]], kept[[0, 2, 4]])
    assert now[1].any() and not kept[1].any()


@pytest.mark.parametrize("losses", [{"mlm": 1.0}, {"mlm": 0.5, "relations": 1.0}, {"replaced": 50.0}])
def test_sequences_without_a_masked_token_do_not_count(losses):
    """A sum over two sequences and one without a mask is that over the two."""
    from bort_mx.data.masking import Batch
    from bort_mx.pretraining.options import Recipe
    from bort_mx.pretraining.recipe import objective_of

    replaced = "replaced" in losses
    student, teacher = (build_model(Architecture(2, 2, 16, 24), 50, "encoder" if replaced else "mlm", seed=seed,
                                    dropout=0.0) for seed in (1, 2))
    objective = objective_of(Recipe(losses), student, None if replaced else teacher, None, 0, mx.cpu())
    ids = np.random.default_rng(0).integers(5, 50, (3, 7))
    two = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    whole = Batch(ids, np.array([7, 5, 3]), np.array([[1, 0], [1, 3], [0, 0]]), ids[:, :2] * (two > 0), two,
                  np.arange(3), np.array([[0.3, 0], [0.1, 0.9], [0, 0]], np.float32))
    found = []
    for count in (3, 2):
        sums = objective(Batch(*(value[:count] for value in vars(whole).values())))
        found.append({name: value.asscalar() for name, value in {**sums.metrics, "loss": sums.loss}.items()})
        assert sums.weight == 2
    assert found[0] == pytest.approx(found[1], rel=1e-5)


# -- first weights -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how, expected", [("lower", [0, 1]), ("spread", [1, 3])])
def test_a_student_of_equal_width_has_the_teachers_layers(how, expected):
    teacher, student = (build_model(Architecture(D, 2, 16, 24), 50, family="bert", seed=D, num_positions=S)
                        for D, S in ((4, 20), (2, 12)))
    said, units = start_from_teacher(student, teacher, how, SAMPLE)
    assert list(units) == list(range(16))
    assert said.endswith(f"layers {expected[0] + 1}, {expected[1] + 1}")
    own, theirs = parameters_of(student), parameters_of(teacher)
    for name, parameter in own.items():
        head, _, tail = name.partition("cells.")
        if tail:
            name = f"{head}cells.{expected[int(tail[0])]}{tail[1:]}"
        value = parameter.data().asnumpy()
        np.testing.assert_array_equal(value, theirs[name].data().asnumpy()[:len(value)])  # fewer positions


@pytest.mark.parametrize("family, theirs, own", [
    ("roberta", 1, 0), ("roberta", 2, 0), ("roberta", 1, 1), ("bert", 1, 2), ("bert", 2, 2)])
def test_a_student_of_all_layers_is_the_teacher_whatever_token_types_it_has(family, theirs, own):
    """RoBERTa's single type is added to every token; a new student of that family has none, and gets it otherwise."""
    teacher, student = (build_model(Architecture(2, 2, 16, 24), 50, family=family, seed=seed, num_positions=20,
                                    token_types=types, dropout=0.0) for seed, types in ((1, theirs), (2, own)))
    start_from_teacher(student, teacher, "lower", SAMPLE)
    ids, lengths = (mx.nd.array(a) for a in SAMPLE)
    kept = (np.arange(10)[None] < SAMPLE[1][:, None])[:, :, None]
    mine, theirs = (model(ids, lengths).asnumpy() * kept for model in (student, teacher))
    np.testing.assert_allclose(mine, theirs, atol=1e-5)


def test_a_narrower_student_gets_the_units_heads_and_neurons_with_the_largest_norms():
    teacher, student = (build_model(Architecture(1, A, H, I), 50, "mlm", family="bert", seed=0, dropout=0.0)
                        for A, H, I in ((3, 12, 10), (2, 8, 6)))
    weight = {name: p.data().asnumpy().copy() for name, p in parameters_of(teacher).items()}
    for name in weight:  # these units go
        if name.endswith(("layer_norm.gamma", "layer_norm.beta")):
            weight[name][[1, 4, 5, 9]] *= 0.01
    cell = "encoder.transformer_cells.0."
    weight[f"{cell}proj.weight"][:, 4:8] *= 0.01  # and the second of the heads
    weight[f"{cell}ffn.ffn_2.weight"][:, [0, 2, 7, 8]] *= 0.01  # and these neurons
    for name, parameter in parameters_of(teacher).items():
        parameter.set_data(mx.nd.array(weight[name]))
    start_from_teacher(student, teacher, "lower", SAMPLE)
    own = {name: p.data().asnumpy() for name, p in parameters_of(student).items()}
    units, neurons = [0, 2, 3, 6, 7, 8, 10, 11], [1, 3, 4, 5, 6, 9]
    np.testing.assert_array_equal(own["word_embed.0.weight"], weight["word_embed.0.weight"][:, units])
    np.testing.assert_array_equal(own[f"{cell}ffn.ffn_1.weight"], weight[f"{cell}ffn.ffn_1.weight"][neurons][:, units])
    kept = weight[f"{cell}attention_cell.proj_key.weight"][[0, 1, 2, 3, 8, 9, 10, 11]][:, units]
    np.testing.assert_array_equal(own[f"{cell}attention_cell.proj_key.weight"], kept)


def test_layers_and_pairs():
    assert layers_of(4, 6, "spread") == [1, 2, 3, 5] and layers_of(4, 6, "lower") == [0, 1, 2, 3]
    assert pairs_of_layers(2, 6, every=True) == [(0, 0), (1, 3), (2, 6)] and pairs_of_layers(2, 5, False) == [(2, 5)]
    assert pairs_of_layers(4, 1, every=True) == [(0, 0), (1, 1), (2, 1), (3, 1), (4, 1)]  # a deeper student
    other, student = (build_model(Architecture(2, 2, 16, 24), 50, family="bert", activation=name)
                      for name in ("relu", "gelu"))
    with pytest.raises(InputError, match="the teacher's activation is relu, and a new student has gelu"):
        start_from_teacher(student, other, "lower", SAMPLE)
    with pytest.raises(InputError, match="the student has 3 layers, the teacher only 2"):
        layers_of(3, 2, "lower")


def test_all_losses_work_on_the_device_of_the_models():
    """mx.cpu(1) stands for a GPU: what is left on the first device does not fit to it."""
    from bort_mx.data.masking import Batch
    from bort_mx.pretraining.options import Recipe
    from bort_mx.pretraining.recipe import objective_of, start_as_told

    ctx, rng = mx.cpu(1), np.random.default_rng(0)
    batch = Batch(rng.integers(5, 50, (2, 8)).astype(np.int32), np.array([8, 6], np.int32),
                  np.array([[2, 4], [3, 0]], np.int32), np.array([[7, 8], [9, 0]], np.int32),
                  np.array([[1, 1], [1, 0]], np.float32), draws=rng.random((2, 2), np.float32))
    sample = batch.input_ids, batch.valid_length
    for head, summed in (("encoder", {"relations": 1.0, "hidden": 1.0, "attention": 1.0, "embeddings": 1.0}),
                         ("mlm", {"mlm": 1.0, "kd": 1.0, "relations": 1.0}), ("encoder", {"replaced": 50.0}),
                         ("mlm", None)):
        losses = []
        for place in (mx.cpu(), ctx):
            teacher, student = (build_model(Architecture(2, 2, H, 24), 50, head, seed=H, ctx=place, dropout=0.0)
                                for H in (24, 16))
            recipe = Recipe(summed, start=None if summed and "replaced" in summed else "lower")
            taught = None if recipe.start is None else teacher
            _, units = start_as_told(recipe, student, taught, 8, sample, True)
            objective = objective_of(recipe, student, taught, units, 0, place)
            mx.random.seed(1, ctx=place)
            with mx.autograd.record():
                sums = objective(batch, detailed=True)
            sums.loss.backward()
            assert sums.loss.context == place
            losses.append(float(sums.loss.asscalar()))
        assert losses[1] == pytest.approx(losses[0], rel=1e-5), summed


def test_a_student_that_starts_from_a_teacher_may_learn_without_it(prepared, teacher, tmp_path, capsys):
    run("--data", prepared, "--teacher", teacher, "--losses", "mlm", "--init-from-teacher", "lower", *STUDENT,
        "--output-dir", tmp_path / "run", "--max-steps", "2")
    said = capsys.readouterr().out
    assert "self-supervised (1·mlm)" in said and "starts from the teacher's embeddings" in said
    assert "distilling" not in said


def test_scores_of_relations_count_in_the_micro_batch():
    """Bort from RoBERTa-large has 32 relation heads of 32; its own 8 heads are few beside them."""
    from bort_mx.architecture import PRESETS
    from bort_mx.pretraining.options import Recipe
    from bort_mx.pretraining.recipe import scores_of_sequence

    bort, large = PRESETS["bort"], PRESETS["roberta-large"]
    assert scores_of_sequence(Recipe({"relations": 1.0}), bort, large, 512) == 3 * 32 * 512 ** 2
    assert scores_of_sequence(Recipe({"relations": 1.0}, relation_heads=16), bort, large, 64) == 3 * 16 * 64 ** 2
    assert scores_of_sequence(Recipe({"relations": 1.0, "attention": 1.0}), bort, large, 64, True) == 8 * 64 ** 2
    assert scores_of_sequence(Recipe({"attention": 1.0}, every_layer=True), bort, bort, 64) == 4 * 8 * 64 ** 2
    assert scores_of_sequence(Recipe(), bort, None, 512) == scores_of_sequence(Recipe({"mlm": 1.0}), bort, None, 9) == 0


def test_the_built_in_run_takes_a_budget(monkeypatch, capsys):
    """Its warm-up in steps becomes the same share of the time; the user's own is kept."""
    from bort_mx.commands import pretrain as command

    monkeypatch.setattr(pretraining, "pretrain", lambda options: {})
    assert [command.run([*argv, "--budget", "1min"])[0].warmup for argv in ([], ["--warmup", "0.3"])] == [0.1, 0.3]
    assert command.run([])[0].warmup == 20


# -- schedules and budgets -----------------------------------------------------------------------------------------


def test_schedules_by_hand():
    assert [schedules.cosine(step, 2, 6) for step in range(1, 7)] == pytest.approx(
        [0.5, 1, 0.9045085, 0.6545085, 0.3454915, 0.0954915])
    assert [schedules.at_progress("linear", p, 0.2) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, .5, 1, .5, 0])
    assert schedules.at_progress("cosine", 0.6, 0.2) == pytest.approx(0.5)
    assert schedules.at_progress("noam", 0.8, 0.2) == pytest.approx(0.5)


@pytest.mark.parametrize("given, expected", [
    ({}, 128), ({"length_warmup": 0.5}, 128), ({"length_warmup": 0.5, "seq_len": 64}, 32), ({"seq_len": 64}, 128),
    ({"length_warmup": 0.5, "seq_len": 64, "first_seq_len": 48}, 48), ({"length_warmup": 0.5, "seq_len": 9}, 8),
    ({"length_warmup": 0.5, "seq_len": 130}, 128), ({"length_warmup": 0.5, "seq_len": 128}, 64),
    ({"length_warmup": 0.5, "seq_len": 128, "first_seq_len": 128, "resume": "auto"}, 128)])
def test_the_first_sequences_are_shorter_than_the_others(given, expected):
    assert PretrainingOptions(**given).first_seq_len == expected


def test_a_run_that_has_its_own_text_gets_no_other_when_it_is_resumed_with_options(distilled, tmp_path):
    shutil.copytree(distilled, tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    with pytest.raises(InputError, match="has a --data, which is not given again; give --output-dir and --resume"):
        run("--output-dir", tmp_path / "run", "--resume", "auto", "--max-steps", "50")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


@pytest.mark.parametrize("idle", [{"temperature": 7.0}, {"kd_weight": 0.9}, {"mask_probability": 0.3},
                                  {"first_seq_len": 128}])
def test_a_run_that_was_started_with_an_idle_option_is_resumed(distilled, prepared, teacher, tmp_path, idle):
    """By its folder alone, and by the command that it was started with."""
    options = ["--data", prepared, "--teacher", teacher, "--losses", "relations=1", "hidden=0.5", *STUDENT,
               "--max-steps", "40", "--output-dir", tmp_path / "run", "--resume", "auto"]
    typed = [word for name, value in idle.items() for word in ("--" + name.replace("_", "-"), value)]
    for words in (["--output-dir", tmp_path / "run", "--resume", "auto"], [*options, *typed]):
        shutil.copytree(distilled, tmp_path / "run")
        config = json.loads((tmp_path / "run/config.json").read_text())
        config["options"].update(idle)
        (tmp_path / "run/config.json").write_text(json.dumps(config))
        shutil.rmtree(tmp_path / "run/checkpoints/step-40")
        run(*words)
        assert same_weights(weights(tmp_path / "run", 40), weights(distilled, 40))
        shutil.rmtree(tmp_path / "run")


def test_a_budget_goes_on_after_a_kill_and_the_pause_does_not_count(tmp_path):
    """Steps of 10 s; killed after step 5, of which a checkpoint of step 3 is left; the day after it continues."""
    clock = itertools.count(0, 10)
    first = Budget(100, tmp_path / "clock.jsonl", 0, Workers(), lambda: next(clock))
    first.start()
    assert [first.finish(step) for step in range(1, 6)] == [False] * 5
    assert first.progress(1) == 0 and first.progress(6) == 0.5
    later = itertools.count(86400, 1)  # the repeated steps are quicker now
    again = Budget(100, tmp_path / "clock.jsonl", 3, Workers(), lambda: next(later))
    again.start()
    assert [again.finish(step) for step in (4, 5)] == [False] * 2
    assert [again.progress(step) for step in (4, 5, 6)] == [first.progress(step) for step in (4, 5, 6)]
    assert [again.finish(step) for step in range(6, 55)] == [False] * 49
    assert again.finish(55) and again.progress(56) == 1
    with pytest.raises(InputError, match="lacks the time of step 60"):
        Budget(100, tmp_path / "clock.jsonl", 60, Workers())


def test_a_budgeted_run_ends_in_time_and_resumes_bit_for_bit(prepared, teacher, tmp_path, monkeypatch):
    """Ten seconds of steps that take one each; resumed from an earlier checkpoint it repeats them."""
    clock = itertools.count()
    monkeypatch.setattr(pretraining, "Budget", lambda *a: Budget(*a, clock=lambda: float(next(clock))))
    monkeypatch.setattr(pretraining.Loop, "forecast_budget", lambda self, seconds: self.cost.expect(1.0, 10))
    options = ["--data", prepared, "--teacher", teacher, "--distill", "relations", *UNENDED, "--budget", "10s",
               "--length-warmup", "0.5", "--first-seq-len", "16"]
    run(*options, "--output-dir", tmp_path / "whole")
    found = [row for row in rows(tmp_path / "whole") if "loss" in row]
    assert [row["step"] for row in found] == list(range(1, 11))
    assert [row["learning_rate"] for row in found] == pytest.approx(
        [3e-3 * min(p / 2, (10 - p) / 8) for p in range(10)])
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    for step in (8, 10):
        shutil.rmtree(tmp_path / f"killed/checkpoints/step-{step}")
    next(clock)  # the clock has gone on in between
    run(*options, "--output-dir", tmp_path / "killed", "--resume", "auto")
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert same_weights(weights(tmp_path / "killed", 10), weights(tmp_path / "whole", 10))
    results = json.loads((tmp_path / "killed/results.json").read_text())
    assert results["steps"] == 10 and results["checkpoint"] == "checkpoints/step-10"
    cost = json.loads((tmp_path / "killed/cost.json").read_text())
    assert cost["forecast"] == {"seconds_a_step": 1.0, "steps": 10, "seconds": 10.0}


@pytest.mark.parametrize("changes, message", [
    (["--distill", "relations", "--teacher-layer", "4"], "--teacher-layer 4: the teacher has 3 layers"),
    (["--distill", "relations", "--relation-heads", "3"], "--relation-heads 3: does not divide the student's width 16"),
    (["--losses", "attention"], "the student has 2 heads, the teacher 3"),
    (["--losses", "relations", "relations=2"], "each name once"),
    (["--losses", "relation"], "names are mlm, kd, relations"),
    (["--losses", "relations=-1"], "weights above 0"),
    (["--losses", "replaced"], "stands alone"),
    (["--losses", "relations", "mlm", "--teacher-cache", "1"], "losses of text that is not masked"),
    (["--losses", "relations", "--teacher-cache", "1e-9"], "--teacher-cache 1e-09: one sequence takes"),
    (["--losses", "embeddings", "mlm"], "embeddings cannot be added to mlm"),
    (["--losses", "kd"], "lacks a trained MLM head"),
    (["--losses", "mlm", "--distill", "hidden"], "exclude each other"),
    (["--losses", "mlm"], "no loss of --losses mlm learns from it"),
    (["--losses", "embeddings", "--teacher-layer", "2"], "--teacher-layer: requires --losses with relations or hidden"),
    (["--distill", "hidden", "--relation-heads", "4"], "--relation-heads: requires --losses with relations;"),
    (["--distill", "relations", "--every-layer"], "--every-layer: requires --losses with hidden or attention"),
    (["--teacher-layer", "2"], "--teacher-layer: requires --losses"),
    (["--losses"], "--losses: expected at least one argument"),
    (["--init-from-teacher", "lower", "--init", "x", "--distill", "hidden"], "exclude each other"),
    (["--distill", "hidden", "--teacher-cache", "1", "--length-warmup", "0.5", "--first-seq-len", "16"],
     "exclude each other"),
    (["--budget", "soon"], "not a duration"),
    (["--budget", "2h", "--warmup", "100"], "give a proportion below 1"),
    (["--distill", "relations", "--budget", "1s", "--checkpoint-interval", "1000000"], "before the first checkpoint"),
    (["--distill", "relations", "--init-from-teacher", "lower", "--architecture", "4,2,16,24"], "4 layers"),
    (["--distill", "relations", "--init-from-teacher", "lower", "--architecture", "2,2,32,24"], "wider than"),
    (["--length-warmup", "0.5", "--first-seq-len", "128"], "--first-seq-len 128: longer than --seq-len 32"),
    (["--length-warmup", "0.5", "--first-seq-len", "32"], "--first-seq-len 32: is --seq-len; give fewer tokens"),
    (["--first-seq-len", "16"], "--first-seq-len 16 requires --length-warmup"),
    (["--init", "x", "--num-positions", "64", "--distill", "hidden"], "--num-positions 64: the model of --init x has"),
    (["--losses", "relations="], "--losses relations=: give NAME=WEIGHT"),
    (["--distill", "relations", "--seq-len", "128"], "longer than the 64 positions of"),
    (["--distill", "relations", "--budget", "1us"], "--budget 1us"),
    (["--distill", "relations", "--budget", "0.0001s", "--checkpoint-interval", "0"], "a step takes about"),
    (["--max-steps", "12", "--budget", "1h"], "--max-steps 12 and --budget 1h exclude each other; give one"),
    (["--losses", "hidden", "relations", "--temperature", "7"], "--temperature 7: no loss here uses it"),
    (["--losses", "kd", "mlm", "--kd-weight", "0.9"], "leave it out, and give kd and mlm weights"),
    (["--distill", "hidden", "--mask-probability", "0.4"], "--mask-probability 0.4: no loss here masks the text"),
])
def test_bad_input_is_refused_in_one_line(prepared, teacher, tmp_path, changes, message):
    with pytest.raises(InputError) as caught:
        run("--data", prepared, "--teacher", teacher, "--output-dir", tmp_path / "run",
            *(UNENDED if "--budget" in changes else STUDENT), *changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "run/checkpoints").exists()


@pytest.mark.parametrize("values, message", [
    ({"losses": ["hidden"], "distill": "relations"}, "--losses and --distill relations exclude each other"),
    ({"init": "x", "init_from_teacher": "lower"}, "--init x and --init-from-teacher lower exclude each other")])
def test_options_that_exclude_each_other_do_so_without_a_command_line(values, message):
    with pytest.raises(InputError, match=message):
        PretrainingOptions(teacher="t", **values)


def test_losses_of_a_teacher_need_one(prepared, tmp_path):
    for options, message in ((["--distill", "relations"], "relations needs a --teacher"),
                             (["--temperature", "1"], "--temperature 1: no loss here uses it; leave it out, or give"),
                             (["--kd-weight", "0.9"], "--kd-weight 0.9: no loss here uses it; leave it out, or give"),
                             (["--init-from-teacher", "lower"], "needs a --teacher")):
        with pytest.raises(InputError, match=message):
            run("--data", prepared, "--output-dir", tmp_path / "run", *STUDENT, *options)


def test_another_tokenizer_is_refused(prepared, tmp_path):
    other = build_model(Architecture(3, 3, 24, 36), 700, seed=3, num_positions=64)
    save(tmp_path / "other", other)
    with pytest.raises(InputError, match="has a vocabulary of 700 entries, the data 600"):
        run("--data", prepared, "--teacher", tmp_path / "other", "--distill", "relations", "--output-dir",
            tmp_path / "run", *STUDENT)


def test_a_linear_schedule_is_not_stretched_by_resuming(distilled, prepared, teacher):
    with pytest.raises(InputError, match="option max_steps was 40"):
        run("--data", prepared, "--teacher", teacher, "--losses", "relations=1", "hidden=0.5", *STUDENT, "--output-dir",
            distilled, "--max-steps", "50", "--resume", "auto")


def test_a_student_is_fine_tuned(distilled):
    model, _, config = load(pathlib.Path(distilled), "classifier", num_labels=3)
    assert config.architecture == Architecture(2, 2, 16, 24) and "classifier.1.weight" in model.initialized
