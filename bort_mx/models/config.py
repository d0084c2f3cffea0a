"""What a model is made of: its architecture, vocabulary, positions, head and family."""

import dataclasses
from typing import Any, Dict, Optional, Tuple

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError
from bort_mx.sentence_embedding import SentenceEmbedding

HEADS = ("encoder", "mlm", "classifier")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")
"""As in transformers. The outputs are: values as they are; one label, by softmax; any number of labels, by sigmoid."""
CUTS = ("longest", "first")
POOLINGS = ("first", "mean", "segments")
"""What a classifier reads of the last hidden states; see `ModelConfig.pooling`."""
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
"""gelu: x/2 · (1 + erf(x/√2)). gelu_tanh: x/2 · (1 + tanh(√(2/π)(x + 0.044715x³))). relu: max(x, 0)."""
FAMILIES = {"roberta": {"token_types": 0, "layer_norm_eps": 1e-5}, "bert": {"token_types": 2, "layer_norm_eps": 1e-12}}


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes a model's parameters and function.

    Raises:
        InputError: a value that no model can have; the message names the field.
    """

    architecture: Architecture
    """<D, A, H, I>."""
    vocab_size: int
    """V, the number of rows of the word embedding."""
    head: str = "encoder"
    """encoder (no head), mlm or classifier."""
    num_labels: int = 2
    """Number of outputs of the classifier; 1 for regression."""
    family: str = "roberta"
    """roberta (Bort too) or bert. Sets the defaults of token_types and layer_norm_eps, and names in conversion."""
    num_positions: int = 512
    """S without RoBERTa's two unused rows: the number of tokens in the longest sequence."""
    token_types: Optional[int] = None
    """Number of rows of the token-type embedding; 0 for none."""
    layer_norm_eps: Optional[float] = None
    """ε of every LayerNorm. Default: 1e-5 for roberta, 1e-12 for bert."""
    dropout: float = 0.1
    """Dropout rate of hidden states and attention weights; in training only."""
    pooler: bool = False
    """Add BERT's pooler before the classifier: Dense(H) and tanh on the first token."""
    extra_layer: bool = False
    """Add one more linear layer before the classifier, as the paper does for CoLA (§5.1)."""
    labels: Optional[Tuple[str, ...]] = dataclasses.field(default=None, repr=False)
    """The meaning of the classifier's outputs, if it is known; None for other heads."""
    problem_type: Optional[str] = dataclasses.field(default=None, repr=False)  # repr goes into digests of old runs
    """How the classifier's outputs are read: one of `PROBLEM_TYPES`. None: regression of one output, else one label."""
    embedding: Optional[SentenceEmbedding] = dataclasses.field(default=None, repr=False)
    """How an encoder's hidden states become an embedding of a text, where its files say so; other heads have none."""
    max_length: Optional[int] = dataclasses.field(default=None, repr=False)
    """Number of tokens to which texts are cut, with special tokens, as in training. Default: the positions."""
    cut: str = dataclasses.field(default="longest", repr=False)
    """Which text of a pair is cut: longest or first, see `bort_mx.data.encoding.truncate_pair`."""
    text_columns: Tuple[str, ...] = dataclasses.field(default=(), repr=False)
    """Names of the one or two texts of the training task; () if they are not known."""
    pooling: str = dataclasses.field(default="first", repr=False)
    """What the classifier reads, one of `POOLINGS`. first: the first token's hidden state. mean: the mean over all
    tokens. segments: of a pair of texts the means u and v over each, as (u, v, |u − v|, u·v). Means are brought to a
    mean square of 1, as hidden states of distilled students are small."""
    activation: str = dataclasses.field(default="gelu", repr=False)
    """What stands between the two dense layers of each encoder layer: one of `ACTIVATIONS`."""

    def __post_init__(self):
        if self.family not in FAMILIES:
            raise InputError(f"model: family is {self.family!r}; it must be one of {', '.join(FAMILIES)}")
        for name, default in FAMILIES[self.family].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.head not in HEADS:
            raise InputError(f"model: head is {self.head!r}; it must be one of {', '.join(HEADS)}")
        if not self.architecture.is_valid():
            raise InputError(f"model: hidden_size {self.architecture.hidden_size} is not divisible by num_heads "
                             f"{self.architecture.num_heads}; choose heads that divide it")
        for name, least in (("vocab_size", 1), ("num_positions", 1), ("num_labels", 1), ("token_types", 0)):
            if getattr(self, name) < least:
                raise InputError(f"model: {name} is {getattr(self, name)}; it must be at least {least}")
        if self.labels is not None:
            self._check_labels()
        self._check_texts()
        if not 0 <= self.dropout < 1:
            raise InputError(f"model: dropout is {self.dropout}; it must be in [0, 1)")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"model: activation is {self.activation!r:.80}; it must be one of "
                             f"{', '.join(ACTIVATIONS)}")
        self._check_pooling()
        if self.problem_type not in (None, *PROBLEM_TYPES):
            raise InputError(f"model: problem_type is {self.problem_type!r:.80}; it must be one of "
                             f"{', '.join(PROBLEM_TYPES)}")
        if self.head != "classifier":
            object.__setattr__(self, "problem_type", None)
            object.__setattr__(self, "pooling", "first")
        if self.head != "encoder":
            object.__setattr__(self, "embedding", None)
        elif isinstance(self.embedding, dict):
            object.__setattr__(self, "embedding", SentenceEmbedding.from_dict(self.embedding))

    def _check_labels(self) -> None:
        labels = self.labels
        if not isinstance(labels, (list, tuple)) or not all(is_text(label) for label in labels) or not (
                len(labels) == len(set(labels)) == self.num_labels):
            raise InputError(f"model: labels is {labels!r:.100}; it must be {self.num_labels} different texts")
        object.__setattr__(self, "labels", tuple(labels) if self.head == "classifier" else None)

    def _check_pooling(self) -> None:
        if self.pooling not in POOLINGS:
            raise InputError(f"model: pooling is {self.pooling!r:.80}; it must be one of {', '.join(POOLINGS)}")
        if self.head != "classifier" or self.pooling == "first":
            return
        if self.pooler:
            raise InputError(f"model: pooler is true and pooling is {self.pooling}; a pooler reads the first token "
                             "only")
        if self.pooling == "segments" and self.token_types != 2:
            raise InputError(f"model: pooling is segments and token_types is {self.token_types}; it must be 2, as the "
                             "types tell the texts of a pair apart")

    def _check_texts(self) -> None:
        if self.max_length is not None and (type(self.max_length) is not int or self.max_length < 3):
            raise InputError(f"model: max_length is {self.max_length!r}; it must be a whole number from 3")
        if self.cut not in CUTS:
            raise InputError(f"model: cut is {self.cut!r}; it must be one of {', '.join(CUTS)}")
        columns = self.text_columns
        if not isinstance(columns, (list, tuple)) or len(columns) > 2 or not all(map(is_text, columns)):
            raise InputError(f"model: text_columns is {columns!r:.100}; it must be one or two names")
        object.__setattr__(self, "text_columns", tuple(columns))

    @property
    def classifier_inputs(self) -> int:
        """Number of values that the classifier reads."""
        return self.architecture.hidden_size * (4 if self.pooling == "segments" else 1)

    @property
    def reads_first(self) -> bool:
        """Whether only the first token's last hidden state is of use, so that the others need not be computed."""
        return self.head == "classifier" and self.pooling == "first"

    @property
    def longest(self) -> int:
        """Number of tokens of the longest text that the model gets, with special tokens."""
        stated = (self.max_length, self.embedding and self.embedding.max_tokens, self.num_positions)
        return min(limit for limit in stated if limit)

    @property
    def mlm_activation(self) -> str:
        """The activation of the MLM head: of the family bert the encoder's, of roberta always gelu, as in transformers.
        """
        return self.activation if self.family == "bert" else "gelu"

    def without_texts(self) -> "ModelConfig":
        """A copy without what is known of the texts of a task. The model itself is the same."""
        return self.replace(**_TEXTS)

    def to_dict(self) -> Dict:
        """The configuration as JSON values; `from_dict` is the inverse. Optional fields are there if known."""
        values = dataclasses.asdict(self)
        values.update({name: list(values[name]) for name in ("labels", "text_columns") if values[name]})
        return {name: value for name, value in values.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}

    @classmethod
    def from_dict(cls, values: Dict) -> "ModelConfig":
        """The inverse of `to_dict`.

        Raises:
            InputError: an unknown or missing field, named.
        """
        values = dict(values)
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"model: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
        missing = [name for name in ("architecture", "vocab_size") if name not in values]
        if missing:
            raise InputError(f"model: field {missing[0]!r} is missing")
        try:
            values["architecture"] = Architecture(**values["architecture"])
            return cls(**values)
        except TypeError as error:
            raise InputError(f"model: ill-formed configuration ({error})") from None

    def replace(self, **changes) -> "ModelConfig":
        """A copy with some fields changed; labels and problem_type go where the number of labels changes."""
        if changes.get("num_labels", self.num_labels) != self.num_labels:
            changes = {"labels": None, "problem_type": None, **changes}
        return dataclasses.replace(self, **changes)


_TEXTS = {"max_length": None, "cut": "longest", "text_columns": ()}
"""What is known of the texts of a task, by default nothing."""
_OPTIONAL = {"activation": "gelu", "pooling": "first", "labels": None, "problem_type": None, "embedding": None,
             **_TEXTS}
"""Later fields of `ModelConfig` with their defaults. Files hold other values only."""


def is_text(value: Any) -> bool:
    """Whether a value is a text that can be written: Unicode without half characters."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)
