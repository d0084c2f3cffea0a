"""The BERT encoder of any architecture <D, A, H, I>, with its heads, as Gluon HybridBlocks."""

from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.build import build_model
from bort_mx.models.config import ModelConfig
from bort_mx.models.initialization import initialize

__all__ = ["BERT", "ModelConfig", "build_model", "initialize", "parameters_of"]
