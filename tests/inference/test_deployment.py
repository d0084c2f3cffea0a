"""`export --auto`: the fastest form that holds its score, and the engine beside the file."""

import importlib.util
import json

import numpy as np
import pytest

from bort_mx import machine
from bort_mx.architecture import Architecture
from bort_mx.checkpoints import directory, engine_choice
from bort_mx.commands import export
from bort_mx.data.tasks import get_task
from bort_mx.data.tasks.examples import Example, Examples
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.inference import deployment, engines, pipeline, yardstick
from bort_mx.inference.deployment import Candidate
from bort_mx.models import ModelConfig, build_model

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

LINES = [f"the quick brown fox number {i} jumps over {i * 7} lazy dogs" for i in range(12)]
OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("deployment")
    tokenizer = train_sentencepiece(LINES * 3, 300)
    for head in ("encoder", "mlm", "classifier"):
        model = build_model(Architecture(2, 2, 16, 24), tokenizer.vocab_size, head, 2, num_positions=64, seed=1)
        directory.save(path / head, model, tokenizer)
    (path / "texts.txt").write_text("\n".join(LINES), encoding="utf-8")
    return path


@pytest.mark.parametrize("head", ["encoder", "mlm", "classifier"])
def test_the_choice_is_kept_beside_the_file_and_used(head, folder, tmp_path, capsys):
    output = tmp_path / "m.onnx"
    assert export.main([str(folder / head), str(output), "--auto", "--texts", str(folder / "texts.txt")]) == 0
    said, kept = capsys.readouterr().out, json.loads(engine_choice.place(output).read_text())
    assert f"chosen: {kept['form']}, {kept['engine']}: " in said and "tried on " in said
    assert kept["score"] >= kept["float32_score"] - 0.5 and kept["cpu"] == engines.describe_cpu()
    assert len(kept["candidates"]) >= 5 and not any("failure" in row for row in kept["candidates"])
    model, _ = pipeline.open_model(output, head)
    assert type(model).__name__ == {"onnxruntime": "OnnxModel", "openvino": "OpenVinoModel"}[kept["engine"]]
    export.main([str(folder / head), str(output)])  # another form: the choice was not of that file
    assert not engine_choice.place(output).exists()


def test_the_fastest_that_holds_is_chosen(folder, monkeypatch):
    from bort_mx.checkpoints import read

    weights = read(folder / "classifier")
    every = [Candidate("onnxruntime"), Candidate("onnxruntime"), Candidate("openvino"), Candidate("broken")]
    every[1].form, speed = deployment.Quantization(), {0: (4.0, 1.0), 1: (1.0, 3.0), 2: (2.0, 2.0), 3: (0.0, 0.0)}
    scores = {id(every[0]): 90.0, id(every[1]): 89.4, id(every[2]): 89.6}
    monkeypatch.setattr(deployment, "candidates", lambda calibration, found: list(every))
    monkeypatch.setattr(deployment, "_write", lambda *args: {"float32": None, deployment.Quantization().name: None})

    def timed(candidate, *rest):
        candidate.single, candidate.batch = speed[every.index(candidate)]
        candidate.failure = "no such engine" if candidate.engine == "broken" else ""
    monkeypatch.setattr(deployment, "_time_one", timed)
    monkeypatch.setattr(deployment, "_time_in_turn", lambda *args: None)
    by_name = {candidate.engine + str(candidate.form is None): candidate for candidate in every}
    monkeypatch.setattr(deployment, "open_by", lambda path, name: name)
    current = iter([every[0], every[1], every[2]])  # float32 is scored first, then the fastest ones
    stick = yardstick.Yardstick("score", [(line, None) for line in LINES], lambda engine: scores[id(next(current))])
    chosen, order = deployment.choose(weights, None, stick, 17, 0.5, "single")
    assert chosen is by_name["openvinoTrue"] and order.index(chosen) == 2  # the second loses 0.6
    assert order[0].failure and order[1].score == 89.4
    lines = list(deployment.report(chosen, order, stick, 0.5, "single"))
    assert "2.00 times as fast as float32" in lines[-1] and "1 faster ones lose more" in lines[-1]
    for candidate in every:
        candidate.score = None
    current = iter([every[0]])
    assert deployment.choose(weights, None, stick, 17, 0.5, "batch")[0] is every[0]


