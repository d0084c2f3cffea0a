"""A checkpoint as an ONNX file that has been compared with the model.

B batch, s length, V vocabulary size.
"""

import dataclasses
import json
import os
import pathlib
import shutil
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

import mxnet as mx
import numpy as np

from bort_mx import random
from bort_mx.checkpoints import engine_choice, onnx_model
from bort_mx.checkpoints.loading import assemble
from bort_mx.checkpoints.quantization import Quantization
from bort_mx.checkpoints.tokenizer_files import find_tokenizer
from bort_mx.checkpoints.weights import Weights
from bort_mx.errors import InputError, RunError
from bort_mx.io.files import beside, clean_leftovers, give_usual_mode, write_json
from bort_mx.io.output import writing
from bort_mx.sentence_embedding import TENSORS

TOLERANCE = 1e-4
"""Largest difference of a float32 file's outputs from the model's, over the largest output where that is above 1."""
Judge = Callable[[Any, Any], List[str]]
"""(model, file) → lines; raises RunError to refuse the file."""
LENGTHS = (1, 2, 17, 128, 512)
TOKENIZER_CONFIG = "tokenizer_config.json"
LARGEST = 2 ** 31 - 2 ** 20
"""A protobuf message must be below 2 GiB; beyond that the weights go to a file of their own."""


