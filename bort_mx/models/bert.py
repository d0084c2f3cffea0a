"""BERT parametrised by <D, A, H, I>, with one head: none, masked language model, or classifier.

Dimensions: B batch, s length, M masked positions, H hidden size, V vocabulary, S positions.
"""

import collections
import dataclasses
from typing import Any, Dict, Optional, Tuple

import mxnet as mx
from gluonnlp.model.block import GELU
from mxnet.gluon import HybridBlock, nn

from bort_mx.architecture import Architecture
from bort_mx.errors import InputError
from bort_mx.models.encoder import Encoder
from bort_mx.models.normalization import LayerNorm

HEADS = ("encoder", "mlm", "classifier")
CUTS = ("longest", "first")
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
    """V, rows of the word embedding."""
    head: str = "encoder"
    """encoder, mlm or classifier."""
    num_labels: int = 2
    """Outputs of the classifier (1 for regression)."""
    family: str = "roberta"
    """roberta (Bort too) or bert: sets the defaults of token_types and layer_norm_eps and the names on conversion."""
    num_positions: int = 512
    """S without RoBERTa's two unused rows: the longest sequence, in tokens."""
    token_types: Optional[int] = None
    """Rows of the token-type embedding; 0 for none."""
    layer_norm_eps: Optional[float] = None
    """Epsilon of every LayerNorm: 1e-5 for roberta, 1e-12 for bert."""
    dropout: float = 0.1
    """Dropout of hidden states and attention weights, in training only."""
    pooler: bool = False
    """Dense(H) and tanh on the first token before the classifier (BERT's pooler)."""
    extra_layer: bool = False
    """One more linear layer before the classifier (the paper's CoLA, §5.1)."""
    labels: Optional[Tuple[str, ...]] = dataclasses.field(default=None, repr=False)
    """What the classifier's outputs stand for, where that is known; other heads have none."""
    max_length: Optional[int] = dataclasses.field(default=None, repr=False)
    """Tokens to which texts are cut, special ones included, as they were in training; None: the positions."""
    cut: str = dataclasses.field(default="longest", repr=False)
    """Which text of a pair is cut: longest or first, as in `bort_mx.data.encoding.truncate_pair`."""
    text_columns: Tuple[str, ...] = dataclasses.field(default=(), repr=False)
    """What the one or two texts of training were called; () where that is not known."""

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

    def _check_labels(self) -> None:
        labels = self.labels
        if not isinstance(labels, (list, tuple)) or not all(is_text(label) for label in labels) or not (
                len(labels) == len(set(labels)) == self.num_labels):
            raise InputError(f"model: labels is {labels!r:.100}; it must be {self.num_labels} different texts")
        object.__setattr__(self, "labels", tuple(labels) if self.head == "classifier" else None)

    def _check_texts(self) -> None:
        """Refuse what no training can have done with its texts; a limit beyond the positions is none."""
        if self.max_length is not None and (type(self.max_length) is not int or self.max_length < 3):
            raise InputError(f"model: max_length is {self.max_length!r}; it must be a whole number from 3")
        if self.cut not in CUTS:
            raise InputError(f"model: cut is {self.cut!r}; it must be one of {', '.join(CUTS)}")
        columns = self.text_columns
        if not isinstance(columns, (list, tuple)) or len(columns) > 2 or not all(map(is_text, columns)):
            raise InputError(f"model: text_columns is {columns!r:.100}; it must be one or two names")
        object.__setattr__(self, "text_columns", tuple(columns))

    @property
    def longest(self) -> int:
        """Tokens of the longest text that the model is given, special ones included."""
        return min(self.max_length or self.num_positions, self.num_positions)

    def to_dict(self) -> Dict:
        """A JSON-ready dictionary; `from_dict` is its inverse. Labels and what is told of texts are there if known."""
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
        """A copy with some fields changed; the labels go where their number changes."""
        if changes.get("num_labels", self.num_labels) != self.num_labels:
            changes.setdefault("labels", None)
        return dataclasses.replace(self, **changes)


