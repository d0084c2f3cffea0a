"""bort_mx: extract, pre-train and fine-tune an optimal subarchitecture of BERT (Bort, arXiv 2010.10499)."""

import sys

if not (3, 9) <= sys.version_info[:2] <= (3, 11):
    raise ImportError(f"bort_mx runs on Python 3.9 to 3.11, as MXNet 1.9.1 does; this is {sys.version.split()[0]}. "
                      "`make install` in a checkout finds or fetches a suitable one")

from bort_mx import runtime  # noqa: E402

runtime.set_threads()  # before anything imports MXNet
runtime.sum_gradients_in_place()

from bort_mx.architecture import PRESETS, Architecture  # noqa: E402

__version__ = "0.1.0"
__all__ = ["PRESETS", "Architecture", "__version__"]
