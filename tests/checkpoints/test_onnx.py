"""ONNX files: the same outputs as the MXNet model, in a form that ONNX Runtime's optimizer fuses."""

import dataclasses
import json
import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import convert
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Weights
from bort_mx.commands import export as export_command
from bort_mx.errors import InputError, RunError
from bort_mx.inference import pipeline
from bort_mx.models import build_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from bort_mx.checkpoints import onnx_export, onnx_graph  # noqa: E402
from bort_mx.checkpoints.onnx_calibration import calibrate  # noqa: E402
from bort_mx.checkpoints.onnx_model import OnnxModel  # noqa: E402
from bort_mx.checkpoints.quantization import (  # noqa: E402
    CLIPS,
    Quantization,
    best_range,
    fake_quantized,
    quantized,
    scale_and_zero,
)

CASES = [("roberta", "encoder", {}), ("roberta", "mlm", {}), ("roberta", "classifier", {}),
         ("roberta", "classifier", {"extra_layer": True}), ("bert", "classifier", {"pooler": True}),
         ("bert", "mlm", {}), ("bert", "encoder", {"token_types": 1}),
         ("roberta", "classifier", {"pooling": "mean"}), ("bert", "classifier", {"pooling": "segments"})]


def random_weights(family="roberta", head="mlm", architecture=(2, 4, 32, 48), num_positions=512, **options):
    model = build_model(Architecture(*architecture), 97, head, 3, family=family, num_positions=num_positions, **options)
    rng = np.random.default_rng(0)
    for parameter in model.collect_params().values():
        parameter.set_data(mx.nd.array(rng.normal(0, 0.2, parameter.shape)))
    return model, Weights(model.config, checkpoint_directory.tensors_of(model), None, "test")


@pytest.mark.parametrize("family, head, options", CASES)
@pytest.mark.parametrize("opset", [13, 17, 19])
def test_outputs_agree_with_mxnet(family, head, options, opset, tmp_path):
    model, weights = random_weights(family, head, **options)
    onnx_export.export(weights, tmp_path / "m.onnx", opset=opset)
    exported = OnnxModel(tmp_path / "m.onnx")
    assert exported.config == model.config
    rng = np.random.default_rng(1)
    for lengths in ([1], [2], [3, 1], [64, 7, 33], [511, 500], [512, 1]):
        ids = rng.integers(0, 97, (len(lengths), max(lengths)))
        types = rng.integers(0, max(model.config.token_types, 1), ids.shape)
        want = model(mx.nd.array(ids), mx.nd.array(lengths), token_types=mx.nd.array(types)).asnumpy()
        np.testing.assert_allclose(exported(ids, np.array(lengths), token_types=types), want, atol=1e-4)
    if head == "mlm":
        np.testing.assert_array_equal(exported(ids, np.array(lengths), np.array([[2, 0], [0, 0]]))[0, 0],
                                      exported(ids, np.array(lengths))[0, 2])


