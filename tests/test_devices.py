"""The device of a worker, and why it has no GPU."""

import mxnet as mx
import pytest

from bort_mx.devices import device_of
from bort_mx.distributed import Workers
from bort_mx.errors import InputError


class Second(Workers):
    """The second worker of a host."""

    local_rank = 1


@pytest.mark.parametrize("cuda, found, workers, said", [
    (False, 0, Workers(), "this MXNet is built without CUDA; make install CUDA=cu112 "),
    (True, 0, Workers(), "MXNet finds no GPU; see `python -m bort_mx doctor`"),
    (True, 1, Second(), "worker 1 of this host is one too many, as MXNet finds 1 GPU; start 1 here")])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_why_there_is_no_gpu(monkeypatch, cuda, found, workers, said, dtype):
    class Features:
        """What MXNet is built with."""

        def is_enabled(self, name):
            """Whether it has CUDA."""
            return {"CUDA": cuda}[name]

    monkeypatch.setattr(mx.runtime, "Features", Features)
    monkeypatch.setattr(mx.context, "num_gpus", lambda: found)
    with pytest.raises(InputError) as caught:
        device_of("gpu", workers, dtype)
    assert str(caught.value).startswith("--device gpu: " + said) and "--device cpu" in str(caught.value)
    assert device_of("auto", workers) == device_of("cpu", workers) == mx.cpu()
    with pytest.raises(InputError, match="--dtype float16 needs a GPU: .*, or take --dtype float32"):
        device_of("auto", workers, "float16")
    with pytest.raises(InputError, match="needs a GPU, not --device cpu; take --dtype float32"):
        device_of("cpu", workers, "float16")


def test_a_worker_gets_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(mx.context, "num_gpus", lambda: 2)
    assert device_of("gpu", Second(), "float16") == mx.gpu(1) and device_of("auto", Workers()) == mx.gpu(0)
