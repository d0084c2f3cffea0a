"""`bort-mx predict`: masks, classes and embeddings, from a checkpoint and from an ONNX file."""

import collections
import io
import json
import shutil

import mxnet as mx
import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints import onnx_export, read
from bort_mx.commands import predict
from bort_mx.commands.answer_tally import Tally
from bort_mx.data.tasks import get_task
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.inference import pipeline
from bort_mx.models import build_model

LINES = ["the quick brown fox", "jumps over\tthe lazy dog", "", "a dog",
         "the fox and the dog and the fox and the dog " * 9, "quick"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """A checkpoint of each head, an ONNX file of each beside it, and the file of LINES."""
    directory = tmp_path_factory.mktemp("predict")
    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    for head in ("encoder", "mlm", "classifier"):
        model = build_model(Architecture(2, 2, 16, 24), tokenizer.vocab_size, head, 2, num_positions=64, seed=1)
        for parameter in model.collect_params().values():
            parameter.set_data(parameter.data() * 10)
        checkpoint_directory.save(directory / head, model, tokenizer)
        onnx_export.export(read(directory / head), directory / head / "model.onnx")
    (directory / "lines.txt").write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return directory


def run(capsys, *arguments):
    assert predict.main([str(argument) for argument in arguments]) == 0
    return capsys.readouterr().out


def alone(directory, head):
    """The model's output for each line by itself, without padding."""
    model, tokenizer = pipeline.open_model(directory / head, head)
    for line in LINES:
        ids = tokenizer.encode(*line.split("\t"), recognise_specials=False, max_length=64)
        yield model(mx.nd.array([ids])).asnumpy()[0]


@pytest.mark.parametrize("form", ["", "model.onnx"])
def test_classify(checkpoints, form, capsys, caplog, tmp_path):
    said = run(capsys, "--checkpoint", checkpoints / "classifier" / form, "--classify", checkpoints / "lines.txt",
               "--batch-size", 2, "--task", "RTE")
    answers = [json.loads(line) for line in said.splitlines()]
    assert [answer["text"] for answer in answers] == [line.split("\t")[0] for line in LINES]
    assert answers[1]["text_pair"] == "the lazy dog" and "text_pair" not in answers[0]
    for answer, logits in zip(answers, alone(checkpoints, "classifier")):
        want = np.exp(logits - logits.max())
        want /= want.sum()
        np.testing.assert_allclose(list(answer["scores"].values()), want, atol=1e-5)
        assert answer["label"] == get_task("RTE").labels[want.argmax()]
    assert "1 of 6 texts were cut to 64 tokens" in caplog.text
    run(capsys, "--checkpoint", checkpoints / "classifier" / form, "--classify", checkpoints / "lines.txt",
        "--output", tmp_path / "answers.jsonl")
    written = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [set(answer["scores"]) for answer in written] == [{"0", "1"}] * 6
    assert all(answer["score"] == max(answer["scores"].values()) == answer["scores"][answer["label"]]
               for answer in written)


def test_a_file_of_answers_is_counted(checkpoints, tmp_path, capsys):
    arguments = ("--checkpoint", checkpoints / "classifier", "--classify", checkpoints / "lines.txt", "--task", "RTE")
    said = run(capsys, *arguments, "--output", tmp_path / "a.jsonl").splitlines()
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    counts = sorted(collections.Counter(answer["label"] for answer in answers).items())
    first = answers[0]
    assert said[0] == f"opening {checkpoints / 'classifier'} …"
    assert said[1] == (f"6 texts: {', '.join(f'{label} {count}' for label, count in counts)}; the first: "
                       f"{first['text']} \u2192 {first['label']} ({first['score']:.2f})")
    assert said[2].startswith("wrote ")
    said = run(capsys, "--checkpoint", checkpoints / "mlm", "--fill-mask", "a <mask> <mask>", "--output",
               tmp_path / "m.jsonl").splitlines()
    fill = json.loads((tmp_path / "m.jsonl").read_text().splitlines()[0])["fills"][0]
    assert said[1] == (f"2 masks; the first: a <mask> <mask> \u2192 {fill['token'].strip()} ({fill['score']:.2f})")


@pytest.mark.parametrize("answers, line", [
    ([{"text": "a", "value": 1.5}, {"text": "b", "value": 4.0}],
     "2 texts: from 1.5 to 4, mean 2.75; the first: a \u2192 1.5"),
    ([{"text": "a" * 50, "text_pair": "b", "labels": ["x", "y"], "scores": {}},
      {"text": "", "labels": [], "scores": {}}],
     f"2 texts: x 1, y 1; the first: {'a' * 39}\u2026 | b \u2192 x, y"),
    ([{"text": "a", "scores": {"0": 0.25, "1": 3.0}}], "1 text; the first: a \u2192 0 0.25, 1 3"), ([], "0 texts")])
def test_answers_of_every_kind_are_counted(answers, line):
    tally = Tally()
    assert list(tally.of(answers)) == answers and tally.line() == line and tally.constant() is None


def test_the_only_column_of_a_table_is_read_and_said(checkpoints, tmp_path, capsys, caplog):
    (tmp_path / "t.csv").write_text("Nachricht\nthe fox\nthe dog\n")
    run(capsys, "--checkpoint", checkpoints / "encoder", "--embed", tmp_path / "t.csv", "--output", tmp_path / "e.npy")
    assert np.load(tmp_path / "e.npy").shape == (2, 16)
    assert "t.csv: read its only column Nachricht as the text; the first line is its name" in caplog.text
    with pytest.raises(InputError, match=r"no column 'nachricht' \(did you mean Nachricht\?\); found Nachricht;"):
        run(capsys, "--checkpoint", checkpoints / "encoder", "--embed", tmp_path / "t.csv", "--output",
            tmp_path / "e.npy", "--text-column", "nachricht")


def test_one_class_for_every_text_is_noted_beside_a_file(checkpoints, tmp_path, capsys, caplog):
    (tmp_path / "same.txt").write_text("a dog\n" * 12, encoding="utf-8")
    arguments = ("--checkpoint", checkpoints / "classifier", "--classify", tmp_path / "same.txt", "--task", "RTE")
    said = run(capsys, *arguments)
    label = json.loads(said.splitlines()[0])["label"]
    assert "always" not in caplog.text  # on standard output it is seen
    run(capsys, *arguments, "--output", tmp_path / "a.jsonl")
    assert f"a.jsonl: the model predicts one class always: {label}, for all 12 examples" in caplog.text
    caplog.clear()
    run(capsys, *arguments[:3], checkpoints / "lines.txt", "--output", tmp_path / "a.jsonl")
    assert "always" not in caplog.text


@pytest.mark.parametrize("form", ["", "model.onnx"])
@pytest.mark.parametrize("pooling", pipeline.POOLINGS)
def test_embed(checkpoints, form, pooling, capsys, tmp_path):
    run(capsys, "--checkpoint", checkpoints / "encoder" / form, "--embed", checkpoints / "lines.txt",
        "--pooling", pooling, "--output", tmp_path / "e.npy", "--batch-size", 4)
    found = np.load(tmp_path / "e.npy")
    assert found.dtype == np.float32 and found.shape == (6, 16)
    want = [states.mean(axis=0) if pooling == "mean" else states[0] for states in alone(checkpoints, "encoder")]
    np.testing.assert_allclose(found, want, atol=1e-4)


def test_fill_mask_from_both_forms(checkpoints, capsys):
    said = [run(capsys, "--checkpoint", checkpoints / "mlm" / form, "--fill-mask", "the <mask> fox", "a <mask> [MASK]")
            for form in ("", "model.onnx")]
    assert said[0] == said[1] and said[0].count("(mask ") == 3


def test_a_regression_gives_values(checkpoints, tmp_path, capsys):
    tokenizer = read(checkpoints / "mlm").tokenizer
    model = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, "classifier", num_labels=1)
    checkpoint_directory.save(tmp_path / "c", model, tokenizer)
    said = run(capsys, "--checkpoint", tmp_path / "c", "--classify", checkpoints / "lines.txt")
    assert all(set(json.loads(line)) - {"text_pair"} == {"text", "value", "scores"} for line in said.splitlines())