def test_a_task_is_scored_by_its_criterion_whatever_the_order_of_labels(folder, monkeypatch):
    task = get_task("RTE")
    dev = Examples([Example(i, (line, "x"), task.labels[i % 2]) for i, line in enumerate(LINES)])
    order = tuple(reversed(list(map(str, task.labels))))
    model = type("Model", (), {"config": ModelConfig(Architecture(1, 1, 8, 8), 50, "classifier", labels=order)})
    right = np.array([[i % 2 == 1, i % 2 == 0] for i in range(len(LINES))], float)  # in the model's order
    right[:3] = 1 - right[:3]
    monkeypatch.setattr(yardstick, "classify", lambda *args: iter(right))
    assert yardstick.of_task(task, dev, None, model.config).score(model) == pytest.approx(100 * 9 / 12)


def test_agreements_are_in_percent():
    want = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    assert yardstick.same_classes(want, want[:, ::-1]) == 0 and yardstick.same_classes(want, want) == 100
    assert yardstick.same_labels(want, np.abs(want - [[0.5, 0]])) == 100 * 6 / 8
    values = np.random.default_rng(0).normal(size=(2, 50))
    assert yardstick.correlation(*values) == pytest.approx(100 * np.corrcoef(values)[0, 1])
    assert yardstick.correlation(values[0], np.ones(50)) == 0 == yardstick.correlation(values[0, :1], values[1, :1])


def test_an_engine_that_is_absent_is_replaced_and_said(folder, tmp_path, monkeypatch, caplog):
    output = tmp_path / "m.onnx"
    export.main([str(folder / "encoder"), str(output)])
    engine_choice.place(output).write_text('{"engine": "openvino", "cpu": "another"}')
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    model, _ = pipeline.open_model(output, "encoder")
    assert type(model).__name__ == "OnnxModel" and "it is run by ONNX Runtime" in caplog.text
    assert "its engine was chosen on another CPU (another); bort-mx export --auto" in caplog.text
    for text, complaint in (('{"engine": "abacus"}', "engine 'abacus'; known are"), ("[]", "names no engine"),
                            ("{", "m.onnx.engine.json")):
        engine_choice.place(output).write_text(text)
        with pytest.raises(InputError, match=complaint):
            pipeline.open_model(output, "encoder")


@pytest.mark.parametrize("count", [2, 4, 5])  # every second one is for calibration
def test_texts_that_tell_nothing_of_an_encoder_are_refused(count, folder, tmp_path):
    (tmp_path / "t.txt").write_text("\n".join(LINES[:count]), encoding="utf-8")
    with pytest.raises(InputError, match=f"^{count // 2} texts .*cannot be compared.*--texts FILE"):
        export.main([str(folder / "encoder"), str(tmp_path / "m.onnx"), "--auto", "--texts", str(tmp_path / "t.txt")])
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.skipif(not OPENVINO, reason="OpenVINO is not installed")
@pytest.mark.parametrize("head", ["encoder", "mlm", "classifier"])
def test_openvino_computes_the_same(head, folder, tmp_path):
    output = tmp_path / "m.onnx"
    export.main([str(folder / head), str(output)])
    ids, lengths = np.random.default_rng(0).integers(0, 300, (3, 20)), np.array([20, 7, 1])
    results = [engines.open_by(output, name)(ids, lengths, np.array([[1], [0], [0]]) if head == "mlm" else None)
               for name in ("onnxruntime", "openvino")]
    np.testing.assert_allclose(*results, atol=2e-5)


@pytest.mark.parametrize("options, complaint", [
    (["--auto", "--int8"], "leave out --int8"), (["--task", "RTE"], "give --auto"),
    (["--auto", "--task", "RTE", "--texts", "x"], "give one"), (["--auto", "--data-dir", "x"], "give --task"),
    (["--auto", "--fastest-for", "x"], "--fastest-for"), (["--auto", "--static"], "leave out --int8"),
    (["--fastest-for", "batch"], "give --auto"), (["--int8", "--within", "1"], "give --auto"),
    (["--static"], "give --int8"),
    (["--auto", "--task", "RTE"], "needs a classifier"), (["--int8", "--weight-bits", "4"], "--weight-bits 4")])