def export(weights: Weights, output: os.PathLike, head: Optional[str] = None,
           int8: Union[bool, Quantization] = False, opset: int = 17, seed: int = 0, judge: Optional[Judge] = None,
           choice: Optional[Dict[str, Any]] = None) -> List[str]:
    """Write an ONNX file, compare it with the MXNet model, and only then give it its name.

    Args:
        weights: what a reader gave (`bort_mx.checkpoints.read`).
        output: the file.
        head: "encoder", "mlm" or "classifier"; by default the one that the weights hold.
        int8: quantize (see `onnx_graph`): True for the dynamic form, or another form.
        opset: version of the operators.
        seed: of the random input.
        judge: compares an 8-bit file with the model, on texts; see `bort_mx.inference.int8_quality`. Without it, only
            the shape of the outputs is checked, and that they are finite.
        choice: what to write beside the file for `engine_choice`; without it, an older one there is removed.
    Returns:
        lines that tell what was written and compared.
    Raises:
        InputError: onnx or onnxruntime is not installed; a head that the weights lack, an opset that is not supported,
            a place that cannot be written, or one beside another tokenizer's files, which would be lost.
        RunError: the file computes something else than the model; nothing is left at `output`.
    """
    for package in ("onnx", "onnxruntime"):  # before anything is written
        onnx_model.optional_package(package)
    output = pathlib.Path(output)
    weights = with_head(weights, head)
    form = Quantization() if int8 is True else int8 or None
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give the name of a file")
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        lacks_tokenizer = _lacks_tokenizer(weights, output.parent)
        clean_leftovers(output)
        temporary = beside(output, "tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            write_graph(weights, temporary / output.name, form, opset)
            lines = compare(weights, temporary / output.name, form is not None, seed, judge)
            if lacks_tokenizer:
                weights.tokenizer.save(temporary)
            if choice is not None:
                write_json(engine_choice.place(temporary / output.name), choice)
            engine_choice.place(output).unlink(missing_ok=True)  # it was of the file that goes
            for path in sorted(temporary.iterdir(), key=_place):
                give_usual_mode(path)
                os.replace(path, output.parent / path.name)
        finally:
            shutil.rmtree(temporary)
    return [f"{output}: {weights.config.head}, <D,A,H,I> {weights.config.architecture}, opset {opset}, "
            f"{form.name if form else 'float32'}, {output.stat().st_size / 1e6:.1f} MB", *lines]


def _place(path: pathlib.Path) -> int:
    """The order in which finished files get their place: a kill in between must not leave what looks finished.

    The tokenizer's settings come first: a vocabulary without them would be taken for another tokenizer's. The graph
    comes last.
    """
    return (path.name != TOKENIZER_CONFIG) + 2 * (path.suffix == ".onnx")


def _lacks_tokenizer(weights: Weights, directory: pathlib.Path) -> bool:
    """Whether the tokenizer's files are still to be written; the model's own, such as beside its checkpoint, stay."""
    there = find_tokenizer(directory)
    if weights.tokenizer is None or there is None:
        return weights.tokenizer is not None
    if there.digest != weights.tokenizer.digest:
        raise InputError(f"{directory}: holds another tokenizer's files, which would be lost; export to another folder")
    return not (directory / TOKENIZER_CONFIG).is_file()  # left by an export that was killed


def with_head(weights: Weights, head: Optional[str]) -> Weights:
    """The weights as of a model with this head alone.

    Raises:
        InputError: they lack the head.
    """
    head = head or weights.config.head
    config = weights.config.replace(head=head)
    needed = {"encoder": "encoder.", "mlm": "decoder.", "classifier": "classifier."}[head]
    if not any(name.startswith(needed) for name in weights.tensors):
        raise InputError(f"{weights.source}: has no {head} head to export; it holds {weights.config.head}")
    others = (*(() if config.embedding else (TENSORS,)), *(() if head == "classifier" else ("classifier.",)))
    kept = {name: tensor for name, tensor in weights.tensors.items() if not name.startswith(others)}
    return dataclasses.replace(weights, config=config, tensors=kept)


def write_graph(weights: Weights, path: pathlib.Path, int8: Optional[Quantization], opset: int,
                dense_inputs: bool = False) -> None:
    """Write the graph of `onnx_graph.build`, with the configuration in its metadata."""
    onnx = onnx_model.optional_package("onnx")
    from bort_mx.checkpoints import onnx_graph  # only now, as it needs onnx, which is optional

    model = onnx_graph.build(weights, opset, int8, dense_inputs)
    onnx.helper.set_model_props(model, {onnx_model.METADATA: json.dumps(weights.config.to_dict())})
    apart = sum(len(tensor.raw_data) for tensor in model.graph.initializer) > LARGEST
    onnx.save_model(model, str(path), save_as_external_data=apart, location=f"{path.name}.data" if apart else None)
    onnx.checker.check_model(str(path))


def compare(weights: Weights, path: pathlib.Path, int8: bool, seed: int, judge: Optional[Judge] = None) -> List[str]:
    """Compare a file with the MXNet model on random ids of many lengths, padded and not; an 8-bit one by `judge`.

    Returns:
        lines that tell the largest difference and the tolerance, or what the judge says.
    Raises:
        RunError: a difference beyond the tolerance, or a value that is not finite; or the judge refuses.
    """
    model, exported = assemble(weights), onnx_model.OnnxModel(path)
    worst, agree, total = 0.0, 0, 0
    for ids, lengths, types in _random_batches(weights, seed):
        want = model(mx.nd.array(ids), mx.nd.array(lengths), token_types=mx.nd.array(types)).asnumpy()
        got = exported(ids, lengths, token_types=types)
        if got.shape != want.shape or not np.isfinite(got).all():
            raise RunError(f"{path.name}: of shape {got.shape}, expected {want.shape}, or not finite; not written")
        worst = max(worst, float(np.abs(got - want).max() / max(1.0, np.abs(want).max())))
        agree, total = agree + int((got.argmax(-1) == want.argmax(-1)).sum()), total + want[..., 0].size
    said = [f"output sentence_embedding: {weights.config.embedding}"] if weights.config.embedding else []
    if int8:
        return [*said, *(judge(model, exported) if judge else [])]
    if not worst <= TOLERANCE:
        raise RunError(f"{path.name}: not written, as its largest difference from the MXNet model is {worst:.2e}, "
                       f"above {TOLERANCE:.0e}")
    same = "" if weights.config.head == "encoder" else f"; same best output at {agree} of {total}"
    return [*said,
            f"parity with MXNet over lengths 1 to {max(_lengths(weights))}: largest difference {worst:.2e} "
            f"(tolerance {TOLERANCE:.0e}){same}"]


def _lengths(weights: Weights) -> List[int]:
    return sorted({min(length, weights.config.num_positions) for length in LENGTHS})


def _random_batches(weights: Weights, seed: int) -> Iterator[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Ids (B, s), lengths (B,) and token types (B, s): one sequence of each length alone, and a padded batch of all but
    the longest. In each, a second text begins somewhere, where there are types for it.
    """
    rng, borders = (random.generator(seed, f"export parity{what}") for what in ("", ", second texts"))
    V, types = weights.config.vocab_size, weights.config.token_types
    lengths = _lengths(weights)
    padded = lengths[:-1] or lengths
    for together in (*([length] for length in lengths), padded):
        ids = rng.integers(0, V, (len(together), max(together)))
        begins = borders.integers(0, np.array(together) + 1)
        yield ids, np.array(together), (np.arange(ids.shape[1]) >= begins[:, None]).astype(int) * (types > 1)
