"""The table of formats: a new one is one line."""

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import Weights, convert, load, loading, read, save
from bort_mx.checkpoints import directory as checkpoint_directory
from bort_mx.checkpoints.weights import Format
from bort_mx.commands.convert import FORMATS
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models import build_model


@pytest.fixture
def model():
    return build_model(Architecture(1, 2, 8, 12), 19, "mlm", num_positions=7, seed=3)


def read_toy(path, num_heads):
    """The toy format: NumPy's archive of our tensors, with nothing that says the model."""
    with np.load(path) as tensors:
        model = build_model(Architecture(1, num_heads, 8, 12), 19, "mlm", num_positions=7)
        return Weights(model.config, dict(tensors), None, str(path))


def test_a_new_format_is_one_line(model, tmp_path, monkeypatch):
    np.savez(tmp_path / "toy.npz", **checkpoint_directory.tensors_of(model))
    with pytest.raises(InputError, match="not a checkpoint; known are a folder of bort_mx, a folder of "
                                         "sentence-transformers .*, a Hugging Face folder .* "
                                         "fairseq's model.pt and GluonNLP's .params$"):
        load(tmp_path / "toy.npz", num_heads=2)
    toy = Format("NumPy's .npz", lambda path: path.suffix == ".npz", read_toy, suffixes=(".npz",))
    monkeypatch.setattr(loading, "FORMATS", [*loading.FORMATS, toy])
    for path in (tmp_path / "toy.npz", tmp_path):  # the file, and the folder that holds it
        again, tokenizer, config = load(path, num_heads=2)
        assert tokenizer is None and config == model.config
        for name, tensor in checkpoint_directory.tensors_of(model).items():
            np.testing.assert_array_equal(checkpoint_directory.tensors_of(again)[name], tensor, err_msg=name)
    before = loading.fingerprint(tmp_path)
    np.savez(tmp_path / "toy.npz", other=np.zeros(1))
    assert loading.fingerprint(tmp_path) != before
    (tmp_path / "b.params").touch()
    with pytest.raises(InputError, match=r"b\.params or toy\.npz"):
        read(tmp_path, num_heads=2)
    (tmp_path / "ours.txt").touch()
    with pytest.raises(InputError, match="fairseq's model.pt, GluonNLP's .params and NumPy's .npz$"):
        read(tmp_path / "ours.txt")


def test_a_new_format_to_write_is_one_line(model, tmp_path, monkeypatch):
    assert set(convert.WRITERS) == set(FORMATS)  # what the command says in --to, without loading MXNet
    save(tmp_path / "ours", model)
    monkeypatch.setitem(convert.WRITERS, "toy", lambda directory, weights: np.savez(
        directory / "toy.npz", **{name: weights.float32(name) for name in weights.tensors}))
    convert.convert(read(tmp_path / "ours"), tmp_path / "new", "toy")
    with np.load(tmp_path / "new" / "toy.npz") as tensors:
        assert set(tensors) == set(checkpoint_directory.tensors_of(model))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "ours"]


def test_our_format_is_written_as_save_writes_it(model, tmp_path):
    save(tmp_path / "saved", model)
    convert.convert(read(tmp_path / "saved"), tmp_path / "converted", "bort-mx")
    hashes = [{path.name: files.sha256(path) for path in folder.iterdir()}
              for folder in (tmp_path / "saved", tmp_path / "converted")]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("name, said", [
    ("adapter_config.json", "adapter_config.json is an adapter of peft, without its model; merge it"),
    ("tf_model.h5", "tf_model.h5 is TensorFlow's weights"),
    ("flax_model.msgpack", "flax_model.msgpack is Flax's weights")])
def test_a_folder_that_is_no_checkpoint_is_told_by_what_it_holds(model, tmp_path, name, said):
    (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=f"not a checkpoint .{said}.*; known are"):
        read(tmp_path)
    for step in (500, 1000):  # as a Trainer's output
        convert.convert(Weights(model.config, checkpoint_directory.tensors_of(model), None, "x"),
                        tmp_path / "out" / f"checkpoint-{step}", "bort-mx")
    with pytest.raises(InputError, match=r"not a checkpoint .checkpoint-1000, checkpoint-500 below it are."):
        read(tmp_path / "out")
