"""fairseq's model.pt and GluonNLP's .params; and files that mean harm or are damaged, of every format."""

import argparse
import collections
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import convert, gluonnlp, lazy_tensor, load, mxnet_file, read, tensor_names, torch_file
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.loading import assemble
from bort_mx.checkpoints.weights import Weights
from bort_mx.commands.convert import FORMATS
from bort_mx.data.tokenizers import train_sentencepiece
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models import build_model

ARCHITECTURE = Architecture(3, 4, 32, 48)


def random_model(head="mlm", architecture=ARCHITECTURE, vocab_size=71, **options):
    model = build_model(architecture, vocab_size, head, 3 if head == "classifier" else 2, num_positions=24, **options)
    rng = np.random.default_rng(0)
    for parameter in model.collect_params().values():
        parameter.set_data(mx.nd.array(rng.normal(0, 0.2, parameter.shape)))
    return model


def run(model, s=11, lengths=(11, 4)):
    ids = np.random.default_rng(1).integers(5, 70, (len(lengths), s))
    return model(mx.nd.array(ids), mx.nd.array(lengths)).asnumpy()


def assert_reads_as(path, model, **options):
    """Reading `path` gives the model's tensors and outputs."""
    again, _, config = load(path, **options)
    assert config == model.config.replace(dropout=config.dropout)
    for name, tensor in checkpoint_directory.tensors_of(model).items():
        np.testing.assert_array_equal(checkpoint_directory.tensors_of(again)[name], tensor, err_msg=name)
    np.testing.assert_array_equal(run(again), run(model))


def test_a_runs_directory_is_its_best_epoch_else_its_newest_undamaged_checkpoint(tmp_path, caplog):
    checkpoints, model = tmp_path / "run" / "checkpoints", random_model("classifier")
    for name in ("step-2", "step-10"):
        checkpoint_directory.save(checkpoints / name, model)
    assert read(tmp_path / "run").source == str(checkpoints / "step-10")
    checkpoint_directory.save(checkpoints / "best", model)
    assert read(tmp_path / "run").source == str(checkpoints / "best") and not caplog.text
    (checkpoints / "best" / "model.safetensors").write_bytes(b"torn")
    (checkpoints / "step-10" / "config.json").unlink()
    assert read(tmp_path / "run").source == str(checkpoints / "step-2")
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == ["passed over"] * 2
    assert checkpoint_directory.latest(checkpoints).name == "step-2"  # what a run goes on from is never the best


# -- GluonNLP ------------------------------------------------------------------------------------------------------


def gluon_bert(use_decoder, token_types=False):
    """A GluonNLP model; without token types and pooler, as the released Bort was built."""
    import gluonnlp

    D, A, H, I = ARCHITECTURE.as_tuple()
    encoder = gluonnlp.model.BERTEncoder(num_layers=D, units=H, hidden_size=I, num_heads=A, max_length=24,
                                         layer_norm_eps=1e-12 if token_types else 1e-5)
    model = gluonnlp.model.BERTModel(encoder, vocab_size=71, token_type_vocab_size=2, units=H, embed_size=H,
                                     use_pooler=token_types, use_classifier=False, use_decoder=use_decoder,
                                     use_token_type_embed=token_types)
    model.initialize(mx.init.Normal(0.2))
    return model


@pytest.mark.parametrize("use_decoder", [True, False])
@pytest.mark.parametrize("half", [False, True])
def test_reads_bort_params(use_decoder, half, tmp_path):
    peer = gluon_bert(use_decoder)
    ids, lengths = np.random.default_rng(0).integers(5, 71, (2, 9)), np.array([9.0, 4.0])
    want = peer(mx.nd.array(ids), None, mx.nd.array(lengths), mx.nd.array([[1, 2], [0, 3]]) if use_decoder else None)
    if half:
        peer.cast("float16")
    peer.save_parameters(str(tmp_path / "bort.params"))
    model, _, config = load(tmp_path / "bort.params", num_heads=4)
    assert config.architecture == ARCHITECTURE and config.token_types == 0 and config.layer_norm_eps == 1e-5
    assert config.head == ("mlm" if use_decoder else "encoder") and config.num_positions == 24
    assert all(np.dtype(parameter.dtype) == np.float32 for parameter in model.collect_params().values())
    if use_decoder:
        got, want = model(mx.nd.array(ids), mx.nd.array(lengths), mx.nd.array([[1, 2], [0, 3]])), want[1]
    else:
        keep = mx.nd.array(np.arange(9)[None] < lengths[:, None]).expand_dims(2)
        got, want = model(mx.nd.array(ids), mx.nd.array(lengths)), want * keep
    np.testing.assert_allclose(got.asnumpy(), want.asnumpy(), atol=2e-2 if half else 2e-5)


