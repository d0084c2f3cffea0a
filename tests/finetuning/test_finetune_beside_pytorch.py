"""Fine-tuning's training step beside PyTorch's; the vocabulary's subset."""

import dataclasses
import re

import mxnet as mx
import numpy as np
import pytest
from finetuning_runs import TINY

from bort_mx.checkpoints import load
from bort_mx.data.batches import NOBODY, TrainingBatches
from bort_mx.data.encoding import EncodedExamples
from bort_mx.distributed import Workers
from bort_mx.finetuning.objective import FineTuningObjective
from bort_mx.finetuning.vocabulary_subset import VocabularySubset, trainee_of
from bort_mx.models import build_model, parameters_of
from bort_mx.training.optimizers import OptimizerSettings
from bort_mx.training.schedules import linear
from bort_mx.training.step import TrainingStep

# (before the tests with Horovod: PyTorch imported after Horovod ends the process)


@pytest.mark.parametrize("num_labels", [1, 3])
def test_training_equals_pytorchs(tmp_path, num_labels):
    """The same weights, batches and learning rates, no dropout: after 8 clipped steps of AdamW with decay, BERT here
    and in transformers give the same scores, as a regression and as a classifier, filling rows and micro-batches here;
    and the same word embedding, of which here only the training set's tokens have gradients and state.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(0)
    peer = transformers.BertForSequenceClassification(transformers.BertConfig(
        vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=num_labels))
    peer.save_pretrained(tmp_path)
    model, _, _ = load(tmp_path, "classifier", num_labels=num_labels, pooler=True, dropout=0.0)
    assert not model.initialized
    batches = random_batches(num_labels)
    trainee = trainee_of(model, batches.tokens(), OptimizerSettings(weight_decay=0.1), num_labels == 1, mx.cpu())
    assert 50 < trainee.optimizer.state()["mean:word_embed.0.weight"].shape[0] < 60
    core = TrainingStep(trainee.objective, trainee.optimizer, Workers(), 1.0)
    decayed = [p for n, p in peer.named_parameters() if not (n.endswith("bias") or "LayerNorm" in n)]
    bare = [p for n, p in peer.named_parameters() if n.endswith("bias") or "LayerNorm" in n]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": bare, "weight_decay": 0.0}])
    for step in range(8):
        rate = 1e-2 * linear(step + 1, 2, 8)
        ours = core(map(trainee.translate, batches.at(step, 0, 1, 3)), rate)
        loss, norm = torch_step(torch, peer, optimizer, batches.at(step, 0, 1, 12)[0], rate)
        assert ours.loss == pytest.approx(loss, rel=1e-4) and ours.grad_norm == pytest.approx(norm, rel=1e-3)
    trainee.optimizer.settle()
    batch = batches.at(0, 0, 1, 12)[0]
    with torch.no_grad():
        expected = peer(**torch_inputs(torch, batch)).logits.numpy()
    np.testing.assert_allclose(FineTuningObjective(model, False).scores(batch).asnumpy(), expected, atol=2e-4)
    np.testing.assert_allclose(model.word_embed[0].weight.data().asnumpy(),
                               peer.bert.embeddings.word_embeddings.weight.detach().numpy(), atol=1e-4)


def test_dropout_is_where_pytorchs_is(tmp_path):
    """Over 49,152 draws of the masks the scores have the mean and spread of BertForSequenceClassification's, each
    within four standard errors; they have not where any one place of its dropout is left out.
    """
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    ids, draws = np.tile(np.random.RandomState(0).randint(5, 200, (1, 4)), (4096, 1)), 12

    def peer_of(without="nothing", attention=0.2):
        torch.manual_seed(0)
        peer = transformers.BertForSequenceClassification(transformers.BertConfig(
            vocab_size=200, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
            max_position_embeddings=32, attention_probs_dropout_prob=attention, hidden_dropout_prob=0.2,
            num_labels=2, initializer_range=0.3)).train()
        for name, module in peer.named_modules():
            if re.search(without, name):
                module.p = 0.0
        return peer

    def distance(peer):
        """The largest difference of mean or standard deviation, in standard errors."""
        with torch.no_grad():
            theirs = np.concatenate([peer(torch.tensor(ids)).logits.numpy() for _ in range(draws)])
        spread, count = theirs.std(axis=0), len(theirs)
        return max((np.abs(ours.mean(axis=0) - theirs.mean(axis=0)) / (spread * (2 / count) ** 0.5)).max(),
                   np.abs(ours.std(axis=0) / spread - 1).max() * count ** 0.5)

    peer_of().save_pretrained(tmp_path)
    model, _, _ = load(tmp_path, "classifier", num_labels=2, pooler=True, dropout=0.2)
    mx.random.seed(0)
    with mx.autograd.train_mode():
        ours = np.concatenate([model(mx.nd.array(ids, dtype="int32")).asnumpy() for _ in range(draws)])
    assert distance(peer_of()) < 4
    assert distance(peer_of(attention=0.0)) > 7
    for place in ("embeddings.dropout$", r"attention\.output\.dropout$", r"\d\.output\.dropout$", "^dropout$"):
        assert distance(peer_of(without=place)) > 7, place


def test_only_the_word_embedding_is_there_twice():
    """The second body gives the same scores; none is made where nearly all tokens occur."""
    model, tokens = build_model(TINY, 100, "classifier", num_positions=16), np.arange(0, 100, 3)
    own = parameters_of(model)
    compact = VocabularySubset(model, tokens)
    second = parameters_of(compact.model)
    assert [name for name in own if second[name] is not own[name]] == ["word_embed.0.weight"]
    batch = random_batches(2).at(0, 0, 1, 12)[0]
    batch.input_ids, batch.valid_length = batch.input_ids[:, :16] // 3 * 3, np.minimum(batch.valid_length, 16)
    assert (FineTuningObjective(compact.model, False).scores(compact.translate(batch)).asnumpy()
            == FineTuningObjective(model, False).scores(batch).asnumpy()).all()
    for strange in (1, 100):
        with pytest.raises(ValueError, match=f"token {strange} is not among the 34"):
            compact.translate(dataclasses.replace(batch, input_ids=np.array([[0, strange]])))
    settings = OptimizerSettings(weight_decay=0.1)
    part, whole = (trainee_of(model, np.arange(count), settings, False, mx.cpu()).optimizer for count in (70, 80))
    assert part.names == whole.names == list(own)  # also of the same model afterwards
    assert [len(each.masters["word_embed.0.weight"]) for each in (part, whole)] == [70, 100]


@pytest.mark.parametrize("decay, rate", [(0.01, 1e-5), (450.0, 1e-3)])
def test_readers_find_the_decay_of_rows_without_gradient_at_any_time(decay, rate):
    """At lr·λ = 1e-7 the float32 nearest to 1 − lr·λ is 19 % off; the paper's λ of 450 ends rows within an epoch."""
    model = build_model(TINY, 100, "classifier", num_positions=16)
    embedding, tokens = parameters_of(model)["word_embed.0.weight"], np.array([3, 70])
    start, others = embedding.data().asnumpy(), np.delete(np.arange(100), tokens)

    def made():
        return trainee_of(model, tokens, OptimizerSettings(weight_decay=decay), False, mx.cpu()).optimizer

    optimizer = made()
    for _ in range(200):
        optimizer.step(rate, 1.0, optimizer.gradients())
    expected = start[others] * (1 - rate * decay) ** 200
    state = optimizer.state()
    with optimizer.settled():
        read = embedding.data().asnumpy()
    np.testing.assert_allclose(read[others], expected, rtol=2e-7, atol=1e-8)
    assert (embedding.data().asnumpy()[others] == start[others]).all()  # to be rounded once, whoever read it
    embedding.set_data(mx.nd.array(read))  # as a checkpoint has it
    resumed = made()
    resumed.load_state(state)
    for each in (optimizer, resumed):
        each.step(rate, 1.0, each.gradients())
    resumed.settle()
    after = embedding.data().asnumpy()
    embedding.set_data(mx.nd.array(np.where(np.isin(np.arange(100), tokens)[:, None], after, start)))
    optimizer.settle()
    assert (embedding.data().asnumpy() == after).all()
    assert "kept" not in optimizer.state()


