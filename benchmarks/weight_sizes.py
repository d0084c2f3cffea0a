"""How large the weights of an encoder's dense layers are, for docs/experiments/epochs.md.

    python benchmarks/weight_sizes.py CHECKPOINT [CHECKPOINT …]

Prints a JSON object for each: standard deviation and largest absolute value over all matrices of the layers, without
embeddings, pooler and classifier. A CHECKPOINT is any that loads, such as RUN/checkpoints/step-1377.
"""

import json
import sys

import numpy as np

from bort_mx.checkpoints import loading


def main() -> None:
    """Measure."""
    for path in sys.argv[1:]:
        tensors = {name: np.asarray(tensor) for name, tensor in loading.read(path).tensors.items()}
        values = np.concatenate([tensor.ravel() for name, tensor in tensors.items() if tensor.ndim == 2
                                 and not any(part in name for part in ("embed", "pooler", "classifier"))])
        print(json.dumps({"checkpoint": path, "deviation": round(float(values.std()), 6),
                          "largest": round(float(abs(values).max()), 4)}))


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] == "--help":
        print(__doc__)
    else:
        main()