def test_names_and_types_are_the_usual_ones():
    _, weights = random_weights("bert", "encoder")
    graph = onnx_graph.build(weights).graph
    assert [i.name for i in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert {i.type.tensor_type.elem_type for i in graph.input} == {onnx.TensorProto.INT64}
    assert [d.dim_param for d in graph.input[0].type.tensor_type.shape.dim] == ["batch_size", "sequence_length"]
    assert graph.output[0].name == "last_hidden_state"
    _, weights = random_weights("roberta", "mlm")
    graph = onnx_graph.build(weights).graph
    assert [i.name for i in graph.input] == ["input_ids", "attention_mask"] and graph.output[0].name == "logits"
    assert {node.domain for node in graph.node} == {""}  # standard operators only
    sizes = [len(tensor.raw_data) for tensor in graph.initializer]
    assert sum(sizes) < 1.1 * sum(tensor.nbytes for tensor in weights.tensors.values())  # the embedding is stored once


@pytest.mark.parametrize("opset", [14, 17])
@pytest.mark.parametrize("family", ["roberta", "bert"])
@pytest.mark.filterwarnings("ignore")
def test_the_transformer_optimizer_fuses_everything(family, opset, tmp_path):
    optimizer = pytest.importorskip("onnxruntime.transformers.optimizer")
    model, weights = random_weights(family, "encoder", (3, 4, 32, 48))
    onnx.save(onnx_graph.build(weights, opset), str(tmp_path / "m.onnx"))
    fused = optimizer.optimize_model(str(tmp_path / "m.onnx"), model_type="bert", num_heads=4, hidden_size=32,
                                     opt_level=0)
    counts = fused.get_fused_operator_statistics()
    assert (counts["Attention"], counts["SkipLayerNormalization"], counts["BiasGelu"]) == (3, 6, 3)
    assert counts["EmbedLayerNormalization"] == 1 and fused.is_fully_optimized()
    fused.save_model_to_file(str(tmp_path / "fused.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "fused.onnx"), providers=["CPUExecutionProvider"])
    ids, lengths = np.arange(24).reshape(2, 12) % 97, np.array([12, 5])
    feed = {"input_ids": ids, "attention_mask": (np.arange(12)[None] < lengths[:, None]).astype(np.int64),
            "token_type_ids": np.zeros_like(ids)}
    got = session.run(None, {name: feed[name] for name in onnx_graph.input_names(model.config)})[0]
    np.testing.assert_allclose(got, model(mx.nd.array(ids), mx.nd.array(lengths)).asnumpy(), atol=1e-4)


@pytest.mark.parametrize("head", ["encoder", "mlm", "classifier"])
def test_int8(head, tmp_path):
    model, weights = random_weights(head=head, architecture=(2, 4, 64, 128))
    lines = onnx_export.export(weights, tmp_path / "m.onnx", int8=True)
    assert "int8" in lines[0] and len(lines) == 1  # what judges it is in tests/inference/test_int8_quality.py
    graph = onnx.load(str(tmp_path / "m.onnx")).graph
    of_head = {"encoder": 0, "mlm": 2, "classifier": 1}[head]
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 12 + of_head
    full = sum(tensor.nbytes for tensor in weights.tensors.values())
    assert sum(len(tensor.raw_data) for tensor in graph.initializer) < 0.6 * full  # the position table stays float32


def test_quantized_matrices_are_off_by_half_a_step_at_most():
    matrix = np.random.default_rng(0).normal(size=(5, 300)).astype(np.float32) * [[1e-6], [1], [100], [1e4], [0]]
    values, scales = quantized(matrix.astype(np.float32))
    assert values.dtype == np.int8 and np.abs(values.astype(int)).max() == 127
    assert (np.abs(values * scales[:, None] - matrix) <= scales[:, None] * 0.5001).all()


def test_a_wrong_graph_is_not_written(tmp_path, monkeypatch):
    _, weights = random_weights(head="encoder", num_positions=32)
    monkeypatch.setattr(onnx_graph, "MASKED", 0.0)  # padding is attended to
    (tmp_path / "m.onnx").write_text("what was there before")
    with pytest.raises(RunError, match="m.onnx: not written, as its largest difference"):
        onnx_export.export(weights, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_text() == "what was there before"


def test_the_command(tmp_path, capsys, caplog):
    from bort_mx.data.tokenizers import train_sentencepiece

    tokenizer = train_sentencepiece(["the quick brown fox jumps over the lazy dog"] * 3, 300)
    model = build_model(Architecture(1, 2, 8, 8), tokenizer.vocab_size, "mlm", num_positions=16)
    checkpoint_directory.save(tmp_path / "checkpoint", model, tokenizer)
    output = tmp_path / "onnx" / "model.onnx"
    assert export_command.main([str(tmp_path / "checkpoint"), str(output), "--opset", "18"]) == 0
    said = capsys.readouterr().out
    assert "parity with MXNet over lengths 1 to 16" in said and "tolerance" in said and "opset 18" in said
    assert OnnxModel(output).tokenizer.digest == tokenizer.digest
    for arguments, complaint in ((["--head", "classifier"], "has no classifier head"), (["--opset", "9"], "--opset 9")):
        with pytest.raises(InputError, match=complaint):
            export_command.main([str(tmp_path / "checkpoint"), str(output), *arguments])
    for opset in (onnx_graph.OPSETS[0] - 1, onnx_graph.OPSETS[-1] + 1):  # refused before anything is read
        with pytest.raises(InputError, match=f"--opset {opset}: must be in"):
            export_command.main([str(tmp_path / "absent"), str(output), "--opset", str(opset)])
    with pytest.raises(InputError, match="must end in .onnx"):
        export_command.main([str(tmp_path / "checkpoint"), str(tmp_path / "model.bin")])


@pytest.mark.parametrize("absent", ["onnx", "onnxruntime"])
def test_without_the_packages_one_line_says_what_to_install(absent, tmp_path, monkeypatch):
    _, weights = random_weights(num_positions=32)
    onnx_export.export(weights, tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(InputError, match=f"the package {absent}, which is not installed; run `make install`") as caught:
        onnx_export.export(weights, tmp_path / "new" / "m.onnx")
    assert "\n" not in str(caught.value) and not (tmp_path / "new").exists()
    if absent == "onnxruntime":
        with pytest.raises(InputError, match="the package onnxruntime, which is not installed"):
            pipeline.open_model(tmp_path / "m.onnx", "mlm")


def test_weights_beyond_two_gigabytes_go_to_a_file_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "LARGEST", 1000)
    model, weights = random_weights(num_positions=32)
    onnx_export.export(weights, tmp_path / "m.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]
    assert (tmp_path / "m.onnx").stat().st_size < 30_000
    ids = np.arange(10)[None]
    np.testing.assert_allclose(OnnxModel(tmp_path / "m.onnx")(ids), model(mx.nd.array(ids)).asnumpy(), atol=1e-4)


def test_files_that_are_no_model_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        OnnxModel(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not ONNX")
    with pytest.raises(InputError, match="cannot read it"):
        OnnxModel(tmp_path / "text.onnx")
    _, weights = random_weights(num_positions=32)
    onnx.save(onnx_graph.build(weights), str(tmp_path / "foreign.onnx"))
    with pytest.raises(InputError, match="bort-mx export"):
        OnnxModel(tmp_path / "foreign.onnx")


def test_metadata_that_is_damaged_or_of_another_model_is_refused(tmp_path):
    _, weights = random_weights(num_positions=32)
    onnx_export.export(weights, tmp_path / "m.onnx")
    model = onnx.load(str(tmp_path / "m.onnx"))
    good = json.loads(model.metadata_props[0].value)
    for text, complaint in (("{", "damaged"), ("[]", "missing"), ("5", "damaged"), ('{"x": 1}', "unknown field 'x'"),
                            (json.dumps({**good, "head": "encoder"}), "inputs and outputs"),
                            (json.dumps({**good, "token_types": 2}), "inputs and outputs")):
        model.metadata_props[0].value = text
        onnx.save(model, str(tmp_path / "bad.onnx"))
        with pytest.raises(InputError, match=complaint) as caught:
            OnnxModel(tmp_path / "bad.onnx")
        assert "bad.onnx" in str(caught.value)


def test_places_that_cannot_be_written_are_refused(tmp_path):
    _, weights = random_weights(num_positions=32)
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").touch()
    for output in (tmp_path / "folder.onnx", tmp_path / "file" / "m.onnx", "/proc/nothing/m.onnx"):
        with pytest.raises(InputError, match="is a folder|cannot be written"):
            onnx_export.export(weights, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.onnx"]


def test_the_tokenizer_files_that_are_there_stay(tmp_path):
    from bort_mx.data.tokenizers import train_sentencepiece

    _, weights = random_weights(num_positions=32)
    one, other = (train_sentencepiece([text], 275) for text in ("some text here", "and other words"))
    weights = dataclasses.replace(weights, tensors={
        name: np.resize(tensor, (275, *tensor.shape[1:])) if tensor.shape[0] == 97 else tensor
        for name, tensor in weights.tensors.items()}, config=weights.config.replace(vocab_size=275), tokenizer=one)
    convert.convert(weights, tmp_path / "hf", "hf")
    before = (tmp_path / "hf" / "tokenizer_config.json").read_bytes()
    onnx_export.export(weights, tmp_path / "hf" / "m.onnx")
    assert (tmp_path / "hf" / "tokenizer_config.json").read_bytes() == before
    other.save(tmp_path / "another")
    with pytest.raises(InputError, match="another tokenizer's files"):
        onnx_export.export(weights, tmp_path / "another" / "m.onnx")
    assert not (tmp_path / "another" / "m.onnx").exists()


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    _, weights = random_weights(num_positions=32)
    weights.tensors["decoder.2.beta"] = weights.tensors["decoder.2.beta"] * np.nan
    with pytest.raises(InputError, match="decoder.2.beta holds values that are not finite"):
        onnx_export.export(weights, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_onnx_runtime_reports_to_nobody(tmp_path):
    """Version 1.32 writes an id of the device into the home folder when it is imported, and sends reports on its use.
    """
    code = "from bort_mx.checkpoints.onnx_model import optional_package as get; get('onnxruntime').InferenceSession"
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY",
                                                                                     "XDG_CACHE_HOME")}
    done = subprocess.run([sys.executable, "-c", code], env={**environment, "HOME": str(tmp_path)},
                          capture_output=True, text=True, check=True)
    assert not list(tmp_path.rglob("*")) and "elemetry" not in done.stderr


@pytest.mark.parametrize("head", ["encoder", "mlm", "classifier"])
@pytest.mark.parametrize("bits", [7, 8])
def test_static_int8_is_near_float32_and_half_the_size(head, bits, tmp_path):
    model, weights = random_weights(head=head, architecture=(2, 4, 64, 128))
    rng = np.random.default_rng(1)
    batches = [{"ids": rng.integers(0, 97, (4, 12)), "lengths": np.array([12, 9, 5, 12]), "types": None}
               for _ in range(3)]
    calibration = calibrate(weights, batches)
    assert len(calibration.ranges) == 12 + (head == "mlm")  # the classifier's own layers are small: they stay float32
    worst = calibration.worst(2)
    form = Quantization(bits, calibration.ranges, worst)
    onnx_export.export(weights, tmp_path / "m.onnx", int8=form)
    graph = onnx.load(str(tmp_path / "m.onnx")).graph
    kept = {t.name: t for t in graph.initializer}
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == (head == "mlm")  # the decoder, as it comes
    for module in calibration.ranges:
        assert (f"{module}.weight.int8.T" in kept) == (module not in worst)
    most = max(np.abs(onnx.numpy_helper.to_array(t).astype(int)).max() for n, t in kept.items() if n.endswith("int8.T"))
    assert most == 2 ** (bits - 1) - 1
    ids, lengths = batches[0]["ids"], batches[0]["lengths"]
    want = model(mx.nd.array(ids), mx.nd.array(lengths)).asnumpy()
    got = OnnxModel(tmp_path / "m.onnx")(ids, lengths)
    assert 0 < np.sqrt(np.square(got - want).mean() / np.square(want).mean()) < 0.15


@pytest.mark.parametrize("head", ["encoder", "classifier"])
def test_static_int8_answers_a_text_alone_as_in_a_batch(head, tmp_path):
    """A dynamic form does not: its ranges are those of the whole batch."""
    _, weights = random_weights(head=head, architecture=(2, 4, 64, 128))
    rng = np.random.default_rng(1)
    ids, lengths = rng.integers(0, 97, (8, 12)), np.full(8, 12)
    ranges = calibrate(weights, [{"ids": ids, "lengths": lengths, "types": None}]).ranges
    differences = {}
    for name, form in (("static", Quantization(7, ranges)), ("dynamic", Quantization(7))):
        onnx_export.export(weights, tmp_path / f"{name}.onnx", int8=form)
        model = OnnxModel(tmp_path / f"{name}.onnx")
        alone = np.concatenate([model(ids[i:i + 1], lengths[i:i + 1]) for i in range(8)])
        differences[name] = np.abs(alone - model(ids, lengths)).max()
    assert differences["static"] < 1e-5 < differences["dynamic"]


def test_the_range_of_least_error_is_found_by_trying_all():
    rng = np.random.default_rng(0)
    values = rng.normal(size=100_000).astype(np.float32)
    values[0] = 40.0  # one outlier, not worth steps ten times as coarse
    low, high = best_range(values)
    assert high < 40.0 and low >= values.min()
    errors = {clip: np.square(fake_quantized(values, values.min(), 40.0 * clip) - values).sum() for clip in CLIPS}
    assert high == pytest.approx(40.0 * min(errors, key=errors.get))
    scale, zero = scale_and_zero(-1.0, 3.0)
    assert (scale, zero) == (pytest.approx(4 / 255), 64) and scale_and_zero(0.5, 2.55) == (pytest.approx(0.01), 0)


def test_calibration_leaves_padding_out():
    _, weights = random_weights(head="encoder", num_positions=32)
    batch = {"ids": np.full((2, 10), 5), "lengths": np.array([10, 3]), "types": None}
    other = {**batch, "ids": np.where(np.arange(10) < batch["lengths"][:, None], 5, 88)}
    found, again = (calibrate(weights, [made]).ranges for made in (batch, other))
    assert list(found) == list(again)
    np.testing.assert_allclose(list(found.values()), list(again.values()), rtol=1e-5)
