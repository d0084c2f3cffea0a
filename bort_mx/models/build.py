"""From a configuration to a model with memory and weights."""

from typing import Optional

import mxnet as mx

from bort_mx.architecture import Architecture
from bort_mx.models.bert import BERT
from bort_mx.models.config import ModelConfig
from bort_mx.models.initialization import initialize


def build_model(architecture: Architecture, vocab_size: int, head: str = "encoder", num_labels: int = 2, *,
                seed: int = 0, ctx: Optional[mx.Context] = None, **options) -> BERT:
    """Build, initialise and hybridize a model. Hybridizing compiles its graph and allocates its memory once.

    Args:
        architecture: <D, A, H, I>.
        vocab_size: V.
        head: "encoder", "mlm" or "classifier".
        num_labels: number of outputs of the classifier.
        seed: seed of the initial weights (see `bort_mx.models.initialize`).
        ctx: the device; default: the CPU.
        options: further fields of `ModelConfig`.
    Raises:
        InputError: a value that no model can have.
    """
    config = ModelConfig(architecture, vocab_size, head, num_labels, **options)
    return build_from_config(config, seed=seed, ctx=ctx)


def build_from_config(config: ModelConfig, *, seed: Optional[int] = 0, ctx: Optional[mx.Context] = None,
                      gradients: bool = True) -> BERT:
    """Like `build_model`. With `seed=None` all weights are 0, for a caller who sets all of them.

    `gradients=False` allocates no memory for gradients. `collect_params().setattr("grad_req", "write")` allocates it
    later.
    """
    model = BERT(config, prefix="bert_")
    if not gradients:
        model.collect_params().setattr("grad_req", "null")
    model.initialize(mx.init.Zero(), ctx=ctx or mx.cpu())
    if seed is not None:
        initialize(model, seed)
    model.hybridize(static_alloc=True)
    return model
