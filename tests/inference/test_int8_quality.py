"""An 8-bit file is judged on texts: the figures, the warning, and the refusal."""

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory
from bort_mx.commands import export
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError, RunError
from bort_mx.inference import int8_quality
from bort_mx.models import build_model
from bort_mx.models.config import ModelConfig

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from bort_mx.checkpoints import onnx_nodes  # noqa: E402

TEXT = ["the quick brown fox jumps over the lazy dog", "a dog and a fox", "the fox", "quick quick brown\tlazy dog"]


def test_classes_words_values_and_states():
    want = np.array([[4.0, 0.0]] * 19 + [[0.0, 4.0]])
    got = want.copy()
    assert int8_quality.of_classes(want, got) == (
        "same class at 20 of 20 (100.0%), its probability changes by 0.000 (at most 0.000)", True)
    got[19] = got[0]  # one of twenty falls over
    text, good = int8_quality.of_classes(want, got)
    assert good and text == "same class at 19 of 20 (95.0%), its probability changes by 0.048 (at most 0.964)"
    got[16:19] = [0.0, 4.0]
    assert not int8_quality.of_classes(want, got).good  # 16 of 20
    assert int8_quality.of_classes(want, got, "word").good is False  # the probability changes by 0.19
    assert not int8_quality.of_classes(want, want / 20).good  # all classes equal, all probabilities flat
    values = np.arange(10.0)[:, None]
    assert int8_quality.of_values(values, values + 0.1).good and not int8_quality.of_values(values, values + 1).good
    assert int8_quality.of_values(values, values + 0.5).text == (
        "values change by 0.500 (at most 0.500); their standard deviation is 2.872")
    logits = np.array([[2.0, -2.0, 1.0]] * 10)
    assert int8_quality.of_labels(logits, logits).good and not int8_quality.of_labels(logits, -logits).good
    assert int8_quality.of_labels(logits, logits * [1, 1, -1]).text == (
        "same answer for 20 of 30 labels (66.7%), probabilities change by 0.154 (at most 0.462)")
    states = np.random.default_rng(0).normal(size=(50, 16))
    assert int8_quality.of_states(states, 3 * states) == ("cosine of 50 hidden states 1.0000 (at least 1.0000)", True)
    assert not int8_quality.of_states(states, states[::-1]).good


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A checkpoint of each head, whose outputs differ much between texts."""
    folder = tmp_path_factory.mktemp("int8")
    tokenizer = train_sentencepiece(TEXT, 300)
    for name, head, labels in (("encoder", "encoder", 2), ("mlm", "mlm", 2), ("classifier", "classifier", 3),
                               ("regression", "classifier", 1)):
        model = build_model(Architecture(2, 4, 64, 128), tokenizer.vocab_size, head, labels, num_positions=64, seed=1)
        weight = model.word_embed[0].weight
        weight.set_data(weight.data() * 10)
        directory.save(folder / name, model, tokenizer)
    (folder / "texts.txt").write_text("\n".join(TEXT * 8), encoding="utf-8")
    return folder


def run(checkpoints, name, output, *more):
    return export.main([str(checkpoints / name), str(output), "--int8", "--texts", str(checkpoints / "texts.txt"),
                        *more])


@pytest.mark.parametrize("name, figure", [("encoder", "cosine of"), ("mlm", "same word at"),
                                          ("classifier", "same class at"), ("regression", "values change by")])
def test_a_bad_file_is_warned_of_or_refused(name, figure, checkpoints, tmp_path, monkeypatch, capsys, caplog):
    untrained = name in ("classifier", "regression")  # a new classifier's outputs hardly differ between texts
    assert run(checkpoints, name, tmp_path / "good" / "m.onnx", *([] if untrained else ["--strict"])) == 0
    said = capsys.readouterr().out
    assert "int8 beside float32, 32 texts (32 given):" in said and f"  {figure}" in said
    assert untrained or not caplog.records
    genuine = onnx_nodes.quantized

    def spoilt(matrix, bits):
        """Columns in another order: of the right size, and wrong."""
        values, scales = genuine(matrix, bits)
        return np.ascontiguousarray(values[:, ::-1]), scales

    monkeypatch.setattr(onnx_nodes, "quantized", spoilt)
    assert run(checkpoints, name, tmp_path / "bad" / "m.onnx") == 0 and (tmp_path / "bad" / "m.onnx").is_file()
    said = caplog.messages[-1]
    assert said.startswith(f"int8 is far from float32: {figure}") and "--texts FILE" in said
    (tmp_path / "bad" / "m.onnx").write_text("what was there before")
    with pytest.raises(RunError, match=f"int8: not written, as it is far from float32: {figure}.*without --int8"):
        run(checkpoints, name, tmp_path / "bad" / "m.onnx", "--strict")
    assert (tmp_path / "bad" / "m.onnx").read_text() == "what was there before"
    with pytest.raises(RunError):
        run(checkpoints, name, tmp_path / "none" / "m.onnx", "--strict")
    assert not list((tmp_path / "none").iterdir())


def test_without_texts_the_built_in_ones_and_without_a_tokenizer_none(checkpoints, tmp_path, capsys, caplog):
    assert export.main([str(checkpoints / "encoder"), str(tmp_path / "m.onnx"), "--int8"]) == 0
    assert "int8 beside float32, 64 texts (the built-in text; --texts FILE takes others):" in capsys.readouterr().out
    model = build_model(Architecture(1, 2, 8, 8), 50, "encoder", num_positions=16)
    directory.save(tmp_path / "bare", model, None)
    assert export.main([str(tmp_path / "bare"), str(tmp_path / "bare.onnx"), "--int8"]) == 0
    assert "there is no tokenizer" in caplog.text
    with pytest.raises(RunError, match="no tokenizer"):
        export.main([str(tmp_path / "bare"), str(tmp_path / "other.onnx"), "--int8", "--strict"])


def test_many_texts_are_taken_evenly(checkpoints):
    tokenizer = directory.read(checkpoints / "encoder").tokenizer
    seen = []

    class Same:
        """Both models at once."""

        config = build_model(Architecture(1, 2, 8, 8), 300, num_positions=64).config

        def __call__(self, ids, lengths, positions, types):
            seen.extend(ids[:, 1])
            return np.ones((*ids.shape, 8))

    engine = Same()
    lines = int8_quality.judge(engine, engine, tokenizer, [(f"{i}", None) for i in range(600)], strict=True)
    assert lines[0] == "int8 beside float32, 200 texts (600 given):" and len(seen) == 400


@pytest.mark.parametrize("words", [["--texts", "x"], ["--strict"]])
def test_what_judges_int8_is_refused_for_float32(words, tmp_path):
    with pytest.raises(InputError, match="give --int8 as well"):
        export.main(["x", str(tmp_path / "m.onnx"), *words])


def test_texts_that_cannot_be_read_are_named_before_anything_is_written(checkpoints, tmp_path):
    with pytest.raises(InputError, match="none.txt: no such file"):
        export.main([str(checkpoints / "mlm"), str(tmp_path / "m.onnx"), "--int8", "--texts",
                     str(tmp_path / "none.txt")])
    assert not list(tmp_path.iterdir())


def test_a_model_of_pairs_is_judged_on_pairs():
    """Else half of what a classifier with pooling segments reads would be 0 in every text."""
    config = ModelConfig(Architecture(1, 2, 8, 8), 9, "classifier", family="bert", text_columns=("a", "b"))
    found = int8_quality.sample_texts(config)
    alone = int8_quality.sample_texts(config.replace(text_columns=("a",)))
    assert len(found) == len(alone) == int8_quality.SAMPLE and all(second for _, second in found)
    assert [first for first, _ in found] == [first for first, _ in alone] and {second for _, second in alone} == {None}
    assert int8_quality.sample_texts(config.replace(head="encoder")) == alone
