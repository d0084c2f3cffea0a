"""What runs an encoder: this project and the peers that are installed, for `side_by_side`.

Each maker gets <D, A, H, I> as a list and returns what does one forward pass of "BxS", of random ids and no padding.
"""

import os
import pathlib
import sys
import tempfile
from typing import Callable, Dict, List, Tuple

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"

from side_by_side import Maker, Missing, Work  # noqa: E402

from bort_mx import runtime  # noqa: E402
from bort_mx.machine import instructions  # noqa: E402

VOCABULARY, LONGEST = 50265, 512
THREADS = runtime.set_threads()
FILES = tempfile.TemporaryDirectory()
"""Where a process puts ONNX files, unless it is told another folder; deleted when the process ends."""


def ids_of(case: str) -> np.ndarray:
    """Random ids (B, s)."""
    return np.random.default_rng(0).integers(5, VOCABULARY - 5, tuple(map(int, case.split("x"))))


def mxnet_encoder(shape: List[int]) -> Work:
    """This project's model on MXNet, in the form that `bort_mx.pipeline` runs."""
    import mxnet as mx

    from bort_mx.architecture import Architecture
    from bort_mx.models import build_model
    from bort_mx.models.inference_form import set_for_inference

    model = build_model(Architecture(*shape), VOCABULARY, num_positions=LONGEST, dropout=0.0)
    set_for_inference(model)

    def work(case: str) -> mx.nd.NDArray:
        """One forward pass: hidden states (B, s, H)."""
        states = model(mx.nd.array(ids_of(case)))
        states.wait_to_read()
        return states
    return work


def exported(shape: List[int], int8: bool, folder: str) -> str:
    """The path of this project's ONNX file of a model in a folder; written if no other peer has done so."""
    from bort_mx.architecture import Architecture
    from bort_mx.checkpoints import directory
    from bort_mx.checkpoints.onnx_export import write_graph
    from bort_mx.checkpoints.quantization import Quantization
    from bort_mx.checkpoints.weights import Weights
    from bort_mx.models import build_model

    path = pathlib.Path(folder) / f"{'-'.join(map(str, shape))}-{'int8' if int8 else 'fp32'}.onnx"
    whole = path.with_suffix(".whole")  # a process may die while it writes
    if not whole.exists():
        model = build_model(Architecture(*shape), VOCABULARY, num_positions=LONGEST, dropout=0.0)
        weights = Weights(model.config, directory.tensors_of(model), None, "benchmark")
        write_graph(weights, path, Quantization() if int8 else None, opset=17)
        whole.touch()
    return str(path)


def feed(case: str) -> Dict[str, np.ndarray]:
    """The inputs of an ONNX file."""
    ids = ids_of(case).astype(np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def onnx_runtime(shape: List[int], int8: bool, folder: str = FILES.name) -> Work:
    """This project's ONNX file on ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(exported(shape, int8, folder), options, providers=["CPUExecutionProvider"])
    names = {entry.name for entry in session.get_inputs()}
    return lambda case: session.run(None, {name: a for name, a in feed(case).items() if name in names})


def openvino(shape: List[int], precision: str, folder: str = FILES.name) -> Work:
    """This project's ONNX file on OpenVINO."""
    refuse_emulated(precision)
    import openvino as ov

    model = ov.Core().compile_model(exported(shape, False, folder), "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS})
    names = {name for entry in model.inputs for name in entry.names}
    return lambda case: model({name: array for name, array in feed(case).items() if name in names})


def pytorch(shape: List[int], kind: str) -> Work:
    """transformers' model on PyTorch: eager, compiled, or eager in bf16."""
    refuse_emulated(kind)
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    D, A, H, I = shape
    model = transformers.BertModel(transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=H, num_hidden_layers=D, num_attention_heads=A, intermediate_size=I,
        max_position_embeddings=LONGEST), add_pooling_layer=False).eval()
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    run = torch.compile(model) if kind == "compiled" else model

    def work(case: str) -> None:
        """One forward pass."""
        with torch.inference_mode():
            run(input_ids=torch.from_numpy(ids_of(case).astype(np.int64)))
    return work


def refuse_emulated(precision: str) -> None:
    """Raises Missing if the processor would emulate a precision."""
    if precision == "bf16" and not instructions()["bf16"]:
        raise Missing("the processor has no bf16 instructions, so bf16 would be emulated")


def gemm(size: int, repeats: int) -> Work:
    """MXNet's product of two square float32 matrices, `repeats` times."""
    import mxnet as mx

    left, right = (mx.nd.random.uniform(shape=(size, size)) for _ in range(2))

    def work(_) -> mx.nd.NDArray:
        """All products; the last one."""
        for _ in range(repeats):
            product = mx.nd.dot(left, right)
            product.wait_to_read()
        return product
    return work


ENCODERS: Dict[str, Tuple[Maker, Tuple]] = {
    "bort_mx on MXNet": (mxnet_encoder, ()),
    "bort_mx's ONNX file, ONNX Runtime fp32": (onnx_runtime, (False,)),
    "bort_mx's ONNX file, ONNX Runtime int8": (onnx_runtime, (True,)),
    "PyTorch eager": (pytorch, ("eager",)),
    "PyTorch compiled": (pytorch, ("compiled",)),
    "PyTorch bf16": (pytorch, ("bf16",)),
    "OpenVINO fp32": (openvino, ("f32",)),
    "OpenVINO bf16": (openvino, ("bf16",)),
}
"""Name → the maker, and its arguments after the architecture."""


def encoders(shape: Tuple[int, ...]) -> Dict[str, Tuple[Callable, Tuple]]:
    """All of them for one architecture; they share the ONNX files of this process."""
    return {name: (maker, (list(shape), *rest, *([FILES.name] if maker in (onnx_runtime, openvino) else [])))
            for name, (maker, rest) in ENCODERS.items()}
