"""AdamW and SGD over named parameters. Their state is saved as plain arrays; nothing is pickled.

For float16 parameters, the optimizer keeps a float32 master copy and updates that one.
"""

import contextlib
import math
from typing import Callable, Dict, Iterator, List, Sequence

import mxnet as mx
import numpy as np

from bort_mx import compiled
from bort_mx.distributed import Workers
from bort_mx.errors import InputError
from bort_mx.training import compiled_adamw
from bort_mx.training.options import OptimizerSettings


class Optimizer:
    """Parameters of a model, their float32 master copies and their state. Subclasses define `_update`.

    Args:
        parameters: Gluon parameters by name.
        weight_decay: λ. A step decays weights by lr·λ (decoupled), but not biases and LayerNorm.
    Attributes:
        units: parameter → a size; it is updated as if the parameter were divided by it. Default: 1 for all.
    """

    slots: List[str] = []
    """Names of the state arrays that each parameter has."""

    def __init__(self, parameters: Dict[str, mx.gluon.Parameter], weight_decay: float = 0.0):
        self.names = [name for name, parameter in parameters.items() if parameter.grad_req != "null"]
        self.parameters = {name: parameters[name] for name in self.names}
        self.weight_decay, self.updates = weight_decay, 0
        self.units: Dict[str, float] = {}
        weights = {name: self.parameters[name].list_data()[0] for name in self.names}
        # float32 weights are their own master copy.
        self.masters = {n: w if w.dtype == np.float32 else w.astype("float32") for n, w in weights.items()}
        self._half = [name for name in self.names if weights[name].dtype != np.float32]
        self._state = {name: [mx.nd.zeros(w.shape, ctx=w.context) for _ in self.slots]
                       for name, w in self.masters.items()}

    def agree(self, workers: Workers) -> None:
        """Make sure that all workers compute the same. All of them call it, before the first step."""

    def weights(self) -> List[mx.nd.NDArray]:
        """The parameters' arrays, in the order of `names`."""
        return [self.parameters[name].list_data()[0] for name in self.names]

    def gradients(self) -> List[mx.nd.NDArray]:
        """The parameters' gradients, in the order of `names`."""
        return [self.parameters[name].list_grad()[0] for name in self.names]

    def step(self, learning_rate: float, scale: float, gradients: Sequence[mx.nd.NDArray]) -> None:
        """Make one update.

        Args:
            learning_rate: the learning rate of this step.
            scale: factor on the gradients, which averages and clips them.
            gradients: the arrays of `gradients()`, possibly summed over workers. They may be overwritten.
        """
        self.updates += 1
        for name, gradient in zip(self.names, gradients):
            weight = self.masters[name]
            gradient = gradient if gradient.dtype == np.float32 else gradient.astype("float32")
            decay = self.weight_decay if decays(name) else 0.0
            unit = self.units.get(name, 1.0)  # of w/unit the gradient is unit·∂L/∂w
            self._update(weight, gradient, self._state[name], learning_rate * unit, scale * unit, decay / unit)
        for name in self._half:
            self.parameters[name].list_data()[0][:] = self.masters[name].astype("float16")

    def state(self) -> Dict[str, np.ndarray]:
        """All that training continues from, except the weights: state arrays, update count, float16's master copies."""
        arrays = {f"{slot}:{name}": array.asnumpy() for name in self.names
                  for slot, array in zip(self.slots, self._state[name])}
        arrays.update({f"master:{name}": self.masters[name].asnumpy() for name in self._half})
        return {**arrays, "updates": np.array([self.updates], np.int64)}

    def load_state(self, arrays: Dict[str, np.ndarray], source: str = "optimizer state") -> None:
        """Restore what `state` returned.

        Raises:
            InputError: the arrays belong to another training; the message names one of them.
        """
        expected = self.state()
        for key in sorted({*arrays, *expected}):
            shapes = [str(found[key].shape) if key in found else "absent" for found in (arrays, expected)]
            if shapes[0] != shapes[1]:
                raise InputError(f"{source}: {key} is {shapes[0]}, of this training {shapes[1]}; it belongs to another "
                                 "model, optimizer, training set or version of this program; start anew in another "
                                 "--output-dir")
        for name in self.names:
            for slot, array in zip(self.slots, self._state[name]):
                array[:] = arrays[f"{slot}:{name}"]
        for name in self._half:
            self.masters[name][:] = arrays[f"master:{name}"]
        self.updates = int(arrays["updates"][0])

    def settle(self) -> None:
        """Apply updates that a subclass has put off, so that the model's weights are current.

        When it is called may depend on the step number only. Otherwise a resumed run would round differently from an
        uninterrupted one.
        """

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """In this block the model's weights are current; afterwards they are as before. May be used at any time."""
        yield

    def _update(self, weight, gradient, state, learning_rate: float, scale: float, decay: float) -> None:
        """weight ← weight·(1 − learning_rate·decay) − the update that the method derives from gradient·scale."""
        raise NotImplementedError


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017), with the same arithmetic as PyTorch's AdamW.

    Args:
        bias_correction: divide the moments by 1 − βᵗ, as PyTorch does. The original BERT does not.
    """

    slots = ["mean", "variance"]

    def __init__(self, parameters, weight_decay: float = 0.01, beta1: float = 0.9, beta2: float = 0.999,
                 epsilon: float = 1e-8, bias_correction: bool = True):
        super().__init__(parameters, weight_decay)
        self._beta1, self._beta2, self._epsilon, self._bias_correction = beta1, beta2, epsilon, bias_correction
        self._compiled = True

    def agree(self, workers: Workers) -> None:
        """The compiled update if all workers have a compiler: MXNet's operator rounds otherwise."""
        if workers.size > 1:
            self._compiled = all(workers.gather(compiled_adamw.adamw() is not None, "compiled AdamW"))

    def _update(self, weight, gradient, state, learning_rate, scale, decay):
        mean, variance = state
        # PyTorch: w −= η·(m/c₁) / (√(v/c₂) + ε), with c₁ = 1 − β₁ᵗ and c₂ = 1 − β₂ᵗ. Multiplied by √c₂ this is
        # η·(√c₂/c₁)·m / (√v + ε·√c₂), which the operator computes with lr = √c₂/c₁ and epsilon = ε·√c₂.
        root, correction = 1.0, 1.0
        if self._bias_correction:
            root, correction = math.sqrt(1 - self._beta2 ** self.updates), 1 - self._beta1 ** self.updates
        update = compiled_adamw.adamw() if self._compiled and compiled.fits(weight, gradient, mean, variance) else None
        if update is not None:
            update((weight, gradient, mean, variance), (scale, self._beta1, self._beta2, root / correction,
                                                        self._epsilon * root, learning_rate, decay))
            return
        scale = mx.nd.array([scale], ctx=weight.context)  # the operator accepts an array only
        # The operator for several arrays takes half the time of `adamw_update`, also with one array.
        mx.nd.contrib.multi_adamw_update([weight], [gradient], [mean], [variance], scale, lrs=[root / correction],
                                         wds=[decay], etas=[learning_rate], beta1=self._beta1, beta2=self._beta2,
                                         epsilon=self._epsilon * root, out=[weight])


class SGD(Optimizer):
    """Plain stochastic gradient descent, as in the paper's search (§3.3)."""

    def _update(self, weight, gradient, state, learning_rate, scale, decay):
        if decay:
            weight *= 1 - learning_rate * decay  # decoupled from the gradient step, as in AdamW
        mx.nd.sgd_update(weight, gradient, lr=learning_rate, wd=0.0, rescale_grad=scale, out=weight)


OPTIMIZERS: Dict[str, Callable[[Dict[str, mx.gluon.Parameter], OptimizerSettings], Optimizer]] = {
    "adamw": lambda parameters, of: AdamW(parameters, of.weight_decay, of.beta1, of.beta2, of.epsilon),
    "sgd": lambda parameters, of: SGD(parameters, of.weight_decay),
}
"""Value of --optimizer → function that builds the optimizer."""


def build_optimizer(parameters: Dict[str, mx.gluon.Parameter], settings: OptimizerSettings) -> Optimizer:
    """Build the optimizer of a training. Every stage calls this."""
    return OPTIMIZERS[settings.name](parameters, settings)


def decays(name: str) -> bool:
    """Whether weight decay applies to a parameter: all but biases and LayerNorm."""
    return not name.endswith(("bias", "gamma", "beta"))