def test_reads_the_names_of_0_9_and_a_bert_with_pooler_and_token_types(tmp_path):
    peer = gluon_bert(use_decoder=False, token_types=True)
    want = peer(mx.nd.array([[5, 6, 7]]), mx.nd.array([[0, 0, 1]]), mx.nd.array([3]))[0].asnumpy()
    peer.save_parameters(str(tmp_path / "old.params"))
    arrays = mx.nd.load(str(tmp_path / "old.params"))
    renamed = {}
    for name, array in arrays.items():
        head, found, tail = name.partition("attention_cell.proj_")
        renamed[head + "attention_cell." + tail.replace(".", "_") if found else name] = array
    assert "encoder.transformer_cells.0.attention_cell.query_weight" in renamed
    renamed["classifier.weight"] = mx.nd.zeros((2, 32))  # next-sentence prediction
    mx.nd.save(str(tmp_path / "new.params"), {f"bert.{name}": array for name, array in renamed.items()})
    model, _, config = load(tmp_path / "new.params", "encoder", num_heads=4)
    assert config.family == "bert" and config.pooler and config.token_types == 2
    got = model(mx.nd.array([[5, 6, 7]]), mx.nd.array([3]), token_types=mx.nd.array([[0, 0, 1]])).asnumpy()
    np.testing.assert_allclose(got, want, atol=2e-5)


def test_reads_gluonnlps_classifiers(tmp_path):
    model = random_model("classifier", pooler=True)
    tensors = checkpoint_directory.tensors_of(model)
    names = {"pooler": "classifier.1", "classifier.1": "classifier.3"}  # dropout, tanh layer, dropout, last layer
    arrays = {}
    for name, tensor in tensors.items():
        module, leaf = name.rsplit(".", 1)
        arrays[f"{names[module]}.{leaf}" if module in names else f"roberta.{name}"] = mx.nd.array(tensor)
    mx.nd.save(str(tmp_path / "tuned.params"), arrays)
    assert_reads_as(tmp_path / "tuned.params", model, num_heads=4)


def test_gluonnlp_reads_what_we_wrote(tmp_path):
    import gluonnlp as peer_library

    model = random_model("mlm")
    gluonnlp.write(tmp_path, Weights(model.config, checkpoint_directory.tensors_of(model), None, "test"))
    peer = gluon_bert(use_decoder=True)
    peer.load_parameters(str(tmp_path / gluonnlp.PARAMETERS))
    assert peer_library.__version__.startswith("0.10")
    ids = mx.nd.array([[5, 6, 7, 8]])
    want = peer(ids, None, mx.nd.array([4]), mx.nd.array([[0, 3]]))[1]
    np.testing.assert_allclose(model(ids, mx.nd.array([4]), mx.nd.array([[0, 3]])).asnumpy(), want.asnumpy(), atol=2e-5)
    assert_reads_as(tmp_path, model)


def test_heads_must_be_given_where_no_file_says_them(tmp_path):
    def heads(D, H, I, given=None):
        names = {"word_embed.0.weight": np.zeros((5, H)),
                 f"encoder.transformer_cells.{D - 1}.ffn.ffn_1.weight": np.zeros((I, H)),
                 "encoder.transformer_cells.0.ffn.ffn_1.weight": np.zeros((I, H))}
        return tensor_names.architecture_of(names, given, "x.params").num_heads

    assert heads(6, 384, 1536, given=12) == 12  # MiniLM: H/64 would be 6
    for sizes, said in (((4, 1024, 768), "bort has 8"), ((4, 1024, 512), "bort-a2 has 16, bort-a3 has 8"),
                        ((6, 384, 1536), "--num-heads")):
        with pytest.raises(InputError, match=said):
            heads(*sizes)


# -- fairseq -------------------------------------------------------------------------------------------------------