_OPTIONAL = {"labels": None, "max_length": None, "cut": "longest", "text_columns": ()}
"""Fields of `ModelConfig` that came later, with their defaults. Files do not hold those."""


def is_text(value: Any) -> bool:
    """Whether a value is a text that can be written: Unicode without half characters."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


class BERT(HybridBlock):
    """Embeddings, encoder and one head; built by `build_model`. Parameters have GluonNLP's names.

    Inputs:
        input_ids (B, s), valid_length (B,) (None: no padding), masked_positions (B, M) (mlm head only; None: every
        position), token_types (B, s) (models with token types only; None: all 0). Any numeric dtype.
    Outputs:
        encoder: hidden states (B, s, H), zero at padding; mlm: logits (B, M, V); classifier: (B, num_labels).
    """

    def __init__(self, config: ModelConfig, **kwargs):
        super().__init__(**kwargs)
        self.config = config
        D, A, H, I = config.architecture.as_tuple()
        with self.name_scope():
            self.encoder = Encoder(num_layers=D, num_heads=A, units=H, hidden_size=I, dropout=config.dropout,
                                   max_length=config.num_positions, layer_norm_eps=config.layer_norm_eps,
                                   selects=config.head != "encoder")
            self.word_embed = nn.HybridSequential(prefix="word_embed_")
            with self.word_embed.name_scope():
                self.word_embed.add(nn.Embedding(config.vocab_size, H))
            if config.token_types:
                self.token_type_embed = nn.HybridSequential(prefix="token_type_embed_")
                with self.token_type_embed.name_scope():
                    self.token_type_embed.add(nn.Embedding(config.token_types, H))
            if config.head == "mlm":
                self.decoder = self._mlm_decoder(config, H)
            if config.head == "classifier":
                if config.pooler:
                    self.pooler = nn.Dense(H, in_units=H, flatten=False, activation="tanh", prefix="pooler_")
                self.classifier = self._classifier(config, H)

    def _mlm_decoder(self, config: ModelConfig, H: int) -> nn.HybridSequential:
        """Dense(H) → GELU → LayerNorm → decoder tied to the word embedding, with a bias."""
        decoder = nn.HybridSequential(prefix="decoder_")
        with decoder.name_scope():
            decoder.add(nn.Dense(H, in_units=H, flatten=False), GELU(),
                        LayerNorm(H, config.layer_norm_eps),
                        nn.Dense(config.vocab_size, in_units=H, flatten=False, params=self.word_embed[0].params))
        return decoder

    @staticmethod
    def _classifier(config: ModelConfig, H: int) -> nn.HybridSequential:
        """Dropout and one linear layer on the first token (paper §5.1), with one more linear layer where asked."""
        classifier = nn.HybridSequential(prefix="classifier_")
        with classifier.name_scope():
            classifier.add(nn.Dropout(config.dropout))
            if config.extra_layer:
                classifier.add(nn.Dense(H, in_units=H, flatten=False), nn.Dropout(config.dropout))
            classifier.add(nn.Dense(config.num_labels, in_units=H, flatten=False))
        return classifier

    def __call__(self, input_ids, valid_length=None, masked_positions=None, token_types=None):
        """Complete the optional inputs, so that one compiled graph serves every call, and compile it anew when training
        follows inference or the other way round, as the two want another LayerNorm.
        """
        training = mx.autograd.is_training() and input_ids.context.device_type == "cpu"
        self._compose_norms(training and self.encoder.dtype == "float32")
        if valid_length is None:
            valid_length = mx.nd.full((input_ids.shape[0],), input_ids.shape[1], ctx=input_ids.context)
        if self.config.head != "mlm":
            masked_positions = None
        elif masked_positions is None:
            masked_positions = mx.nd.broadcast_to(
                mx.nd.arange(input_ids.shape[1], ctx=input_ids.context).reshape((1, -1)), shape=input_ids.shape)
        if not self.config.token_types:
            token_types = None
        elif token_types is None:
            token_types = mx.nd.zeros(input_ids.shape, ctx=input_ids.context)
        return super().__call__(input_ids, valid_length, masked_positions, token_types)

    def _compose_norms(self, composed: bool) -> None:
        head = self.decoder if self.config.head == "mlm" else ()
        norms = self.encoder.norms() + [block for block in head if isinstance(block, LayerNorm)]
        if norms[0].composed != composed:
            for norm in norms:
                norm.composed = composed
            self.hybridize(self._active, static_alloc=True)

    def hybrid_forward(self, F, input_ids, valid_length, masked_positions=None, token_types=None):
        """See the class."""
        embedded = self.word_embed(input_ids)  # (B, s, H)
        if token_types is not None:
            embedded = embedded + self.token_type_embed(token_types)
        selected = masked_positions
        if self.config.head == "classifier":
            selected = F.zeros_like(F.slice_axis(input_ids, axis=1, begin=0, end=1))  # (B, 1): the first token
        states = self.encoder(F.swapaxes(embedded, 0, 1), F.cast(valid_length, "float32"), selected)  # (s or M, B, H)
        if self.config.head == "mlm":
            return self.decoder(F.swapaxes(states, 0, 1))  # (B, M, V): the full (B, s, V) logits are never built
        if self.config.head == "classifier":
            first = F.squeeze(states, axis=0)  # (1, B, H) → (B, H)
            return self.classifier(self.pooler(first) if self.config.pooler else first)  # (B, num_labels)
        return F.swapaxes(states, 0, 1)  # (B, s, H)


def build_model(architecture: Architecture, vocab_size: int, head: str = "encoder", num_labels: int = 2, *,
                seed: int = 0, ctx: Optional[mx.Context] = None, **options) -> BERT:
    """Build, initialise and hybridize (static allocation and shapes reused) a model.

    Args:
        architecture: <D, A, H, I>.
        vocab_size: V.
        head: "encoder", "mlm" or "classifier".
        num_labels: the classifier's outputs.
        seed: of the initial weights (see `bort_mx.models.initialize`).
        ctx: the device; the CPU by default.
        options: further fields of `ModelConfig`.
    Raises:
        InputError: values that no model can have.
    """
    config = ModelConfig(architecture, vocab_size, head, num_labels, **options)
    return build_from_config(config, seed=seed, ctx=ctx)


def build_from_config(config: ModelConfig, *, seed: Optional[int] = 0, ctx: Optional[mx.Context] = None,
                      gradients: bool = True) -> BERT:
    """As `build_model`, but `seed=None` leaves the weights zero, for a caller who sets them all.

    `gradients=False` takes no memory for gradients; `collect_params().setattr("grad_req", "write")` takes it later.
    """
    from bort_mx.models.initialization import initialize

    model = BERT(config, prefix="bert_")
    if not gradients:
        model.collect_params().setattr("grad_req", "null")
    model.initialize(mx.init.Zero(), ctx=ctx or mx.cpu())
    if seed is not None:
        initialize(model, seed)
    model.hybridize(static_alloc=True)
    return model


WORD_EMBEDDING = "word_embed.0.weight"
"""Its name in `parameters_of`."""


def parameters_of(model: BERT) -> Dict[str, mx.gluon.Parameter]:
    """The model's parameters by GluonNLP's names, e.g. "encoder.transformer_cells.0.proj.weight", tied ones once."""
    seen, result = set(), collections.OrderedDict()
    named = model._collect_params_with_prefix()
    for name in sorted(named, key=lambda n: (n.startswith("decoder"), n)):  # the tied weight keeps the embedding's name
        if id(named[name]) not in seen:
            seen.add(id(named[name]))
            result[name] = named[name]
    return result