def test_options_that_do_not_fit_are_refused(options, complaint, folder, tmp_path):
    with pytest.raises(InputError, match=complaint):
        export.main([str(folder / "encoder"), str(tmp_path / "m.onnx"), *options])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("vnni, options, bits", [(True, [], 8), (False, [], 7), (False, ["--weight-bits", "8"], 8),
                                                 (True, ["--weight-bits", "7"], 7)])
def test_without_vnni_weights_have_seven_bits_unless_eight_are_forced(folder, tmp_path, capsys, monkeypatch, vnni,
                                                                     options, bits):
    monkeypatch.setattr(machine, "instructions", lambda: {"VNNI (8-bit)": vnni})
    output = tmp_path / "m.onnx"
    assert export.main([str(folder / "encoder"), str(output), "--int8", "--texts", str(folder / "texts.txt"),
                        *options]) == 0
    said = capsys.readouterr().out
    assert ("dynamic int8, 7-bit weights" in said) == (bits == 7)
    assert ("this CPU lacks VNNI" in said and "--weight-bits 8 forces 8" in said) == (not vnni and not options)
    stored = [np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max() for tensor in
              onnx.load(str(output)).graph.initializer if tensor.name.endswith("int8.T")]
    assert len(stored) == 12 and set(stored) == {2 ** (bits - 1) - 1}  # six dense layers in each of two


def test_static_and_float_layers_from_the_command_line(folder, tmp_path, capsys):
    export.main([str(folder / "mlm"), str(tmp_path / "m.onnx"), "--int8", "--static", "--float-layers", "3", "--texts",
                 str(folder / "texts.txt"), "--weight-bits", "7"])
    assert "static int8, 7-bit weights, 3 layers float32" in capsys.readouterr().out
    kinds = [node.op_type for node in onnx.load(str(tmp_path / "m.onnx")).graph.node]
    assert kinds.count("QuantizeLinear") > 0 and kinds.count("MatMul") == 13 + 4  # and two products of each attention


@pytest.mark.parametrize("labels, percent", [
    (("POSITIVE", "NEGATIVE"), 75), (("1", "0"), 75), (("1.0", "0.0"), 75), (("0", "1"), 25), (None, 25)])
def test_a_task_is_scored_whatever_the_labels_are_called(folder, monkeypatch, caplog, labels, percent):
    task = get_task("SST-2")
    dev = Examples([Example(i, (line,), task.labels[i % 2]) for i, line in enumerate(LINES)])
    model = type("Model", (), {"config": ModelConfig(Architecture(1, 1, 8, 8), 50, "classifier", labels=labels)})
    right = np.array([[i % 2 == 1, i % 2 == 0] for i in range(len(LINES))], float)  # output 0 is label 1
    right[:3] = 1 - right[:3]
    monkeypatch.setattr(yardstick, "classify", lambda *args: iter(right))
    stick = yardstick.of_task(task, dev, None, model.config)
    assert [stick.score(model) for _ in range(2)] == [pytest.approx(percent)] * 2
    said = {("POSITIVE", "NEGATIVE"): "are taken to be 0, 1", None: "does not tell"}.get(labels)
    assert caplog.text.count(said) == 1 if said else True


def test_a_task_of_another_kind_is_refused():
    dev = Examples([Example(i, (line,), "01"[i % 2]) for i, line in enumerate(LINES)])
    for changes, message in (({"problem_type": "multi_label_classification"}, "problem_type is multi_label"),
                             ({"text_columns": ("a", "b")}, "was trained on pairs of texts"),
                             ({"num_labels": 3}, "has 3 labels, but SST-2 has 0, 1"),
                             ({"labels": ("positive", "other")}, "some of them in another place")):
        config = ModelConfig(Architecture(1, 1, 8, 8), 50, "classifier", **changes)
        with pytest.raises(InputError, match=message):
            yardstick.of_task(get_task("SST-2"), dev, None, config)