def fairseq_state(model, prefix="decoder.", fused=False):
    """The state dictionary that fairseq would hold for a model of ours."""
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(tensor) for name, tensor in checkpoint_directory.tensors_of(model).items()}
    names = tensor_names.fairseq_names(model.config.architecture.num_layers)
    state = {prefix + names[name]: tensor for name, tensor in tensors.items() if name in names and "pooler" not in name}
    table = f"{prefix}sentence_encoder.embed_positions.weight"
    state[table] = torch.cat([torch.full((2, state[table].shape[1]), 7.0), state[table]])
    state[f"{prefix}sentence_encoder.version"] = torch.tensor([1.0])
    if model.config.head == "mlm":
        state[f"{prefix}lm_head.weight"] = state[f"{prefix}sentence_encoder.embed_tokens.weight"]
    if model.config.head == "classifier":
        for theirs, ours in (("dense", "pooler"), ("out_proj", "classifier.1")):
            for leaf in ("weight", "bias"):
                state[f"classification_heads.rte.{theirs}.{leaf}"] = tensors[f"{ours}.{leaf}"]
    return _fused(torch, state) if fused else state


def _fused(torch, state):
    """Query, key and value as one tensor, as older releases held them."""
    for name in [name for name in state if ".q_proj." in name]:
        parts = [state.pop(name.replace("q_proj.", f"{letter}_proj.")) for letter in "qkv"]
        state[name.replace("q_proj.", "in_proj_")] = torch.cat(parts)
    return state


