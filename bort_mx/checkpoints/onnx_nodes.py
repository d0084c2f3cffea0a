"""The nodes of an ONNX graph: constants, weights, and the layers that the parts of a model share.

Dimensions: B batch, s length.
"""

import math
from typing import Dict, List, Optional, Tuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bort_mx.checkpoints.quantization import CALIBRATED, Quantization, quantized, scale_and_zero
from bort_mx.checkpoints.weights import Weights

NATIVE_LAYER_NORM = 17
"""From this opset on LayerNormalization is one node; before, it is written out."""


class Nodes:
    """Collects nodes and weights; every method that adds a node returns the name of its output.

    Args:
        weights: what some reader gave.
        opset: the version of ONNX's operators.
        int8: the form of matrices in 8 bits; None: float32.
    """

    def __init__(self, weights: Weights, opset: int, int8: Optional[Quantization]):
        self._config, self._opset, self._int8, self._weights = weights.config, opset, int8, weights
        self._nodes: List[onnx.NodeProto] = []
        self._initializers: Dict[str, onnx.TensorProto] = {}
        self._quantized: Dict[str, Tuple[str, ...]] = {}
        self._dense_inputs: Dict[str, str] = {}

    def _keep(self, name: str, values: np.ndarray) -> str:
        """Store an array once."""
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(np.asarray(values, order="C"), name)
        return name

    def _weight(self, name: str) -> str:
        return name if name in self._initializers else self._keep(name, self._weights.float32(name))

    def _weight_int8(self, name: str, transposed: bool, multiplied: bool = True) -> Tuple[str, str]:
        """A matrix (out, in) in integers, perhaps transposed, and its scales (out,). One that is only looked up in has
        8 bits.
        """
        key = f"{name}.int8" + (".T" if transposed else "")
        if key not in self._initializers:
            values, scales = quantized(self._weights.float32(name), self._int8.weight_bits if multiplied else 8)
            self._keep(key, values.T if transposed else values)
            self._keep(f"{name}.scale", scales)
        return key, f"{name}.scale"

    def _constant(self, values, kind: type) -> str:
        array = np.asarray(values, kind)
        return self._keep(f"constant_{array.dtype}_{'x'.join(map(str, np.ravel(values)))}_{array.ndim}", array)

    def _ints(self, *values: int) -> str:
        return self._constant(values, np.int64)

    def _number(self, value: float) -> str:
        return self._constant(value, np.float32)

    def _add(self, kind: str, *inputs: str, name: Optional[str] = None, **attributes) -> str:
        output = name or f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], name=f"node_{output}", **attributes))
        return output

    def _dense(self, x: str, module: str, name: Optional[str] = None) -> str:
        """x Wᵀ + b; MatMul wants W as (in, out)."""
        key = f"{module}.weight"
        if module.startswith(CALIBRATED):
            self._dense_inputs[module] = x
        if self._int8 is None or not self._int8.covers(module):
            product = self._add("MatMul", x, self._keep(f"{key}.T", self._weights.float32(key).T))
        elif self._int8.ranges is None:
            product = self._matmul_int8(x, *self._weight_int8(key, transposed=True))
        else:
            product = self._matmul_static(x, *self._weight_int8(key, transposed=True), self._int8.ranges[module])
        return self._add("Add", self._weight(f"{module}.bias"), product, name=name)

    def _matmul_int8(self, x: str, matrix: str, scales: str) -> str:
        """x times a matrix (in, out) in 8 bits; x is quantized over its own range, once for all its users."""
        if x not in self._quantized:
            self._quantized[x] = tuple(f"{x}_{part}" for part in ("int8", "scale", "zero"))
            outputs = list(self._quantized[x])
            self._nodes.append(helper.make_node("DynamicQuantizeLinear", [x], outputs, f"quantize_{x}"))
        values, scale, zero = self._quantized[x]
        product = self._add("Cast", self._add("MatMulInteger", values, matrix, zero), to=TensorProto.FLOAT)
        return self._add("Mul", product, self._add("Mul", scale, scales))

    def _matmul_static(self, x: str, matrix: str, scales: str, ends: Tuple[float, float]) -> str:
        """x times a matrix (in, out) in 8 bits; x is quantized over a known range. Engines fuse the nodes."""
        if x not in self._quantized:
            scale, zero = scale_and_zero(*ends)
            scale, zero = self._keep(f"{x}_scale", scale), self._keep(f"{x}_zero", zero)
            values = self._add("QuantizeLinear", x, scale, zero)
            self._quantized[x] = (self._add("DequantizeLinear", values, scale, zero),)
        zeros = self._keep(f"{matrix}.zero", np.zeros(self._initializers[scales].dims, np.int8))
        columns = self._add("DequantizeLinear", matrix, scales, zeros, axis=1)
        return self._add("MatMul", *self._quantized[x], columns)

    def _layer_norm(self, x: str, module: str) -> str:
        gamma, beta = self._weight(f"{module}.gamma"), self._weight(f"{module}.beta")
        epsilon = self._config.layer_norm_eps
        if self._opset >= NATIVE_LAYER_NORM:
            return self._add("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)
        centred = self._add("Sub", x, self._add("ReduceMean", x, axes=[-1]))
        variance = self._add("ReduceMean", self._add("Pow", centred, self._number(2.0)), axes=[-1])
        deviation = self._add("Sqrt", self._add("Add", variance, self._number(epsilon)))
        return self._add("Add", self._add("Mul", self._add("Div", centred, deviation), gamma), beta)

    def _activated(self, name: str, x: str) -> str:
        """One of the activations of an encoder (`ModelConfig.activation`) or of a dense layer of an embedding."""
        if name in ("tanh", "relu", "sigmoid"):
            return self._add(name.capitalize(), x)
        if name == "silu":
            return self._add("Mul", x, self._add("Sigmoid", x))
        return x if name == "identity" else self._gelu_tanh(x) if name == "gelu_tanh" else self._gelu(x)

    def _gelu_tanh(self, x: str) -> str:
        """x/2 · (1 + tanh(√(2/π)(x + 0.044715x³)))."""
        cube = self._add("Mul", self._add("Pow", x, self._number(3.0)), self._number(0.044715))
        inner = self._add("Mul", self._add("Add", x, cube), self._number(math.sqrt(2 / math.pi)))
        outer = self._add("Add", self._add("Tanh", inner), self._number(1.0))
        return self._add("Mul", self._add("Mul", x, self._number(0.5)), outer)

    def _gelu(self, x: str) -> str:
        """x/2 · (1 + erf(x/√2))."""
        erf = self._add("Erf", self._add("Div", x, self._number(math.sqrt(2.0))))
        return self._add("Mul", self._add("Mul", x, self._add("Add", erf, self._number(1.0))), self._number(0.5))
