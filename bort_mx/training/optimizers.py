"""AdamW and SGD over named parameters, with their state as plain arrays (nothing is pickled).

Half-precision parameters keep a float32 master copy here.
"""

import contextlib
import math
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence

import mxnet as mx
import numpy as np

from bort_mx.errors import InputError


class Optimizer:
    """The parameters of a model, their master copies and state; subclasses give `_update`.

    Args:
        parameters: Gluon parameters by name.
        weight_decay: λ; the decay of a step is lr·λ (decoupled), none on biases and LayerNorm.
    """

    slots: List[str] = []
    """Names of the state arrays a parameter has."""

    def __init__(self, parameters: Dict[str, mx.gluon.Parameter], weight_decay: float = 0.0):
        self.names = [name for name, parameter in parameters.items() if parameter.grad_req != "null"]
        self.parameters = {name: parameters[name] for name in self.names}
        self.weight_decay, self.updates = weight_decay, 0
        weights = {name: self.parameters[name].list_data()[0] for name in self.names}
        self.masters = {n: w if w.dtype == np.float32 else w.astype("float32") for n, w in weights.items()}
        self._half = [name for name in self.names if weights[name].dtype != np.float32]
        self._state = {name: [mx.nd.zeros(w.shape, ctx=w.context) for _ in self.slots]
                       for name, w in self.masters.items()}

    def weights(self) -> List[mx.nd.NDArray]:
        """The parameters' arrays, in a fixed order."""
        return [self.parameters[name].list_data()[0] for name in self.names]

    def gradients(self) -> List[mx.nd.NDArray]:
        """The parameters' gradients, in the same order."""
        return [self.parameters[name].list_grad()[0] for name in self.names]

    def step(self, learning_rate: float, scale: float, gradients: Sequence[mx.nd.NDArray]) -> None:
        """One update.

        Args:
            learning_rate: of this step.
            scale: what the gradients are multiplied by, to average and to clip.
            gradients: what `gradients()` gave, perhaps summed over workers since; their arrays may be scaled.
        """
        self.updates += 1
        for name, gradient in zip(self.names, gradients):
            weight = self.masters[name]
            gradient = gradient if gradient.dtype == np.float32 else gradient.astype("float32")
            decay = self.weight_decay if decays(name) else 0.0
            self._update(weight, gradient, self._state[name], learning_rate, scale, decay)
        for name in self._half:
            self.parameters[name].list_data()[0][:] = self.masters[name].astype("float16")

    def state(self) -> Dict[str, np.ndarray]:
        """Everything to go on from, beside the weights: the slots, the count of updates, half precision's masters."""
        arrays = {f"{slot}:{name}": array.asnumpy() for name in self.names
                  for slot, array in zip(self.slots, self._state[name])}
        arrays.update({f"master:{name}": self.masters[name].asnumpy() for name in self._half})
        return {**arrays, "updates": np.array([self.updates], np.int64)}

    def load_state(self, arrays: Dict[str, np.ndarray], source: str = "optimizer state") -> None:
        """The inverse of `state`.

        Raises:
            InputError: arrays of another training; the message names one.
        """
        expected = self.state()
        for key in sorted({*arrays, *expected}):
            shapes = [str(found[key].shape) if key in found else "absent" for found in (arrays, expected)]
            if shapes[0] != shapes[1]:
                raise InputError(f"{source}: {key} is {shapes[0]}, of this training {shapes[1]}; it is of another "
                                 "model, optimizer, training set or version of this program; start anew in another "
                                 "--output-dir")
        for name in self.names:
            for slot, array in zip(self.slots, self._state[name]):
                array[:] = arrays[f"{slot}:{name}"]
        for name in self._half:
            self.masters[name][:] = arrays[f"master:{name}"]
        self.updates = int(arrays["updates"][0])

    def settle(self) -> None:
        """Do to the model's weights what a subclass has put off, before an evaluation: only where a step's number alone
        says so, that a resumed run rounds as one that was never stopped.
        """

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """The model's weights for a reader at any time: settled within the block, and afterwards as they were."""
        yield

    def _update(self, weight, gradient, state, learning_rate: float, scale: float, decay: float) -> None:
        """weight ← weight·(1 − learning_rate·decay) − the rule's step along gradient·scale."""
        raise NotImplementedError


class AdamW(Optimizer):
    """Loshchilov & Hutter (2017): Adam with decoupled weight decay; the same arithmetic as PyTorch's.

    Args:
        bias_correction: divide the moments by 1 − βᵗ (True as in PyTorch; the original BERT leaves it out).
    """

    slots = ["mean", "variance"]

    def __init__(self, parameters, weight_decay: float = 0.01, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, bias_correction: bool = True):
        super().__init__(parameters, weight_decay)
        self._beta1, self._beta2, self._epsilon, self._bias_correction = beta1, beta2, epsilon, bias_correction

    def _update(self, weight, gradient, state, learning_rate, scale, decay):
        mean, variance = state
        root, correction = 1.0, 1.0
        if self._bias_correction:
            root, correction = math.sqrt(1 - self._beta2 ** self.updates), 1 - self._beta1 ** self.updates
        scale = mx.nd.array([scale], ctx=weight.context)  # the operator takes it as an array only
        mx.nd.contrib.adamw_update(weight, gradient, mean, variance, scale, lr=root / correction, eta=learning_rate,
                                   wd=decay, beta1=self._beta1, beta2=self._beta2, epsilon=self._epsilon * root,
                                   out=weight)


class SGD(Optimizer):
    """Plain stochastic gradient descent (paper §3.3)."""

    def _update(self, weight, gradient, state, learning_rate, scale, decay):
        if decay:
            weight *= 1 - learning_rate * decay
        mx.nd.sgd_update(weight, gradient, lr=learning_rate, wd=0.0, rescale_grad=scale, out=weight)


class OptimizerSettings(NamedTuple):
    """Which optimizer, and its hyperparameters; an optimizer ignores those that it does not have."""

    name: str = "adamw"
    """One of `OPTIMIZERS`."""
    weight_decay: float = 0.01
    """λ, decoupled."""
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


OPTIMIZERS: Dict[str, Callable[[Dict[str, mx.gluon.Parameter], OptimizerSettings], Optimizer]] = {
    "adamw": lambda parameters, of: AdamW(parameters, of.weight_decay, of.beta1, of.beta2, of.epsilon),
    "sgd": lambda parameters, of: SGD(parameters, of.weight_decay),
}
"""By the name that --optimizer takes."""


def build_optimizer(parameters: Dict[str, mx.gluon.Parameter], settings: OptimizerSettings) -> Optimizer:
    """The optimizer of a training; every stage makes its own here."""
    return OPTIMIZERS[settings.name](parameters, settings)


def decays(name: str) -> bool:
    """Whether weight decay applies to a parameter: not to biases and LayerNorm."""
    return not name.endswith(("bias", "gamma", "beta"))