@pytest.mark.parametrize("head", ["mlm", "encoder", "classifier"])
@pytest.mark.parametrize("prefix, fused", [("decoder.", True), ("encoder.", False)])
@pytest.mark.parametrize("zipped", [True, False])
def test_reads_fairseq(head, prefix, fused, zipped, tmp_path):
    torch = pytest.importorskip("torch")
    model = random_model(head, pooler=head == "classifier")
    options = argparse.Namespace(encoder_attention_heads=4, dropout=0.25, arch="roberta_large", nested={"a": [1, None]})
    torch.save({"args": options, "model": collections.OrderedDict(fairseq_state(model, prefix, fused)), "epoch": 3},
               tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    assert_reads_as(tmp_path, model)
    assert load(tmp_path / "model.pt")[2].dropout == 0.25


def test_a_fairseq_file_that_is_no_roberta_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    state = {**fairseq_state(random_model()), "decoder.layers.0.encoder_attn.k_proj.weight": torch.zeros(2, 2)}
    torch.save({"model": state}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="encoder_attn"):
        read(tmp_path / "model.pt", num_heads=4)
    torch.save({"model": fairseq_state(random_model())}, tmp_path / "model.pt")
    with pytest.raises(InputError, match="num_heads"):
        read(tmp_path / "model.pt")


# -- PyTorch's files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_tensors_of_every_form(zipped, tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    value = {"whole": base, "rows": base[1:3], "columns": base[:, 2:4], "transposed": base.T,
             "expanded": base[:1].expand(3, 6), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3),
             "parameter": torch.nn.Parameter(base * 2), "long": torch.arange(3), "bool": torch.tensor([True, False]),
             "half": base.half(), "double": base.double(),
             "bfloat16": base.bfloat16(), "others": [1, -2, 2 ** 70, 1.5, None, "text", (1, 2), {"a": [3]}]}
    torch.save(value, tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
    found = torch_file.read(tmp_path / "x.bin")
    assert found.pop("others") == [1, -2, 2 ** 70, 1.5, None, "text", (1, 2), {"a": [3]}]
    for name, tensor in found.items():
        want = value[name].detach()
        assert tuple(tensor.shape) == tuple(want.shape)
        np.testing.assert_array_equal(np.asarray(tensor), want.float().numpy() if name == "bfloat16" else want.numpy())


class Hostile:
    """Pickles to a call of os.system, which would make a file."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


def write_zip(path, pickled, storages=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for key, data in dict(storages).items():
            archive.writestr(f"archive/data/{key}", data)


def hostile_pickles(canary):
    call = f"touch {canary}".encode()
    text = struct.pack("<I", len(call)) + call
    doubled = b"\x80\x02)q\x00" + b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))
    return {
        "reduce": pickle.dumps({"model": Hostile(canary)}, protocol=2),
        "stack global": pickle.dumps({"model": Hostile(canary)}, protocol=4),
        "protocol 0": pickle.dumps({"model": Hostile(canary)}, protocol=0),
        "inst": b"(S'touch " + canary.encode() + b"'\nios\nsystem\n.",
        "obj": b"\x80\x02(cos\nsystem\nX" + text + b"o.",
        "eval": b"\x80\x02cbuiltins\neval\nX" + text + b"\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\n.",
        "extension": b"\x80\x02\x82\x01.",
        "of argparse": b"\x80\x02cargparse\nFileType\n)\x81.",
        "called namespace": b"\x80\x02cargparse\nNamespace\n)R.",
        "memo of 2^31": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
        "bytes of 2^60": b"\x80\x05\x96" + struct.pack("<Q", 2 ** 60) + b"x.",
        "text of 2^60": b"\x80\x04\x8d" + struct.pack("<Q", 2 ** 60) + b"x.",
        "billion laughs": b"\x80\x02]q\x00" + b"".join(
            b"(h" + bytes([i]) + b"h" + bytes([i]) + b"tq" + bytes([i + 1]) for i in range(60)) + b".",
        "billion laughs as a name": doubled + b"h\x1e\x8c\x01a\x93.",
        "billion laughs as a key": b"\x80\x02}" + doubled[2:] + b"}h\x1eK\x01s.",
        "no mark": b"\x80\x02K\x01t.", "no end": b"\x80\x02}q\x00", "empty stack": b"\x80\x02R.",
        "storage of 2^50": b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
                           b"X\x03\x00\x00\x00cpu\x8a\x07" + (2 ** 50).to_bytes(7, "little") + b"tQ.",
    }


KINDS = list(hostile_pickles("x"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["zip", "legacy", "bare"])
def test_a_hostile_pickle_is_refused_and_runs_nothing(kind, layout, tmp_path):
    pickled = hostile_pickles(str(tmp_path / "canary"))[kind]
    path = tmp_path / "model.pt"
    if layout == "zip":
        write_zip(path, pickled, {"0": b"1234"})
    elif layout == "legacy":
        head = [torch_file.LEGACY_MAGIC, torch_file.LEGACY_PROTOCOL, {"little_endian": True}]
        path.write_bytes(b"".join(pickle.dumps(value, protocol=2) for value in head) + pickled)
    else:
        path.write_bytes(pickled)
    tracemalloc.start()
    try:
        with pytest.raises(InputError) as caught:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert not (tmp_path / "canary").exists()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert peak < 2_000_000
    if kind in ("reduce", "stack global"):
        assert "system" in str(caught.value) and "nothing in it was run" in str(caught.value)


def test_a_tuple_nested_without_end_does_not_crash_python(tmp_path):
    """In a process of its own: the hash of such a tuple overflows the stack."""
    for name, pickled in (("key", b"\x80\x02})" + b"\x85" * 900_000 + b"K\x01s."),
                          ("value", b"\x80\x02)" + b"\x85" * 900_000 + b"."),
                          ("long", b"\x80\x02" + b"]" * 1_100_000 + b".")):
        write_zip(tmp_path / f"{name}.bin", pickled)
    code = f"""
from bort_mx.checkpoints import torch_file
for name in ("key", "value", "long"):
    try:
        torch_file.read({str(tmp_path)!r} + f"/{{name}}.bin")
    except torch_file.InputError:
        print(name)
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["key", "value", "long"], (done.returncode, done.stderr)


def test_overlapping_views_take_no_more_memory_than_the_file(tmp_path):
    torch = pytest.importorskip("torch")
    base = torch.zeros(300, 300)
    torch.save({"a": base.T, "b": torch.zeros(3)}, tmp_path / "x.bin")
    assert torch_file.read(tmp_path / "x.bin")["a"].shape == (300, 300)
    torch.save({str(i): base.T[i:] for i in range(50)}, tmp_path / "x.bin")
    with pytest.raises(InputError, match="together exceed the file"):
        torch_file.read(tmp_path / "x.bin")


def test_a_storage_of_two_types_is_refused(tmp_path):
    def tensor(kind, elements):
        return (b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n" + kind + b"Storage\n"
                b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK" + bytes([elements]) + b"tQK\x00K\x04\x85K\x01\x85\x89}tR")

    for elements, kind, good in ((4, b"Float", True), (4, b"Int", False), (8, b"Half", False), (3, b"Float", False)):
        write_zip(tmp_path / "x.bin", b"\x80\x02" + tensor(b"Float", 4) + tensor(kind, elements) + b"\x86.",
                  {"0": bytes(16)})
        if good:
            assert len(torch_file.read(tmp_path / "x.bin")) == 2
        else:
            with pytest.raises(InputError, match="storage 0 is 4 of f4"):
                torch_file.read(tmp_path / "x.bin")


def test_an_archive_of_a_later_version_is_refused(tmp_path):
    write_zip(tmp_path / "x.bin", b"\x80\x02}.")
    data = bytearray((tmp_path / "x.bin").read_bytes())
    data[data.rfind(b"PK\1\2") + 6] = 200
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(InputError, match="zip file version"):
        torch_file.read(tmp_path / "x.bin")


def test_tensors_outside_their_storage_are_refused(tmp_path):
    head = (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
            b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ")
    for offset, shape, stride, good in ((0, 4, 1, True), (1, 4, 1, False), (0, 2, 4, False), (0, 2, 3, True),
                                        (4, 0, 1, True), (0, 0, 1, True)):
        pickled = head + bytes([75, offset, 75, shape, 0x85, 75, stride, 0x85]) + b"\x89}tR."
        write_zip(tmp_path / "x.bin", pickled, {"0": np.arange(4, dtype=np.float32).tobytes()})
        if good:
            assert torch_file.read(tmp_path / "x.bin").shape == (shape,)
        else:
            with pytest.raises(InputError, match="not a whole PyTorch file"):
                torch_file.read(tmp_path / "x.bin")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_bin_is_refused(zipped, tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.zeros(1000)}, tmp_path / "whole.bin", _use_new_zipfile_serialization=zipped)
    data = (tmp_path / "whole.bin").read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "x.bin").write_bytes(data[:length])
        with pytest.raises(InputError, match="x.bin"):
            torch_file.read(tmp_path / "x.bin")


