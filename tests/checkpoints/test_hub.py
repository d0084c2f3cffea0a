"""Which files of the Hub are fetched, and models in installed packages."""

import sys

import pytest

from bort_mx.checkpoints import hub

SENTENCE_TRANSFORMERS = ["config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "vocab.txt",
                         "config_sentence_transformers.json", "special_tokens_map.json", "tokenizer.json",
                         "tokenizer_config.json", "1_Pooling/config.json", "2_Dense/config.json",
                         "2_Dense/model.safetensors"]
OTHER = ["README.md", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "rust_model.ot",
         "train_script.py", "openvino/openvino_model.xml", "2_Dense/pytorch_model.bin", "data/train.csv"]


def test_all_that_a_sentence_transformers_folder_is_read_by_is_fetched_and_no_more():
    """Without modules.json and what it names, such a model would be embedded by another pooling, silently."""
    utils = pytest.importorskip("huggingface_hub.utils")
    fetched = list(utils.filter_repo_objects(SENTENCE_TRANSFORMERS + OTHER, allow_patterns=list(hub.WANTED)))
    assert sorted(fetched) == sorted(SENTENCE_TRANSFORMERS)


def test_a_packaged_model_is_found_without_the_package_being_imported(tmp_path, monkeypatch):
    package = tmp_path / "some_weights"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "model/config.json").write_text("{}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(hub, "PACKAGED", {"owner/name": ("some_weights", "model"), "owner/gone": ("no_such", "model")})
    assert hub.packaged("owner/name") == hub.fetch("owner/name") == package / "model"
    assert hub.packaged("owner/gone") is None and hub.packaged("owner/other") is None
    assert "some_weights" not in sys.modules
