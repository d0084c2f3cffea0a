"""A student that starts from its teacher's weights: embeddings and layers, sliced where the student is narrower.

The literature does not state how weights of one width become those of another, so all of that is [I]. Hidden units are
the same everywhere in the model, as residual connections tie them: those stay that are largest in the teacher's hidden
states on some text. Of heads and neurons, those with the largest norms stay. docs/experiments/students.md says what
else was tried.

Dimensions: H_T and H_S hidden sizes, A heads of d = H/A, I intermediate size, V vocabulary size, S positions.
"""

from typing import Dict, List, Tuple

import mxnet as mx
import numpy as np

from bort_mx.devices import to_device
from bort_mx.errors import InputError
from bort_mx.models.bert import BERT, parameters_of
from bort_mx.models.inner_states import InnerStates

CELLS = "encoder.transformer_cells."
_POSITIONS, _TOKEN_TYPES = "encoder.position_weight", "token_type_embed.0.weight"
_BY_UNIT = ("word_embed.0.weight", _POSITIONS, _TOKEN_TYPES)


def layers_of(students: int, teachers: int, how: str) -> List[int]:
    """The teacher's layer, from 0, for each layer of the student.

    Args:
        students, teachers: numbers of layers; the teacher has at least as many.
        how: "lower": the first ones. "spread": at equal distances, ending with the teacher's last.
    Raises:
        InputError: the student has more layers than the teacher.
    """
    if students > teachers:
        raise InputError(f"--init-from-teacher {how}: the student has {students} layers, the teacher only {teachers}")
    if how == "lower":
        return list(range(students))
    return [round((layer + 1) * teachers / students) - 1 for layer in range(students)]