def test_a_compressed_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}, protocol=2) + b"\0" * 10_000_000)
    with pytest.raises(InputError, match="compressed"):
        torch_file.read(tmp_path / "x.bin")


# -- safetensors and .params ---------------------------------------------------------------------------------------


@pytest.fixture
def whole(tmp_path):
    tensors = {"a": np.zeros((10, 10), np.float32), "b": np.ones(3, np.float16)}
    return safetensors.numpy.save(tensors)


def header(values):
    text = json.dumps(values).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:4], lambda data: data[:-1], lambda data: data[:60], lambda data: data + b"x",
    lambda data: struct.pack("<Q", 2 ** 60) + data[8:],
    lambda data: header({"a": {"dtype": "F32", "shape": [2 ** 58], "data_offsets": [0, 2 ** 60]}}),
    lambda data: header({"a": {"dtype": "F32", "shape": [2 ** 31, 2 ** 31], "data_offsets": [0, 4]}}) + b"1234",
    lambda data: header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}) + b"1234",
    lambda data: header({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}) + b"1234",
    lambda data: b"PK\3\4" + data])
def test_a_damaged_safetensors_file_is_refused(damage, whole, tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(damage(whole))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="x.safetensors") as caught:
            lazy_tensor.read_safetensors(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)


def test_params_are_read_as_mxnet_reads_them(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"arg:a": mx.nd.array(rng.normal(size=(3, 4))), "b": mx.nd.array(rng.normal(size=5), dtype="float16"),
              "aux:c": mx.nd.array([1, 2], dtype="int64"), "ü": mx.nd.zeros((1, 2, 3), dtype="float64")}
    mx.nd.save(str(tmp_path / "x.params"), arrays)
    found = mxnet_file.read(tmp_path / "x.params")
    assert list(found) == ["a", "b", "c", "ü"]
    for (name, array), tensor in zip(arrays.items(), found.values()):
        np.testing.assert_array_equal(np.asarray(tensor), array.asnumpy(), err_msg=name)


