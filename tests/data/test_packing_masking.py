"""Packing and masking: whole sentences, the right rates, and every batch a function of (seed, step)."""

import json
import shutil

import numpy as np
import pytest

from bort_mx.commands.prepare import PrepareOptions, prepare
from bort_mx.data import packing
from bort_mx.data.masking import MaskedBatches, MaskingVocabulary, mask_tokens, max_masked
from bort_mx.data.packing import PackedSequences, sequence_starts
from bort_mx.data.shards import TokenShards
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.random import generator

SPECIALS = {0, 1, 2, 3, 999}
VOCABULARY = MaskingVocabulary(1000, 999, SPECIALS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Some 2,700 made-up sentences of 3 to 40 words, in shards of 5,000 tokens."""
    folder = tmp_path_factory.mktemp("prepared")
    rng = np.random.default_rng(5)
    lines = [" ".join(rng.choice(["alpha", "beta", "gamma", "delta", "epsilon"], rng.integers(3, 40))) + "."
             for _ in range(3000)]
    (folder / "text.txt").write_text("\n".join(lines))
    prepare(PrepareOptions([str(folder / "text.txt")], str(folder / "out"), train_vocab=300, workers=1,
                           format="sentences", shard_tokens=5000))
    return folder / "out"


@pytest.fixture(scope="module")
def shards(prepared):
    return TokenShards(prepared, "train")


@pytest.fixture(scope="module")
def batches(shards):
    return MaskedBatches(shards, shards.tokenizer(), 64, seed=3)


def equal(first, second):
    return all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(second).values()))


# -- packing -----------------------------------------------------------------------------------------------------


def naive_packing(sentences, seq_len):
    """The definition, one sentence at a time."""
    sequences, current = [], [0]
    for sentence in sentences:
        for start in range(0, len(sentence), seq_len - 2):
            unit = [*sentence[start:start + seq_len - 2], 2]
            if len(current) + len(unit) > seq_len:
                sequences.append(current)
                current = [0]
            current += unit
    return [*sequences, current]


@pytest.mark.parametrize("seq_len", [5, 16, 64, 512])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_packing_is_greedy_over_whole_sentences(shards, monkeypatch, seq_len, chunk):
    monkeypatch.setattr(packing, "CHUNK", chunk)
    packed = PackedSequences(shards, seq_len, bos_id=0, eos_id=2)
    expected = naive_packing([shards[i].tolist() for i in range(len(shards))], seq_len)
    assert [packed[k].tolist() for k in range(len(packed))] == expected
    assert packed.fill == pytest.approx(np.mean([len(ids) for ids in expected]) / seq_len)
    assert packed.cut_sentences == int((shards.lengths > seq_len - 2).sum())


@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_single_sequences_are_one_sentence_each(shards, monkeypatch, chunk):
    monkeypatch.setattr(packing, "CHUNK", chunk)
    single = PackedSequences(shards, 16, bos_id=0, eos_id=2, packed=False)
    sentences = [shards[i].tolist() for i in range(len(shards))]
    expected = [[0, *sentence[start:start + 14], 2] for sentence in sentences for start in range(0, len(sentence), 14)]
    assert [single[k].tolist() for k in range(len(single))] == expected
    assert single.lengths.tolist() == [len(ids) for ids in expected]
    assert single.fill == pytest.approx(np.mean(single.lengths) / 16)


def test_sequence_starts_by_hand():
    assert sequence_starts([np.array([3, 9, 1])], 10, packed=False).tolist() == [0, 3, 11, 12, 13]
    assert sequence_starts([np.array([3, 3, 9, 1])], 10).tolist() == [0, 6, 14, 16]  # 3+3 | 8 of 9 | 1 + 1


def test_sentences_and_lengths_agree_across_shards(shards):
    assert len(shards.manifest["splits"]["train"]["shards"]) > 3
    assert [len(shards[i]) for i in range(len(shards))] == shards.lengths.tolist()
    assert np.array_equal(shards.tokens(0, shards.num_tokens), np.concatenate([shards[i] for i in range(len(shards))]))
    with pytest.raises(IndexError):
        shards[len(shards)]


# -- masking -----------------------------------------------------------------------------------------------------


def test_rates_over_a_million_masked_positions():
    ids = np.random.default_rng(0).integers(4, 999, 512).astype(np.int32)
    ids[[0, 100, 511]] = 0, 2, 2
    chosen = masked = kept = maskable = 0
    replacements = np.zeros(1000, np.int64)
    for index in range(13_200):
        out, positions, labels = mask_tokens(ids, generator(0, "test", index), VOCABULARY)
        new = out[positions]
        chosen, maskable = chosen + len(positions), maskable + 509
        masked += np.count_nonzero(new == 999)
        kept += np.count_nonzero(new == labels)
        np.add.at(replacements, new[(new != 999) & (new != labels)], 1)
    assert chosen > 1_000_000
    assert chosen / maskable == pytest.approx(0.15, rel=0.01)
    assert masked / chosen == pytest.approx(0.8, rel=0.01)
    assert kept / chosen == pytest.approx(0.1 + 0.1 / 995, rel=0.01)  # a random token may be the same one
    assert replacements.sum() / chosen == pytest.approx(0.1 * 994 / 995, rel=0.01)
    assert not replacements[sorted(SPECIALS)].any()
    assert replacements[4:999].min() > 0


def test_special_tokens_are_never_masked():
    rng = np.random.default_rng(1)
    for index in range(300):
        ids = rng.choice([0, 1, 2, 3, 999, 50, 60], rng.integers(2, 40)).astype(np.int32)
        before = ids.copy()
        out, positions, labels = mask_tokens(ids, generator(1, "special", index), VOCABULARY, probability=0.9)
        assert np.array_equal(ids, before)
        assert SPECIALS.isdisjoint(ids[positions].tolist())
        assert np.array_equal(labels, ids[positions]) and (np.diff(positions) > 0).all()
        untouched = np.setdiff1d(np.arange(len(ids)), positions)
        assert np.array_equal(out[untouched], ids[untouched])


@pytest.mark.parametrize("seq_len", [3, 22, 128, 512])
def test_no_sequence_has_more_than_the_maximum(seq_len):
    ids = np.full(seq_len, 7, np.int32)
    ids[[0, -1]] = 0, 2
    counts = [len(mask_tokens(ids, generator(0, "count", i), VOCABULARY)[1]) for i in range(200)]
    assert max(counts) <= max_masked(seq_len) <= 0.15 * (seq_len - 2) + 1
    assert max(counts) - min(counts) <= 1


def test_batches_of_single_sequences_are_of_similar_length_and_an_epoch_has_all(shards):
    """Every sequence once an epoch, ids, masks and losses' weights as without the cut of padding."""
    batches = MaskedBatches(shards, shards.tokenizer(), 64, seed=3, packed=False)
    steps = len(batches) // 8
    drawn = [batches.at(step, 8) for step in range(steps + 1)]
    numbers = np.concatenate([batch.numbers for batch in drawn])[:len(batches)]
    assert sorted(numbers) == list(range(len(batches)))
    spread = [np.ptp(batch.valid_length) for batch in drawn[:steps]]
    assert np.mean(spread) < 0.2 * np.ptp(batches.sequences.lengths)
    mean_lengths = [batch.valid_length.mean() for batch in drawn[:steps]]
    assert abs(np.corrcoef(mean_lengths, range(steps))[0, 1]) < 0.3  # long and short ones take turns
    shapes = {batch.input_ids.shape[1] for batch in drawn}
    assert len(shapes) > 3 and all(length % 8 == 0 and length <= 64 for length in shapes)
    for batch in [*drawn[:20], *batches.evaluation(8, limit=20)]:
        assert batch.input_ids.shape[1] - batch.valid_length.max() < 8
        for row, length in enumerate(batch.valid_length):
            places = batch.masked_positions[row][batch.weights[row] > 0]
            whole = batch.input_ids[row].copy()
            whole[places] = batch.labels[row][:len(places)]
            if batch.numbers[row] >= 0:
                assert whole[:length].tolist() == batches.sequences[int(batch.numbers[row])].tolist()
            assert (whole[length:] == batches.pad_id).all() and (places < length).all()
    later = [batches.at(step, 8) for step in range(steps + 1, 3 * steps)]  # epochs do not begin with a batch
    assert len(batches) % 8 and np.mean([np.ptp(batch.valid_length) for batch in later]) < 1.5 * np.mean(spread)
    halves = [batches.at(5, 8, rank, 2) for rank in (0, 1)]
    assert np.concatenate([half.numbers for half in halves]).tolist() == drawn[5].numbers.tolist()
    sample = batches.sample(64).valid_length
    assert np.ptp(sample) > 0.7 * np.ptp(batches.sequences.lengths)  # not of one length, as a batch
    assert len(batches.sample(10 ** 6).valid_length) == len(batches)


@pytest.mark.parametrize("size", [7, 8, 50, 5000])
def test_every_single_sequence_comes_once_in_every_epoch(shards, size):
    batches = MaskedBatches(shards, shards.tokenizer(), 64, seed=1, packed=False)
    batches.restrict(123)
    numbers = np.concatenate([batches.at(step, size).numbers for step in range(-(-3 * 123 // size))])
    for epoch in range(3):
        assert sorted(numbers[epoch * 123:(epoch + 1) * 123]) == list(range(123))


def test_short_single_sequences_have_a_masked_token(prepared, shards):
    """As in BERT: two ordinary tokens of which 15 % are to be masked would mostly have none."""
    batches = MaskedBatches(shards, shards.tokenizer(), 5, seed=1, packed=False)
    drawn = [batches.at(step, 64) for step in range(20)]
    assert all((batch.weights.sum(axis=1) == 1).all() and batch.counted(True).all() for batch in drawn)
    plain = MaskedBatches(shards, shards.tokenizer(), 5, 1, 0.0, packed=False).at(0, 64)
    assert not plain.weights.any() and plain.counted(False).all() and not plain.counted(True).any()


def test_the_same_key_gives_the_same_mask_and_every_epoch_another(batches, shards):
    again = MaskedBatches(shards, shards.tokenizer(), 64, seed=3)
    assert equal(batches.at(5, 8), again.at(5, 8))
    other = MaskedBatches(shards, shards.tokenizer(), 64, seed=4)
    assert not equal(batches.at(5, 8), other.at(5, 8))
    count = len(batches)
    by_sequence = [{}, {}]
    for epoch in (0, 1):
        for number in range(epoch * count, (epoch + 1) * count):
            batch = batches.at(number, 1)
            ids = batch.input_ids[0].copy()
            real = batch.weights[0] > 0
            ids[batch.masked_positions[0][real]] = batch.labels[0][real]
            by_sequence[epoch][ids.tobytes()] = tuple(batch.masked_positions[0])
    first, second = by_sequence
    assert first.keys() == second.keys() and len(first) == count  # each sequence once an epoch
    assert list(first) != list(second)  # in another order
    assert sum(first[key] != second[key] for key in first) > 0.95 * count  # under another mask
    assert batches.epoch_of(count - 1, 1) == 0 and batches.epoch_of(count, 1) == 1


def test_ranks_partition_the_global_batch(batches):
    step = len(batches) // 12  # a batch that runs over the end of the epoch
    whole = batches.at(step, 12)
    for size in (2, 3, 4):
        parts = [batches.at(step, 12, rank, size) for rank in range(size)]
        for name, value in vars(whole).items():
            assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), value), name
    with pytest.raises(InputError, match="batch size 12 cannot be divided equally over 5 workers"):
        batches.at(0, 12, 0, 5)


def test_batches_have_their_shapes_and_types(batches):
    batch = batches.at(0, 8)
    assert batch.input_ids.shape == (8, 64) and batch.valid_length.shape == (8,)
    assert batch.masked_positions.shape == batch.labels.shape == batch.weights.shape == (8, max_masked(64))
    kinds = [value.dtype.name for value in vars(batch).values()]
    assert kinds == ["int32", "int32", "int32", "int32", "float32", "int64", "float32"]
    assert batch.draws.shape == batch.weights.shape and ((batch.draws >= 0) & (batch.draws < 1)).all()
    halves = [batches.at(0, 8, rank, 2) for rank in (0, 1)]
    assert (np.concatenate([half.draws for half in halves]) == batch.draws).all()
    drawn = batch.draws[batch.weights > 0]
    assert len(np.unique(drawn)) > 0.9 * len(drawn)
    for row in range(8):
        valid = batch.valid_length[row]
        assert (batch.input_ids[row, valid:] == batches.pad_id).all()
        assert (batch.masked_positions[row] < valid).all()
    assert batch.num_tokens == batch.valid_length.sum()


@pytest.mark.parametrize("size", [1, 2])
def test_evaluation_covers_every_sequence_once_under_fixed_masks(batches, size):
    everything = [list(batches.evaluation(12, rank, size)) for rank in range(size)]
    assert len({len(part) for part in everything}) == 1
    shapes = {batch.input_ids.shape for part in everything for batch in part}
    assert shapes == {(12 // size, 64)}
    rows = sum(int((batch.weights.sum(axis=1) > 0).sum()) for part in everything for batch in part)
    assert rows == len(batches)
    padding = everything[-1][-1]
    assert (padding.valid_length >= 1).all()
    assert all(equal(a, b) for a, b in zip(everything[0], batches.evaluation(12, 0, size)))
    limited = [batch for rank in range(size) for batch in batches.evaluation(12, rank, size, limit=20)]
    assert sum(int((batch.weights.sum(axis=1) > 0).sum()) for batch in limited) == 20


def test_another_vocabulary_is_refused(shards, prepared, tmp_path):
    lines = (prepared.parent / "text.txt").read_text().split("\n")
    other = train_sentencepiece(lines, 301)
    with pytest.raises(InputError, match="prepared with another vocabulary"):
        MaskedBatches(shards, other, 64, seed=0)


def test_order_cache_is_bounded(batches):
    for epoch in range(5):
        batches.at(epoch * len(batches), 1)
        assert len(batches._orders) <= 2


# -- damaged shards ----------------------------------------------------------------------------------------------


@pytest.fixture
def copy(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "copy")


def refusal(directory, split="train", **options):
    with pytest.raises(InputError) as error:
        TokenShards(directory, split, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_altered_and_truncated_shards_are_named(copy):
    path = copy / "train/shard-00001.bin"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    found = refusal(copy)
    assert "shard-00001.bin: altered" in found and "SHA-256" in found
    TokenShards(copy, "train", verify=False)
    path.write_bytes(data[:-2])
    assert "shard-00001.bin: truncated or altered" in refusal(copy, verify=False)
    path.unlink()
    assert "shard-00001.bin: this shard is missing" in refusal(copy)


def test_what_is_not_prepared_text_is_refused(copy, tmp_path):
    assert "no prepared text here" in refusal(tmp_path / "nothing")
    assert "no split 'dev'" in refusal(copy, "dev")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["splits"]["test"] = {"sentences": 0, "tokens": 0, "shards": []}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert "test split is empty" in refusal(copy, "test")
    (copy / "manifest.json").write_text("{}")
    assert "not a manifest of prepared text" in refusal(copy)


def test_an_altered_vocabulary_is_refused(copy, tmp_path):
    train_sentencepiece(["other text altogether " * 20], 280).save(copy / "tokenizer")
    with pytest.raises(InputError, match="not the vocabulary that the text was prepared with"):
        TokenShards(copy, "train").tokenizer()