def random_batches(num_labels):
    rng = np.random.default_rng(1)
    ids = [[2, *rng.integers(5, 60, rng.integers(3, 25)), 3] for _ in range(27)]
    types = [[0] * (len(row) // 2) + [1] * (len(row) - len(row) // 2) for row in ids]
    targets = rng.normal(size=27) if num_labels == 1 else rng.integers(0, num_labels, 27)
    return TrainingBatches(EncodedExamples(ids, types, 0), targets, 0, 12, seed=0)


def torch_inputs(torch, batch):
    mask = np.arange(batch.input_ids.shape[1]) < batch.valid_length[:, None]
    return {"input_ids": torch.from_numpy(batch.input_ids.astype(np.int64)), "attention_mask": torch.from_numpy(mask),
            "token_type_ids": torch.from_numpy(batch.token_types.astype(np.int64))}


def torch_step(torch, peer, optimizer, batch, rate):
    real = torch.from_numpy(batch.rows != NOBODY)
    scores, targets = peer(**torch_inputs(torch, batch)).logits[real], torch.from_numpy(batch.targets)[real]
    loss = (torch.nn.functional.mse_loss(scores[:, 0], targets) if scores.shape[1] == 1
            else torch.nn.functional.cross_entropy(scores, targets.long()))
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    return loss.item(), norm.item()