def test_damaged_params_are_refused(tmp_path):
    mx.nd.save(str(tmp_path / "x.params"), {"a": mx.nd.zeros((3, 4)), "b": mx.nd.zeros(5)})
    data = (tmp_path / "x.params").read_bytes()
    huge = struct.pack("<Q", 2 ** 60)
    damaged = [data[:length] for length in range(0, len(data), 7)]
    damaged += [data[:16] + huge + data[24:], data[:-9] + huge + data[-1:], data + b"x", b"PK" + data,
                data[:36] + huge + data[44:], data[:28] + struct.pack("<i", 1) + data[32:]]
    for content in damaged:
        (tmp_path / "y.params").write_bytes(content)
        with pytest.raises(InputError, match="y.params: not a whole file of MXNet parameters"):
            mxnet_file.read(tmp_path / "y.params")


def test_what_is_no_checkpoint_is_refused(tmp_path):
    mx.nd.save(str(tmp_path / "resnet.params"), {"conv0_weight": mx.nd.zeros((3, 4))})
    with pytest.raises(InputError, match="no BERT in it"):
        load(tmp_path / "resnet.params")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="not a checkpoint"):
        load(tmp_path / "notes.txt")
    (tmp_path / "two").mkdir()
    for name in ("a.params", "b.params"):
        mx.nd.save(str(tmp_path / "two" / name), {"a": mx.nd.zeros(1)})
    with pytest.raises(InputError, match="a.params or b.params"):
        load(tmp_path / "two")
    with pytest.raises(InputError, match="not a checkpoint"):
        (tmp_path / "empty").mkdir()
        load(tmp_path / "empty")


# -- small disagreements, in whatever format ------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """One model as a checkpoint of ours, as a Hugging Face directory, and as .params."""
    model = random_model()
    checkpoint_directory.save(tmp_path / "ours", model)
    weights = read(tmp_path / "ours")
    for to in ("hf", "gluon"):
        convert.convert(weights, tmp_path / to, to)
    return tmp_path


