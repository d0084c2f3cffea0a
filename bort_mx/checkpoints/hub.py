"""Names of the Hugging Face Hub, such as roberta-large or amazon/bort."""

import pathlib
import re

from bort_mx.errors import InputError

WANTED = ("config.json", "model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors",
          "vocab.json", "merges.txt", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin")


def is_name(text: str) -> bool:
    """Whether a text can be a name of the Hub (NAME or OWNER/NAME) rather than a path or a file's name."""
    if text.endswith((".params", ".pt", ".bin", ".safetensors", ".onnx", ".json", "/..", "/.")):
        return False
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", text) is not None


def fetch(name: str) -> pathlib.Path:
    """Download a model (or find it in the Hub's cache) and return its directory.

    Raises:
        InputError: no network, no such name, or no huggingface_hub installed; says which files to put where.
    """
    advice = (f"put its files config.json, model.safetensors (or pytorch_model.bin), and vocab.json with merges.txt, "
              f"vocab.txt or tokenizer.json into the folder ./{name} and run this again")
    missing = f"{name}: no such file or folder, and "
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(f"{missing}huggingface_hub is not installed; {advice}") from None
    try:
        return _snapshot(huggingface_hub, name)
    except Exception as error:  # the libraries beneath raise what they like: httpx, requests, OSError, their own
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason if len(reason) <= 120 else f"{reason[:119]}…"
        raise InputError(f"{missing}not to be had from the Hub ({reason}); {advice}") from None


def _snapshot(huggingface_hub, name: str) -> pathlib.Path:
    """The safetensors files where there are any, else the pickled ones."""
    path = pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=list(WANTED)))
    if not any(path.glob("*.safetensors")):
        path = pathlib.Path(huggingface_hub.snapshot_download(name, allow_patterns=[*WANTED, *PICKLED]))
    return path
