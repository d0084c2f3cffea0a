"""GluonNLP's .params files, bort.params included: read and written.

Names differ between releases: 0.8 and 0.10 write `attention_cell.proj_query.weight`, 0.9.0 wrote
`attention_cell.query_weight`. The names of a fine-tuned model begin with `bert.`, `roberta.` or `bort.`, those of its
classifier do not.

The file says neither the number of heads nor LayerNorm's epsilon. Where this program wrote the file, a config.json
beside it says both. Elsewhere the heads must be given, and epsilon is that of the family: bert if there are token
types, else roberta (and Bort); a message says it.
"""

import errno
import logging
import os
import pathlib
import re
import shutil
from typing import Dict, Optional, Tuple

import mxnet as mx

from bort_mx.checkpoints import mxnet_file, tensor_names
from bort_mx.checkpoints.tokenizer_files import read_tokenizer
from bort_mx.checkpoints.weights import Format, Weights, check_fit, model_config, refuse_pooling
from bort_mx.errors import InputError
from bort_mx.io import files
from bort_mx.models.config import ModelConfig

PARAMETERS, CONFIG = "model.params", "config.json"
SLACK = 1 << 20
"""Free bytes below which a disk counts as full; some file systems keep a reserve."""
FORMAT_NAME = "bort_mx-gluon"
"""Value of "format" in a config.json that `write` wrote."""
logger = logging.getLogger(__name__)


def read(path: os.PathLike, num_heads: Optional[int] = None) -> Weights:
    """Read a .params file, and the vocabulary beside it.

    Args:
        path: the file.
        num_heads: A, where no config.json of ours says it.
    Raises:
        InputError: not such a file, or its tensors are not a BERT's.
    """
    path = pathlib.Path(path)
    tensors = tensor_names.renamed(mxnet_file.read(path), _plain, str(path))
    tensors = tensor_names.without_untied_decoder(tensors, [("decoder.3.weight", "word_embed.0.weight")], tensors,
                                                  str(path))
    tensors.pop("decoder.3.weight", None)
    for name in ("classifier.weight", "classifier.bias"):  # next-sentence prediction
        if tensors.pop(name, None) is not None:
            logger.warning("%s: left out, as this model has no such head: %s", path, name)
    config = _stored_config(path)
    if config is None:
        tensors, head = _with_our_classifier(tensors)
        config = _config(tensors, num_heads, path).replace(**head)
    check_fit(tensors, config, str(path))
    return Weights(config, tensors, read_tokenizer(path.parent, config.vocab_size), str(path))


FORMAT = Format("GluonNLP's .params", lambda path: path.suffix == ".params" and path.is_file(), read,
                suffixes=(".params",))


def _plain(name: str) -> str:
    """A tensor's name as 0.8 and 0.10 write it, without the prefix of a fine-tuned model."""
    name = re.sub(r"^(bert|roberta|bort)\.", "", name)
    return re.sub(r"attention_cell\.(query|key|value)_(weight|bias)$", r"attention_cell.proj_\1.\2", name)


def _with_our_classifier(tensors: Dict) -> Tuple[Dict, Dict]:
    """The classifier under our names; also the fields of its model.

    RoBERTaClassifier has two dense layers with a tanh between: the first is our pooler. BERTClassifier has one layer.
    """
    weights = sorted(name for name in tensors if re.fullmatch(r"classifier\.\d+\.weight", name))
    if not weights or len(weights) > 2:
        return tensors, {"head": "mlm" if "decoder.3.bias" in tensors else "encoder",
                         "pooler": "pooler.weight" in tensors}
    modules = [name[:-len(".weight")] for name in weights]
    places = dict(zip(modules, ["pooler", "classifier.1"] if modules[1:] else ["classifier.1"]))
    moved = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")}
    for module, place in places.items():
        moved.update({f"{place}.{leaf}": tensors[f"{module}.{leaf}"] for leaf in ("weight", "bias")
                      if f"{module}.{leaf}" in tensors})
    return moved, {"head": "classifier", "pooler": "pooler.weight" in moved,
                   "num_labels": moved["classifier.1.weight"].shape[0]}


def _config(tensors: Dict, num_heads: Optional[int], path: pathlib.Path) -> ModelConfig:
    architecture = tensor_names.architecture_of(tensors, num_heads, path)
    types, positions = tensors.get("token_type_embed.0.weight"), tensors.get("encoder.position_weight")
    if positions is None:
        raise InputError(f"{path}: no BERT in it, as encoder.position_weight is missing")
    return ModelConfig(architecture, vocab_size=tensors["word_embed.0.weight"].shape[0],
                       family="roberta" if types is None else "bert", num_positions=positions.shape[0],
                       token_types=0 if types is None else types.shape[0])


def _stored_config(path: pathlib.Path) -> Optional[ModelConfig]:
    """The configuration beside a file that `write` wrote, or None."""
    config = path.parent / CONFIG
    if path.name != PARAMETERS or not config.is_file():
        return None
    values = files.read_json(config)
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT_NAME:
        return None
    return model_config(values, str(config))


def write(directory: pathlib.Path, weights: Weights) -> None:
    """Write model.params, which GluonNLP's `load_parameters` reads, and config.json into an empty directory.

    Raises:
        InputError: the tensors do not fit the configuration, or no model of theirs computes it.
        OSError: the disk is full.
    """
    check_fit(weights.tensors, weights.config, weights.source)
    refuse_pooling(weights)
    arrays = {name: mx.nd.array(weights.float32(name)) for name in weights.tensors}
    if "decoder.3.bias" in arrays:
        arrays["decoder.3.weight"] = arrays["word_embed.0.weight"]  # tied, and written twice by GluonNLP too
    _save(directory / PARAMETERS, arrays)
    files.write_json(directory / CONFIG, {"format": FORMAT_NAME, **weights.config.to_dict()})


def _save(path: pathlib.Path, arrays: Dict[str, mx.nd.NDArray]) -> None:
    """`mx.nd.save`. MXNet tells of a full disk by an error without its cause, or not at all.

    Raises:
        OSError: the file is not whole.
    """
    size = sum(4 * array.size for array in arrays.values())  # float32
    try:
        mx.nd.save(str(path), arrays)
        whole = path.stat().st_size > size
    except mx.base.MXNetError:
        whole = False
    if not whole:
        there = path.stat().st_size if path.exists() else 0
        number = errno.ENOSPC if shutil.disk_usage(path.parent).free < size - there + SLACK else errno.EIO
        raise OSError(number, os.strerror(number), str(path))