def refused(path, **options):
    """The one line with which a path is refused."""
    with pytest.raises(InputError) as caught:
        load(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_tensors(path, **changes):
    tensors = safetensors.numpy.load_file(path / "model.safetensors")
    for name, change in changes.items():
        name = name.replace("__", ".")
        tensors[name] = change(tensors[name]) if callable(change) else change
    safetensors.numpy.save_file(tensors, path / "model.safetensors")


EMBEDDINGS = "roberta__embeddings__"


@pytest.mark.parametrize("name, change, said", [
    ("position_embeddings__weight", np.array(1, np.float32), "position table has 0 rows"),
    ("token_type_embeddings__weight", np.array(1, np.float32), "token_type_embed.0.weight is ()"),
    ("word_embeddings__weight", lambda t: t.astype(np.int64), "no fractions: word_embed.0.weight is int64"),
    ("LayerNorm__weight", lambda t: t > 0, "no fractions: encoder.layer_norm.gamma is bool"),
    ("LayerNorm__weight", lambda t: t * np.nan, "encoder.layer_norm.gamma holds values that are not finite"),
    ("LayerNorm__weight", lambda t: np.full(32, 1e300), "encoder.layer_norm.gamma holds values that are not finite"),
    ("LayerNorm__weight", lambda t: t[:, None], "ill-shaped: encoder.layer_norm.gamma is (32, 1), not (32,)")])
def test_tensors_that_no_model_can_have_are_refused(name, change, said, folders):
    change_tensors(folders / "hf", **{EMBEDDINGS + name: change})
    assert said in refused(folders / "hf")


@pytest.mark.parametrize("to", FORMATS)
def test_weights_that_are_not_finite_are_never_written(to, folders):
    change_tensors(folders / "hf", **{EMBEDDINGS + "LayerNorm__weight": lambda t: t + np.inf})
    with pytest.raises(InputError, match="gamma holds values that are not finite"):
        convert.convert(read(folders / "hf"), folders / "new", to)
    assert not (folders / "new").exists() and not list(folders.glob(".*"))


def test_two_tensors_for_one_place_are_refused(folders):
    change_tensors(folders / "hf", embeddings__LayerNorm__weight=np.ones(32, np.float32))
    assert "two tensors for one place" in refused(folders / "hf")
    arrays = mx.nd.load(str(folders / "gluon" / "model.params"))
    arrays["bert.encoder.layer_norm.gamma"] = mx.nd.ones(32)
    mx.nd.save(str(folders / "gluon" / "model.params"), arrays)
    assert "two tensors for one place" in refused(folders / "gluon")


def test_an_index_that_names_other_places_is_refused(folders):
    tensors = list(safetensors.numpy.load_file(folders / "hf" / "model.safetensors").items())
    (folders / "hf" / "model.safetensors").unlink()
    index = folders / "hf" / "model.safetensors.index.json"

    def write(first, second, places):
        for name, part in (("a.safetensors", first), ("b.safetensors", second)):
            safetensors.numpy.save_file(dict(part), folders / "hf" / name)
        index.write_text(json.dumps({"weight_map": places}))

    good = {name: "ab"[i >= 9] + ".safetensors" for i, (name, _) in enumerate(tensors)}
    write(tensors[:9], tensors[9:], good)
    load(folders / "hf")
    write(tensors[9:], tensors[:9], good)
    assert "disagree" in refused(folders / "hf")
    write(tensors[:9], tensors[8:], good)  # one tensor in both
    assert "disagree about " + tensors[8][0] in refused(folders / "hf")
    for outside in ("../ours/model.safetensors", "/etc/hostname", "..", "", "x/../y", "\0"):
        index.write_text(json.dumps({"weight_map": dict.fromkeys(good, outside)}))
        refused(folders / "hf")


@pytest.mark.parametrize("changes, said", [
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"), ({"layer_norm_eps": -1.0}, "layer_norm_eps is -1.0"),
    ({"layer_norm_eps": "x"}, "layer_norm_eps"), ({"pooler": "x"}, "pooler is 'x'"), ({"num_labels": 2.5}, "2.5"),
    ({"extra": 1}, "config.json: model: unknown field 'extra'"), ({"architecture": 5}, "config.json")])
def test_our_configuration_is_checked(changes, said, folders):
    for path, file in ((folders / "ours", "config.json"), (folders / "gluon", None)):
        config = json.loads((path / "config.json").read_text())
        (path / "config.json").write_text(json.dumps({**config, **changes}))
        if file:
            manifest = json.loads((path / "manifest.json").read_text())
            manifest[file] = files.sha256(path / file)
            (path / "manifest.json").write_text(json.dumps(manifest))
        assert said in refused(path) and str(path) in refused(path)


@pytest.mark.parametrize("changes, said", [
    ({"pad_token_id": 1.5}, "pad_token_id is 1.5"), ({"pad_token_id": -1}, "pad_token_id is -1"),
    ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"), ({"layer_norm_eps": 0}, "layer_norm_eps is 0")])
def test_numbers_of_a_foreign_configuration_are_checked(changes, said, folders):
    config = json.loads((folders / "hf" / "config.json").read_text())
    (folders / "hf" / "config.json").write_text(json.dumps({**config, **changes}))
    assert said in refused(folders / "hf")


@pytest.mark.parametrize("text, said", [
    ("[" * 200_000, "JSON nested too deep"),
    ('{"format": "bort_mx", "x": ' + "1" * 5000 + "}", "digits"), ("[]", "not a")])
def test_json_that_python_cannot_take_is_refused(text, said, folders):
    (folders / "ours" / "config.json").write_text(text)
    (folders / "hf" / "config.json").write_text(text)
    assert said in refused(folders / "hf")
    refused(folders / "ours")


@pytest.mark.parametrize("text, said", [
    ("{}", "does not name config.json"), ("[]", "manifest.json"), ("", "manifest.json"),
    ('{"config.json": 1, "model.safetensors": 1, "../hf/config.json": 1}', "not the name of a file beside it")])
def test_a_manifest_that_vouches_for_nothing_is_refused(text, said, folders):
    (folders / "ours" / "manifest.json").write_text(text)
    assert said in refused(folders / "ours")


def test_heads_that_disagree_are_refused(folders):
    assert load(folders / "ours", num_heads=4)[2].architecture.num_heads == 4
    for path in ("ours", "hf", "gluon"):
        assert "4 heads by its configuration, not 8" in refused(folders / path, num_heads=8)
        assert "num_heads is 0" in refused(folders / path, num_heads=0)


def test_the_file_that_was_given_is_the_one_that_is_read(folders):
    torch = pytest.importorskip("torch")
    tensors = safetensors.numpy.load_file(folders / "hf" / "model.safetensors")
    torch.save({name: torch.tensor(tensor) + 1 for name, tensor in tensors.items() if "token_type" not in name},
               folders / "hf" / "pytorch_model.bin")
    assert "missing: token_type_embed" in refused(folders / "hf" / "pytorch_model.bin")
    load(folders / "hf" / "model.safetensors")


@pytest.mark.parametrize("state", [{3: None}, {"word_embed": {}}, {"a": (1, 2)}])
def test_a_state_that_is_no_tensors_by_name_is_refused(state, tmp_path):
    torch = pytest.importorskip("torch")
    state = {name: torch.zeros(2) if value is None else value for name, value in state.items()}
    torch.save({"model": state}, tmp_path / "model.pt")
    assert "tensors by name" in refused(tmp_path / "model.pt")


def test_fairseq_tensors_of_odd_shapes_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    state = fairseq_state(random_model(), fused=True)
    table, fused = "decoder.sentence_encoder.embed_positions.weight", "decoder.sentence_encoder.layers.0.self_attn."
    for changes, said in (({table: torch.zeros(())}, "position table"), ({table: torch.zeros(2, 32)}, "position table"),
                          ({fused + "in_proj_bias": torch.zeros(())}, "three times"),
                          ({fused + "in_proj_bias": torch.zeros(95)}, "three times")):
        torch.save({"model": {**state, **changes}}, tmp_path / "model.pt")
        assert said in refused(tmp_path / "model.pt", num_heads=4)


def test_paths_that_cannot_be_read_are_refused(tmp_path, monkeypatch):
    assert "File name too long" in refused("/" + "a" * 5000)
    assert refused("bort.params") == "bort.params: no such file or directory"  # a file's name is none of the Hub's
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "scandir", _denied)
    monkeypatch.setattr(pathlib.Path, "iterdir", _denied)
    assert "locked: cannot be read (Permission denied)" in refused(tmp_path / "locked")


def _denied(path="."):
    raise PermissionError(13, "Permission denied", str(path))


# -- what is written, and where -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", FORMATS)
def test_places_that_cannot_be_written_are_refused(to, folders, monkeypatch):
    weights = read(folders / "ours")
    (folders / "empty").mkdir()
    (folders / "link").symlink_to(folders / "empty")
    (folders / "broken").symlink_to(folders / "nowhere")
    monkeypatch.chdir(folders / "empty")
    before = sorted(folders.rglob("*"))
    for place in (".", folders / "empty", folders / "link", folders / "broken", folders / "ours", "/proc/nothing/here",
                  folders / "ours" / "config.json", folders / "ours" / "config.json" / "below", ""):
        with pytest.raises(InputError) as caught:
            convert.convert(weights, place, to)
        assert "\n" not in str(caught.value)
    assert sorted(folders.rglob("*")) == before
    monkeypatch.chdir(folders)
    convert.convert(weights, "empty", to)
    assert read("empty").config == weights.config and not list(folders.glob(".*"))


def test_a_card_tells_of_no_run_but_the_checkpoints_own(folders):
    (folders / "config.json").write_text('{"someone": "else"}')
    (folders / "models").mkdir()
    os.rename(folders / "ours", folders / "models" / "ours")
    assert "someone" not in convert.model_card(read(folders / "models" / "ours"))


def test_rows_that_no_id_reaches_are_cut():
    """Embeddings padded to a multiple of 64: the model on the tokenizer's own ids is the same."""
    tokenizer = train_sentencepiece(["some text to train on"], 290)
    size = tokenizer.vocab_size
    padded = build_model(Architecture(1, 2, 8, 16), size + 21, "mlm", num_positions=32)
    weights = Weights(padded.config, checkpoint_directory.tensors_of(padded), tokenizer, "padded")
    cut = assemble(weights.without_padding(), "mlm")
    ids = mx.nd.array([[0, 5, size - 1, 2]])
    assert cut.config.vocab_size == size and cut(ids).shape == (1, 4, size)
    np.testing.assert_allclose(cut(ids).asnumpy(), padded(ids).asnumpy()[..., :size], atol=1e-6)
    assert Weights(padded.config, weights.tensors, None, "padded").without_padding().config == padded.config
