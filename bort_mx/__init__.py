"""bort_mx: extract, pre-train and fine-tune an optimal subarchitecture of BERT (Bort, arXiv 2010.10499)."""

import importlib
import sys

if not (3, 9) <= sys.version_info[:2] <= (3, 12):
    raise ImportError(f"bort_mx runs on Python 3.9 to 3.12, as MXNet 1.9.1 does; this is {sys.version.split()[0]}. "
                      "`make install` in a checkout finds or fetches a suitable one")

from bort_mx import runtime  # noqa: E402

runtime.set_threads()  # before anything imports MXNet
runtime.sum_gradients_in_place()
runtime.give_numpy_bool()

from bort_mx.architecture import PRESETS, Architecture  # noqa: E402

__version__ = "0.1.0"
_LATER = {
    "pipeline": "bort_mx.inference.text_pipelines",
    "load": "bort_mx.checkpoints",
    "save": "bort_mx.checkpoints",
    "pretrain": "bort_mx.commands.from_python",
    "finetune": "bort_mx.commands.from_python",
}
"""Function: the module that it comes from, imported when it is first used, so that `import bort_mx` stays quick."""
__all__ = ["PRESETS", "Architecture", "__version__", "search", *_LATER]


def __getattr__(name: str):
    """The functions of `_LATER`, and `search`, a package that can be called."""
    if name == "search":
        return importlib.import_module("bort_mx.search")
    if name not in _LATER:
        raise AttributeError(f"module 'bort_mx' has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
    return found


def __dir__():
    return sorted({*globals(), *__all__})