def largest_units(teacher: BERT, width: int, sample: Tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Numbers of the hidden units with the largest mean squares, ascending: (width,).

    Args:
        teacher: the model.
        width: how many.
        sample: token ids (B, s) and lengths (B,). All layers count alike, the embedding too.
    """
    ids, lengths = sample
    layers = range(teacher.config.architecture.num_layers + 1)
    with mx.autograd.pause(train_mode=False):
        states = InnerStates(teacher, (), layers)(to_device(ids, teacher.context), to_device(lengths, teacher.context))
    kept = np.arange(ids.shape[1])[:, None] < lengths[None]  # (s, B)
    squares = [np.square(layer.asnumpy()[kept].astype(np.float64)).sum(axis=0) for layer in states]  # (H_T,) each
    return _largest(sum(layer / layer.sum() for layer in squares), width)


def start_from_teacher(student: BERT, teacher: BERT, how: str,
                       sample: Tuple[np.ndarray, np.ndarray]) -> Tuple[str, np.ndarray]:
    """Set the student's weights from the teacher's.

    Args:
        student, teacher: the two models.
        how: see `layers_of`.
        sample: see `largest_units`; used if the student is narrower.
    Returns:
        one line that says what was copied, and the teacher's hidden units that the student has (H_S,).
    Raises:
        InputError: the student is wider or deeper than the teacher, or of another family.
    """
    own, theirs = student.config.architecture, teacher.config.architecture
    if student.config.family != teacher.config.family:
        raise InputError(f"--init-from-teacher {how}: the student is of the family {student.config.family}, the "
                         f"teacher of {teacher.config.family}")
    if student.config.activation != teacher.config.activation:
        raise InputError(f"--init-from-teacher {how}: the teacher's activation is {teacher.config.activation}, and a "
                         f"new student has {student.config.activation}; leave the option out")
    if own.hidden_size > theirs.hidden_size or own.intermediate_size > theirs.intermediate_size:
        raise InputError(f"--init-from-teacher {how}: the student <{own}> is wider than the teacher <{theirs}>; "
                         "weights can be left out, not invented")
    chosen = layers_of(own.num_layers, theirs.num_layers, how)
    weights = {name: p.list_data()[0].asnumpy() for name, p in parameters_of(teacher).items()}
    whole = own.hidden_size == theirs.hidden_size
    units = np.arange(own.hidden_size) if whole else largest_units(teacher, own.hidden_size, sample)
    made = {name: weights[name][:, units] for name in _BY_UNIT if name in weights}
    made.update({name: weights[name][units] for name in ("encoder.layer_norm.gamma", "encoder.layer_norm.beta")})
    for layer, source in enumerate(chosen):
        of = {name[len(f"{CELLS}{source}."):]: value for name, value in weights.items()
              if name.startswith(f"{CELLS}{source}.")}
        narrowed = _layer(of, units, theirs.num_heads, own.intermediate_size)
        made.update({f"{CELLS}{layer}.{name}": value for name, value in narrowed.items()})
    made.update(_decoder(weights, units))
    if _TOKEN_TYPES in made and not student.config.token_types:  # RoBERTa: all tokens are of type 0
        made[_POSITIONS] = made[_POSITIONS] + made.pop(_TOKEN_TYPES)[:1]
    return _set(student, made, chosen) + ("" if whole else ", sliced to the student's width"), units


def _layer(of: Dict[str, np.ndarray], units: np.ndarray, heads: int, neurons: int) -> Dict[str, np.ndarray]:
    """One layer's tensors for the units that stay."""
    rows = _rows_of_heads(of, heads, len(units))
    kept = _largest(np.square(of["ffn.ffn_1.weight"]).sum(axis=1) * np.square(of["ffn.ffn_2.weight"]).sum(axis=0),
                    neurons)
    made = {}
    for part in ("query", "key", "value"):
        made[f"attention_cell.proj_{part}.weight"] = of[f"attention_cell.proj_{part}.weight"][np.ix_(rows, units)]
        made[f"attention_cell.proj_{part}.bias"] = of[f"attention_cell.proj_{part}.bias"][rows]
    made["proj.weight"], made["proj.bias"] = of["proj.weight"][np.ix_(units, rows)], of["proj.bias"][units]
    made["ffn.ffn_1.weight"] = of["ffn.ffn_1.weight"][np.ix_(kept, units)]
    made["ffn.ffn_1.bias"] = of["ffn.ffn_1.bias"][kept]
    made["ffn.ffn_2.weight"] = of["ffn.ffn_2.weight"][np.ix_(units, kept)]
    made["ffn.ffn_2.bias"] = of["ffn.ffn_2.bias"][units]
    for norm in ("layer_norm", "ffn.layer_norm"):
        made.update({f"{norm}.{leaf}": of[f"{norm}.{leaf}"][units] for leaf in ("gamma", "beta")})
    return made


def _rows_of_heads(of: Dict[str, np.ndarray], heads: int, count: int) -> np.ndarray:
    """Rows of queries, keys and values that stay: whole heads by the norm of what they write, then rows of the next.

    Several of the teacher's heads side by side may become one of the student's: their scores add up.
    """
    written, read = of["proj.weight"], of["attention_cell.proj_value.weight"]
    norms = np.square(read).sum(axis=1) * np.square(written).sum(axis=0)  # (H,)
    size = len(norms) // heads
    of_heads = norms.reshape(heads, size).sum(axis=1)
    whole, left = divmod(count, size)
    ranked = np.argsort(-of_heads, kind="stable")
    rows = [head * size + np.arange(size) for head in sorted(ranked[:whole])]
    if left:
        following = ranked[whole] * size + np.arange(size)
        rows.append(following[_largest(norms[following], left)])
    return np.concatenate(rows)


def _decoder(weights: Dict[str, np.ndarray], units: np.ndarray) -> Dict[str, np.ndarray]:
    """The MLM head's tensors, if the teacher has one."""
    if "decoder.0.weight" not in weights:
        return {}
    return {"decoder.0.weight": weights["decoder.0.weight"][np.ix_(units, units)],
            **{name: weights[name][units] for name in ("decoder.0.bias", "decoder.2.gamma", "decoder.2.beta")},
            "decoder.3.bias": weights["decoder.3.bias"]}


def _largest(norms: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` largest, ascending; of equal ones the first."""
    return np.sort(np.argsort(-norms, kind="stable")[:count])


def _set(student: BERT, made: Dict[str, np.ndarray], chosen: List[int]) -> str:
    parameters = parameters_of(student)
    for name, value in made.items():
        if name.startswith("decoder.") and name not in parameters:  # a student without an MLM head
            continue
        parameter = parameters[name]
        if name in (_POSITIONS, _TOKEN_TYPES):  # the student may have fewer of them, or more than the teacher
            rows = min(len(value), parameter.shape[0])
            value = np.concatenate([value[:rows], parameter.list_data()[0].asnumpy()[rows:]])
        parameter.set_data(mx.nd.array(value, dtype=parameter.dtype))
    fresh = sorted({name.split(".")[0] for name in parameters if name not in made})
    layers = ", ".join(str(layer + 1) for layer in chosen)
    new = f" (new: {', '.join(fresh)})" if fresh else ""
    return f"starts from the teacher's embeddings and layers {layers}{new}"
