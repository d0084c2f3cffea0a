"""Files that do not say the number of heads: every command refuses them in the same line, which names the remedy."""

import re
import shlex

import numpy as np
import pytest

from bort_mx.architecture import Architecture
from bort_mx.checkpoints import read
from bort_mx.checkpoints.convert import convert as convert_weights
from bort_mx.checkpoints.directory import save
from bort_mx.commands import convert, export, finetune, predict, pretrain, search
from bort_mx.data.tokenizers import load_tokenizer
from bort_mx.errors import InputError
from bort_mx.models import build_model


@pytest.fixture(scope="module")
def without_heads(prepared, tmp_path_factory):
    """A .params file as GluonNLP's users have it: no config.json beside it."""
    folder = tmp_path_factory.mktemp("heads")
    tokenizer = load_tokenizer(prepared / "tokenizer")
    save(folder / "whole", build_model(Architecture(1, 4, 16, 32), tokenizer.vocab_size, "mlm", seed=1), tokenizer)
    convert_weights(read(folder / "whole"), folder / "a b", "gluon")
    (folder / "a b" / "config.json").unlink()
    (folder / "t.txt").write_text("The value of the function\n")
    return folder


COMMANDS = {
    "predict": (predict, "--checkpoint {file} --embed {folder}/t.txt --output {out}.npy"),
    "fill": (predict, "--checkpoint {file} --fill-mask x"),
    "export": (export, "{file} {out}.onnx"),
    "convert": (convert, "{file} {out} --to hf"),
    "fine-tuning": (finetune, "--task demo --checkpoint {file} --output-dir {out}"),
    "Socrates": (finetune, "--task demo --checkpoint {folder}/whole --agora --socrates {file} --output-dir {out}"),
    "pre-training": (pretrain, "--data {data} --init {file} --output-dir {out}"),
    "distillation": (pretrain, "--data {data} --teacher {file} --output-dir {out}"),
    "search": (search, "--data {data} --teacher {file} --output-dir {out}"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_alike(name, without_heads, prepared, tmp_path):
    command, line = COMMANDS[name]
    with pytest.raises(InputError, match="model.params: does not say the number of heads") as caught:
        command.main([part.format(file=without_heads / "a b", folder=without_heads, data=prepared, out=tmp_path / "out")
                      for part in line.split()])
    assert "\n" not in str(caught.value)
    left = {path.name for path in tmp_path.rglob("*")}
    claimed = {"out", "config.json", ".lock", "hours.json"}  # a search claims its folder first
    assert left <= (claimed if name == "search" else set())


def test_the_remedy_that_is_told_works(without_heads, tmp_path):
    with pytest.raises(InputError) as caught:
        read(without_heads / "a b")
    words = shlex.split(re.search(r"bort-mx (convert .* --num-heads) A", str(caught.value))[1])
    assert convert.main([word.replace("NEW_FOLDER", str(tmp_path / "new")) for word in words[1:]] + ["4"]) == 0
    new, whole = read(tmp_path / "new"), read(without_heads / "whole")
    assert new.config.architecture == whole.config.architecture
    for key in whole.tensors:
        np.testing.assert_array_equal(new.float32(key), whole.float32(key))
