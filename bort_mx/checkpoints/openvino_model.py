"""An ONNX file that `bort-mx export` wrote, run by OpenVINO."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from bort_mx.checkpoints.onnx_model import METADATA, OnnxModel, optional_package


class OpenVinoModel(OnnxModel):
    """As `OnnxModel`, in float32 (but the layers that the file has in 8 bits)."""

    engine, package, precision = "OpenVINO", "openvino", "f32"

    def _open(self, threads: int) -> None:
        core = optional_package(self.package).Core()
        self._model = core.read_model(str(self.path))
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": self.precision}
        self._request = core.compile_model(self._model, "CPU", settings).create_infer_request()

    def _metadata(self) -> Optional[str]:
        path = ["framework", METADATA]  # OpenVINO keeps an ONNX file's metadata there
        return self._model.get_rt_info(path).astype(str) if self._model.has_rt_info(path) else None

    def _signature(self) -> Tuple[List[str], Any]:
        last = self._model.outputs[0].get_partial_shape()[-1]
        return [value.any_name for value in self._model.inputs], last.get_length() if last.is_static else None

    def _run(self, feed: Dict[str, np.ndarray], output: int) -> np.ndarray:
        return self._request.infer(feed)[output].copy()  # the next call overwrites it


class OpenVinoBfloat16Model(OpenVinoModel):
    """The same, with bfloat16 products; for CPUs that have them."""

    precision = "bf16"