def test_labels_have_the_names_that_the_checkpoint_tells(checkpoints, tmp_path, capsys):
    """Its own, or the task's as they are spelled there; in the order of the outputs."""
    tokenizer = read(checkpoints / "mlm").tokenizer
    for labels, task, names in ((None, None, ["0", "1"]), (("ENTAILMENT", "not_Entailment"), None, None),
                                (("ENTAILMENT", "not_Entailment"), "RTE", ["entailment", "not_entailment"]),
                                (None, "RTE", ["not_entailment", "entailment"]), (("no", "yes"), "CoLA", ["0", "1"])):
        model = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, "classifier", labels=labels)
        checkpoint_directory.save(tmp_path / "c", model, tokenizer)
        said = run(capsys, "--checkpoint", tmp_path / "c", "--classify", checkpoints / "lines.txt",
                   *(["--task", task] if task else []))
        answer = json.loads(said.splitlines()[0])
        assert list(answer["scores"]) == (names or list(labels))
        assert answer["label"] == max(answer["scores"], key=answer["scores"].get)
    model = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size, "classifier", labels=("cat", "dog"))
    checkpoint_directory.save(tmp_path / "c", model, tokenizer)
    with pytest.raises(InputError, match="has the labels cat, dog, but RTE has not_entailment, entailment"):
        run(capsys, "--checkpoint", tmp_path / "c", "--classify", checkpoints / "lines.txt", "--task", "RTE")


