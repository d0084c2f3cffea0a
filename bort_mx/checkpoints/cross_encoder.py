"""Cross-encoders of sentence-transformers: a classifier whose outputs go through an activation that its files name."""

import logging
import pathlib
from typing import Dict, Optional

from bort_mx.errors import InputError
from bort_mx.io import files

OF_ALL = "config_sentence_transformers.json"
"""sentence-transformers' file of what is said of the whole model."""
_PROBLEM_TYPES = {"Sigmoid": "multi_label_classification", "Softmax": "single_label_classification", "Identity": None}
"""Activation → problem_type; None: what config.json says of it, else the values of one output as they are."""
logger = logging.getLogger(__name__)


def problem_type_of(values: Dict, folder: pathlib.Path) -> Optional[str]:
    """How a classifier's outputs are read: as a cross-encoder's activation says, else as problem_type.

    The activation stands in a file of its own; in older versions under "sentence_transformers" in config.json, before
    version 4 there as sbert_ce_default_activation_function.

    Args:
        values: of config.json.
        folder: where it lies.
    Raises:
        InputError: an activation that is not known.
    """
    stated = values.get("problem_type")
    said = _activation(values, folder)
    if said is None:
        return stated
    name = str(said).rsplit(".", 1)[-1]
    if name not in _PROBLEM_TYPES:
        raise InputError(f"{folder}: the cross-encoder's activation_fn is {said!r:.80}; known are "
                         f"{', '.join(_PROBLEM_TYPES)}")
    if name == "Sigmoid":
        logger.warning("%s: each output goes through a sigmoid, as activation_fn says (%s)", folder, said)
    return _PROBLEM_TYPES[name] or stated


def _activation(values: Dict, folder: pathlib.Path) -> Optional[str]:
    path = folder / OF_ALL
    of_all = files.read_json(path) if path.is_file() else {}
    if isinstance(of_all, dict) and of_all.get("model_type") == "CrossEncoder" and of_all.get("activation_fn"):
        return of_all["activation_fn"]
    nested = values.get("sentence_transformers")
    if isinstance(nested, dict) and nested.get("activation_fn"):
        return nested["activation_fn"]
    return values.get("sbert_ce_default_activation_function")
