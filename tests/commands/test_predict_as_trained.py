"""What a text meets in training it meets in prediction: its length, the part that is cut, its columns, its cleaning."""

import csv
import json
import pathlib

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import convert, onnx_export, read
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.commands import predict
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.finetuning.finetune import finetune
from bort_mx.finetuning.options import FineTuningOptions
from bort_mx.inference import pipeline
from bort_mx.models import build_model

LENGTH = 16
SINGLE = "files: {train: train.csv, dev: dev.csv}\ncolumns: {text: text, label: label}\nlabels: [0, 1]\n"
PAIR = ("files: {train: train.csv, dev: dev.csv}\ncolumns: {text: passage, text_pair: question, label: label}\n"
        "labels: [0, 1]\ncut: first\n")


def write_table(path, columns, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A classifier of single texts and one of pairs, both trained with texts cut to 16 tokens."""
    folder = tmp_path_factory.mktemp("runs")
    tokenizer = train_sentencepiece(["good bad film number and so on is it a question 0123456789"] * 5, 320)
    encoder = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, num_positions=64, seed=1)
    checkpoint_directory.save(folder / "encoder", encoder, tokenizer)
    for name, description in (("single", SINGLE), ("pair", PAIR)):
        data = folder / f"{name}-data"
        data.mkdir()
        for split, count in (("train", 24), ("dev", 10)):
            texts = [f"{('bad', 'good')[i % 2]}  film number {i}\t" + "and so on " * (i * 3) for i in range(count)]
            asked = [] if name == "single" else ["question", *(f"is it  {i} ?" for i in range(count))]
            rows = [[text, *([asked[i + 1]] if asked else []), i % 2] for i, text in enumerate(texts)]
            write_table(data / f"{split}.csv", ["passage", "question", "label"] if asked else ["text", "label"], rows)
        (data / "own.yaml").write_text(description)
        finetune(FineTuningOptions(task=str(data / "own.yaml"), checkpoint=str(folder / "encoder"), epochs=3,
                                   max_length=LENGTH, batch_size=8, learning_rate=3e-2, device="cpu",
                                   output_dir=str(folder / name)))
    return folder


def probabilities(run):
    """Those of predictions.tsv, which the run wrote of its dev set."""
    with open(run / "predictions.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return np.array([[float(row["score(0)"]), float(row["score(1)"])] for row in rows])


def classified(capsys, *words):
    assert predict.main([*map(str, words)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return np.array([list(answer["scores"].values()) for answer in answers])


@pytest.mark.parametrize("name", ["single", "pair"])
def test_every_form_of_a_checkpoint_gives_the_runs_own_probabilities(runs, name, tmp_path, capsys, caplog):
    """Case 03: --max-length, and the task's cut, in prediction, in ONNX, and back from Hugging Face's format."""
    weights, table = read(runs / name), runs / f"{name}-data/dev.csv"
    due = probabilities(runs / name)
    assert due.std(axis=0).max() > 1e-3  # they tell texts apart
    for to in ("hf", "bort-mx", "gluon"):
        convert.convert(weights, tmp_path / to, to)
    (tmp_path / "onnx").mkdir()
    onnx_export.export(weights, tmp_path / "onnx/model.onnx")
    weights.tokenizer.save(tmp_path / "onnx")
    for form in (runs / name, tmp_path / "hf", tmp_path / "bort-mx", tmp_path / "gluon", tmp_path / "onnx/model.onnx"):
        caplog.clear()
        found = classified(capsys, "--checkpoint", form, "--classify", table)
        np.testing.assert_allclose(found, due, atol=2e-6, err_msg=str(form))
        assert f"of 10 texts were cut to {LENGTH} tokens, as in its training" in caplog.text
        assert read(form).config.longest == LENGTH if form.suffix != ".onnx" else True
    assert json.loads((tmp_path / "hf/tokenizer_config.json").read_text())["model_max_length"] == LENGTH


def test_predict_only_cuts_as_the_checkpoint_was_trained(runs, tmp_path):
    convert.convert(read(runs / "single"), tmp_path / "hf", "hf")
    found = finetune(FineTuningOptions(task=str(runs / "single-data/own.yaml"), checkpoint=str(tmp_path / "hf"),
                                       predict_only=True, device="cpu", output_dir=str(tmp_path / "out")))
    np.testing.assert_allclose(probabilities(tmp_path / "out"), probabilities(runs / "single"), atol=2e-6)
    assert any(f"texts are cut to {LENGTH} tokens, as" in note for note in found["notes"])


def test_a_test_file_alone_is_predicted(runs, tmp_path):
    """Case 15."""
    (tmp_path / "new.tsv").write_text("text\nA new one\n")
    (tmp_path / "a.yaml").write_text("files: {test: new.tsv}\ncolumns: {text: text}\nlabels: [0, 1]\n")
    finetune(FineTuningOptions(task=str(tmp_path / "a.yaml"), checkpoint=str(runs / "single"), predict_only=True,
                               device="cpu", output_dir=str(tmp_path / "out")))
    assert len((tmp_path / "out/a.tsv").read_text().splitlines()) == 2
    with pytest.raises(InputError, match="no train set under `files`; train and dev are needed for training"):
        finetune(FineTuningOptions(task=str(tmp_path / "a.yaml"), checkpoint=str(runs / "single"), device="cpu",
                                   output_dir=str(tmp_path / "train")))


def test_a_table_is_read_by_its_columns_whatever_its_kind(runs, tmp_path, capsys):
    """Case 04: the header was classified and the label was taken for a second text."""
    with open(runs / "single-data/dev.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    due = probabilities(runs / "single")
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "t.tsv").write_text("label\tbody\n" + "".join(
        f"{row['label']}\t" + " ".join(row["text"].split()) + "\n" for row in rows))
    (tmp_path / "t.txt").write_text("".join(" ".join(row["text"].split()) + "\n" for row in rows))
    for name, options in (("t.jsonl", []), ("t.json", []), ("t.tsv", ["--text-column", "body"]), ("t.txt", [])):
        found = classified(capsys, "--checkpoint", runs / "single", "--classify", tmp_path / name, *options)
        np.testing.assert_allclose(found, due, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("run, name, text, options, message", [
    ("single", "t.tsv", "body\tlabel\na\t1\n", [], "t.tsv: no column 'text'; found body, label; name the columns by"),
    ("single", "t.tsv", "a\t1\nb\t0\n", [], "t.tsv: no column 'text'; found a, 1; .* no header line, let its name end"),
    ("single", "t.txt", "one\ttwo\n", [], r"t.txt:1: two texts, but the classifier was trained on single texts"),
    ("pair", "t.txt", "a\tb\none\n", [], r"t.txt:2: one text, but the classifier was trained on pairs \(pass"),
    ("pair", "t.csv", "passage,label\na,1\n", [], "t.csv: no column 'question'; found passage, label"),
    ("pair", "t.csv", "passage,label\na,1\n", ["--text-column", "passage"],
     r"one column named, but the checkpoint was trained on two columns \(passage, question\); give --text-column and"),
    ("single", "t.csv", "text,text_pair\na,b\n", ["--text-column", "text", "--text-pair-column", "text_pair"],
     "two columns named, but the checkpoint was trained on one column"),
    ("single", "t.jsonl", '{"text": 3}\n', [], "t.jsonl:1: column 'text' is 3; expected a text"),
    ("single", "t.jsonl", '{"text": "a"}\n{"body": "b"}\n', [], "t.jsonl:2: no column 'text'; found body"),
    ("single", "t.txt", "a\n", ["--text-column", "text"], "t.txt is no table"),
    ("single", "t.txt", "a\n", ["--text-pair-column", "text"], "give --text-column for the first as well"),
    ("single", "t.csv", "text\n", [], "t.csv: holds no text")])
def test_what_was_not_trained_is_refused(runs, tmp_path, run, name, text, options, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        predict.main(["--checkpoint", str(runs / run), "--classify", str(tmp_path / name), *options])
    assert "\n" not in str(caught.value)


def test_pairs_are_refused_from_python_too(runs):
    model, tokenizer = pipeline.open_model(runs / "single", "classifier")
    with pytest.raises(InputError, match="text 2: two texts, but the classifier was trained on single texts"):
        pipeline.classify(model, tokenizer, [("a", None), ("a", "b")])


def test_usual_columns_are_read_and_said_where_nothing_tells_them(runs, tmp_path, capsys, caplog):
    (tmp_path / "t.csv").write_text("id,sentence\n1,a film\n2,\n")
    assert predict.main(["--checkpoint", str(runs / "encoder"), "--embed", str(tmp_path / "t.csv"), "--output",
                         str(tmp_path / "e.npy")]) == 0
    assert np.load(tmp_path / "e.npy").shape == (2, 16) and capsys.readouterr().out
    assert "t.csv: read column sentence as the text" in caplog.text
    found = classified(capsys, "--checkpoint", runs / "single", "--classify", tmp_path / "t.csv")
    assert len(found) == 2 and "read column sentence as the text, for the task's text" in caplog.text


def test_a_classifier_of_version_0_1_finds_its_length_in_its_run(runs, tmp_path):
    """Its own config.json said nothing of it."""
    source = runs / "single/checkpoints/best"
    run = tmp_path / "run"
    best = run / "checkpoints/best"
    weights = read(source)
    checkpoint_directory.write(best, {name: weights.float32(name) for name in weights.tensors}, weights.tokenizer,
                               weights.config.without_texts())
    assert "max_length" not in json.loads((best / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({"options": {"task": "own.yaml", "max_length": 12}}))
    assert read(best).config.max_length == 12 and read(run).config.longest == 12


def test_a_sentence_transformers_folder_has_its_own_limit(runs, tmp_path, caplog):
    """Case 17: sentence_bert_config.json; tokenizer_config.json only where that says nothing."""
    convert.convert(read(runs / "encoder"), tmp_path / "hf", "hf")
    (tmp_path / "t.txt").write_text("and so on " * 40 + "\nshort\n")
    words = ["--checkpoint", str(tmp_path / "hf"), "--embed", str(tmp_path / "t.txt"), "--output",
             str(tmp_path / "e.npy")]
    predict.main(words)
    assert "1 of 2 texts were cut to 64 tokens, the most the model takes" in caplog.text
    (tmp_path / "hf/sentence_bert_config.json").write_text('{"max_seq_length": 24, "do_lower_case": false}')
    predict.main(words)
    assert "1 of 2 texts were cut to 24 tokens, as in its training" in caplog.text
    cut = np.load(tmp_path / "e.npy")[0]
    model, tokenizer = pipeline.open_model(runs / "encoder", "encoder")
    ids = tokenizer.encode("and so on " * 40, max_length=24)
    states = pipeline.forward(model, np.array([ids]), np.array([24]))[0]
    np.testing.assert_allclose(cut, states.mean(axis=0), atol=1e-5)
    (tmp_path / "hf/sentence_bert_config.json").write_text('{"max_seq_length": "many"}')
    with pytest.raises(InputError, match="sentence_bert_config.json: max_seq_length is 'many'; it must be a number"):
        read(tmp_path / "hf")


def test_the_case_as_it_was_reported(shared, runs, tmp_path, capsys):
    """../shared/cases/04: six answers for five examples."""
    table = pathlib.Path(shared / "cases/04-classify-tsv-with-labels/dev.tsv")
    assert len(classified(capsys, "--checkpoint", runs / "single", "--classify", table, "--text-column",
                          "sentence")) == 5