def test_a_file_has_as_many_answers_as_lines(checkpoints, tmp_path, capsys):
    (tmp_path / "t.txt").write_bytes("\ufeffthe fox\r\n\r\na\u2028dog\tfox\r\n\r\n\r\n".encode())
    said = run(capsys, "--checkpoint", checkpoints / "classifier", "--classify", tmp_path / "t.txt")
    assert [json.loads(line)["text"] for line in said.rstrip("\n").split("\n")] == ["the fox", "", "a\u2028dog", "", ""]


def test_masks_of_the_command_line_and_of_a_file_go_to_the_output(checkpoints, tmp_path, capsys):
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfthe <mask>\r\n\r\na [MASK] <mask>\n")
    run(capsys, "--checkpoint", checkpoints / "mlm", "--fill-mask", "fox <mask>", "--input", tmp_path / "t.txt",
        "--output", tmp_path / "o.jsonl")
    answers = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(a["text"], a["mask"]) for a in answers] == [
        ("fox <mask>", 0), ("the <mask>", 0), ("a [MASK] <mask>", 0), ("a [MASK] <mask>", 1)]


def test_a_line_without_a_mask_is_named_before_anything_is_answered(checkpoints, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("a <mask>\n\nnone here\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"t.txt:3: 'none here': holds no <mask>"):
        predict.main(["--checkpoint", str(checkpoints / "mlm"), "--input", str(tmp_path / "t.txt")])
    assert capsys.readouterr().out == ""


def test_rows_of_the_embedding_beyond_the_vocabulary_are_no_words(checkpoints, tmp_path):
    tokenizer = read(checkpoints / "mlm").tokenizer
    model = build_model(Architecture(1, 2, 16, 24), tokenizer.vocab_size + 9, "mlm", num_positions=64)
    model.decoder[3].bias.set_data(mx.nd.concat(mx.nd.zeros(tokenizer.vocab_size), mx.nd.full(9, 50), dim=0))
    checkpoint_directory.save(tmp_path / "wide", model, tokenizer)
    answer, = predict.fill_masks(*pipeline.open_model(tmp_path / "wide", "mlm"), ["a <mask>"], top_k=999)
    assert len(answer["fills"]) == 300
    assert sum(fill["score"] for fill in answer["fills"]) == pytest.approx(1)


@pytest.mark.parametrize("arguments", [
    ["--checkpoint", "{0}/encoder", "--embed", "{0}/lines.txt", "--output", "{0}/lines.txt/e.npy"],
    ["--checkpoint", "{0}/classifier", "--classify", "{0}/lines.txt", "--output", "{0}/encoder"],
    ["--checkpoint", "{0}/mlm", "--fill-mask", "a <mask>", "--output", "/proc/nothing/here"]])
def test_an_output_that_cannot_be_written_is_refused(checkpoints, arguments):
    with pytest.raises(InputError, match="cannot be written"):
        predict.main([argument.format(checkpoints) for argument in arguments])
    assert not list(checkpoints.glob(".*"))


@pytest.mark.parametrize("output, said", [
    ("t.csv", "is the file of --classify, which would be lost"), ("./a/../t.csv", "is the file of --classify"),
    ("classifier/config.json", "is a file of the checkpoint"),
    ("classifier/model.safetensors", "is a file of the checkpoint"), ("linked.csv", "is the file of --classify")])
def test_answers_replace_no_file_that_they_come_from(checkpoints, tmp_path, output, said):
    shutil.copytree(checkpoints / "classifier", tmp_path / "classifier")
    (tmp_path / "a").mkdir()
    (tmp_path / "t.csv").write_text("text,label\na dog,1\n")
    (tmp_path / "linked.csv").symlink_to(tmp_path / "t.csv")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    arguments = ["--checkpoint", str(tmp_path / "classifier"), "--classify", str(tmp_path / "t.csv"), "--output"]
    with pytest.raises(InputError, match=said):
        predict.main([*arguments, f"{tmp_path}/{output}"])
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for _ in range(2):  # answers beside a checkpoint may be written again
        assert predict.main([*arguments, str(tmp_path / "classifier" / "answers.jsonl")]) == 0


@pytest.mark.parametrize("checkpoint, option", [("classifier", "--fill-mask"), ("mlm", "--classify")])
def test_a_head_that_is_absent_is_an_error_alone(checkpoints, caplog, checkpoint, option):
    """No line on a new head before it: none is made."""
    text = "a <mask>" if option == "--fill-mask" else str(checkpoints / "lines.txt")
    with pytest.raises(InputError, match="has no trained"):
        predict.main(["--checkpoint", str(checkpoints / checkpoint), option, text])
    assert caplog.text == ""


@pytest.mark.parametrize("arguments, complaint", [
    (["--checkpoint", "{0}/mlm", "--fill-mask", "a <mask>", "--task", "RTE"], "--task names the labels of --classify"),
    (["--checkpoint", "{0}/mlm", "--classify", "{0}/lines.txt"], "no trained classifier head"),
    (["--checkpoint", "{0}/mlm/model.onnx", "--classify", "{0}/lines.txt"], "no trained classifier head"),
    (["--checkpoint", "{0}/encoder", "--fill-mask", "a <mask>"], "no trained mlm head"),
    (["--checkpoint", "{0}/encoder", "--embed", "{0}/lines.txt"], "--output FILE.npy"),
    (["--checkpoint", "{0}/encoder", "--embed", "{0}/lines.txt", "--classify", "x"], "give one"),
    (["--checkpoint", "{0}/encoder"], "nothing to predict"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/lines.txt", "--top-k", "3"], "--top-k 3 is for --fill-mask"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/lines.txt", "--pooling", "first"], "first is for --embed"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/lines.txt", "--text-column", "a", "--text-pair-column", "a"],
     "--text-pair-column a is the column of --text-column"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/none.txt"],
     "none.txt: no such file; give a file with one text in each line, or - for standard input: echo"),
    (["--checkpoint", "{0}/classifier", "--classify", "My parcel is gone. " * 30], "My parcel is gone. : no such file"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/letter.docx"],
     "letter.docx: a zip archive (or .docx, .xlsx, .epub); take the text out of it"),
    (["--checkpoint", "{0}/encoder", "--embed", "{0}/letter.docx", "--output", "e.npy"], "letter.docx: a zip archive"),
    (["--checkpoint", "{0}/mlm", "--input", "{0}/letter.docx"], "letter.docx: a zip archive"),
    (["--checkpoint", "{0}/mlm", "--input", "{0}/none.txt"], "or - for standard input"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/tabs.txt"], "tabs.txt:2: 2 tabs"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/latin.txt"],
     "latin.txt: not UTF-8 text, byte 0xe9 at byte offset 7; convert the file to UTF-8"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/blank.txt"], "blank.txt: holds no text"),
    (["--checkpoint", "{0}/classifier", "--classify", "{0}/lines.txt", "--task", "MNLI-matched"],
     "has 2 labels, but MNLI-matched has contradiction, neutral, entailment; leave --task out"),
    (["--checkpoint", "{0}/encoder", "--embed", "{0}/lines.txt", "--output", "e.npy", "--pooling", "max"],
     "mean, first")])
def test_what_cannot_be_done_is_refused(checkpoints, arguments, complaint):
    (checkpoints / "tabs.txt").write_text("a\tb\na\tb\tc\n", encoding="utf-8")
    (checkpoints / "latin.txt").write_bytes(b"\xef\xbb\xbfone\n\xe9")
    (checkpoints / "letter.docx").write_bytes(b"PK\x03\x04\x14\x00\x06\xff")
    (checkpoints / "blank.txt").write_text(" \n\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        predict.main([argument.format(checkpoints) for argument in arguments])
    assert complaint in str(caught.value)


@pytest.mark.parametrize("head, arguments", [
    ("classifier", ["--classify"]), ("mlm", ["--input"]), ("encoder", ["--output", "{0}/e.npy", "--embed"])])
def test_standard_input_is_read_like_a_file(checkpoints, head, arguments, tmp_path, capsys, monkeypatch):
    texts = "\ufeffthe <mask> fox\r\na <mask>\n"
    (tmp_path / "lines.txt").write_text(texts, encoding="utf-8", newline="")
    found = []
    for source in (str(tmp_path / "lines.txt"), "-"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(texts.encode())))
        predict.main(["--checkpoint", str(checkpoints / head), *(a.format(tmp_path) for a in arguments), source])
        found.append(np.load(tmp_path / "e.npy").tolist() if head == "encoder" else capsys.readouterr().out)
    assert found[0] == found[1] and len(found[0]) > 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xe9")))
    with pytest.raises(InputError, match="-: not UTF-8 text"):
        predict.main(["--checkpoint", str(checkpoints / head), *(a.format(tmp_path) for a in arguments), "-"])


def test_a_task_is_fitted_as_in_fine_tuning_and_what_is_assumed_is_said(checkpoints, tmp_path, caplog):
    model, tokenizer = pipeline.open_model(checkpoints / "classifier", "classifier")
    (tmp_path / "lines.txt").write_text("the quick fox\n")
    answers = {}
    for number, labels in enumerate([("POSITIVE", "NEGATIVE"), ("0", "1"), ("good", "bad")]):
        caplog.clear()
        model.config = model.config.replace(labels=labels)
        checkpoint_directory.save(tmp_path / str(number), model, tokenizer)
        predict.main(["--checkpoint", str(tmp_path / str(number)), "--classify", str(tmp_path / "lines.txt"), "--task",
                      "SST-2", "--output", str(tmp_path / "out.jsonl")])
        answers[labels[0]] = json.loads((tmp_path / "out.jsonl").read_text())["scores"]
        assert ("are taken to be 0, 1" in caplog.text) == (labels != ("0", "1"))
    assert answers["POSITIVE"] == pytest.approx({"1": answers["0"]["0"], "0": answers["0"]["1"]})
    assert answers["good"] == answers["0"]
    model.config = model.config.replace(labels=None, text_columns=("sentence1", "sentence2"))
    checkpoint_directory.save(tmp_path / "pairs", model, tokenizer)
    command = ["--checkpoint", str(tmp_path / "pairs"), "--classify"]
    with pytest.raises(InputError, match="was trained on pairs of texts, but SST-2 has single texts"):
        predict.main([*command, str(tmp_path / "lines.txt"), "--task", "SST-2"])
    (tmp_path / "pairs.csv").write_text("sentence1,sentence2\na,b\n")
    with pytest.raises(InputError, match="sentence2 and sentence1 are named, the other way round"):
        predict.main([*command, str(tmp_path / "pairs.csv"), "--text-column", "sentence2", "--text-pair-column",
                      "sentence1"])
