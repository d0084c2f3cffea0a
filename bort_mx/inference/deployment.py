"""The fastest form of a model that keeps its score on this machine: `bort-mx export --auto`.

A candidate is a form of the file (float32, or dense layers in 8 bits in several ways) run by an engine. Each is written
to a temporary folder and timed; then, the fastest first, its score is taken until one holds.

B batch, s length.
"""

import dataclasses
import gc
import importlib.util
import pathlib
import tempfile
import time
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np

from bort_mx import machine, runtime
from bort_mx.checkpoints.onnx_export import write_graph
from bort_mx.checkpoints.quantization import Calibration, Quantization
from bort_mx.data.input_texts import Text
from bort_mx.errors import InputError
from bort_mx.inference.engines import describe_cpu, open_by
from bort_mx.inference.pipeline import encode_texts, evenly, pad
from bort_mx.inference.yardstick import Yardstick

SAMPLE, BATCH = 32, 16
"""Texts that are timed, and texts of a batch."""
FINALISTS = 4
"""Candidates that are timed a second time, in turn: other work on the machine then slows all of them."""
PURPOSES = ("single", "batch")

Batch = Dict[str, Optional[np.ndarray]]


@dataclasses.dataclass
class Candidate:
    """A form of the file, and the engine that runs it."""

    engine: str
    """Of `bort_mx.inference.engines.ONNX_ENGINES`."""
    form: Optional[Quantization] = None
    """None: float32."""
    single: float = float("inf")
    """Seconds of one text alone, the mean over the sample."""
    batch: float = float("inf")
    """Seconds of a text in a batch of 16 of similar length, the mean over the sample."""
    score: Optional[float] = None
    """In percent, as `Yardstick` says; None: not taken, as a faster one held."""
    failure: str = ""
    """Why it could not run."""

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.form.name if self.form else 'float32'}, {self.engine}"

    def line(self) -> str:
        """A row of the report."""
        if self.failure:
            return f"  {self.name}: cannot run: {self.failure}"
        score = "not scored, as a faster one held" if self.score is None else f"{self.score:.2f}"
        return f"  {self.name}: {self.single * 1e3:.1f} ms alone, {self.batch * 1e3:.1f} ms in a batch; {score}"


def installed_engines() -> List[str]:
    """The engines of this machine."""
    found = ["onnxruntime"]
    if importlib.util.find_spec("openvino") is not None:
        found.append("openvino")
        found += ["openvino-bf16"] * machine.instructions()["bf16"]
    return found


def candidates(calibration: Calibration, engines: Sequence[str]) -> List[Candidate]:
    """What is worth trying here.

    Weights of 7 bits replace 8 on CPUs without VNNI, where ONNX Runtime's sums of 8-bit products can overflow. OpenVINO
    runs the dynamic form node by node, slower than float32, so it gets the static one. bfloat16 is for float32 files.
    """
    bits, quarter = machine.weight_bits(), -(-len(calibration.ranges) // 4)
    forms = {"dynamic": Quantization(bits), "static": Quantization(bits, calibration.ranges),
             "dynamic-most": Quantization(bits, None, calibration.worst(quarter)),
             "static-most": Quantization(bits, calibration.ranges, calibration.worst(quarter))}
    found = [Candidate("onnxruntime"), *(Candidate("onnxruntime", form) for form in forms.values())]
    if "openvino" in engines:
        found += [Candidate("openvino"), Candidate("openvino", Quantization(8, calibration.ranges)),
                  Candidate("openvino", Quantization(8, calibration.ranges, calibration.worst(quarter)))]
    return found + [Candidate("openvino-bf16")] * ("openvino-bf16" in engines)


def choose(weights: Any, calibration: Calibration, yardstick: Yardstick, opset: int, within: float,
           purpose: str) -> Tuple[Candidate, List[Candidate]]:
    """Write, time and score candidates.

    Args:
        weights: with the head that is to be exported, and a tokenizer.
        calibration: of the dense layers.
        yardstick: what has to hold.
        opset: version of ONNX's operators.
        within: points that the score may lose on float32.
        purpose: "single": the least time of one text alone; "batch": of texts in batches.
    Returns:
        the fastest that holds, and all of them, fastest first.
    Raises:
        InputError: not even float32 runs, or a text or the task does not fit the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        every = candidates(calibration, installed_engines())
        paths = _write(weights, every, pathlib.Path(folder), opset)
        alone, batched = workload(weights, yardstick.texts)
        for candidate in every:
            _time_one(candidate, paths, alone, batched)
        every.sort(key=lambda candidate: getattr(candidate, purpose))
        _time_in_turn([c for c in every[:FINALISTS] if not c.failure], paths, alone, batched)
        every.sort(key=lambda candidate: getattr(candidate, purpose))
        base = next(c for c in every if c.form is None and c.engine == "onnxruntime")
        if base.failure:
            raise InputError(f"{weights.source}: its float32 file does not run ({base.failure})")
        base.score = yardstick.score(open_by(paths[_key(base)], base.engine))
        for candidate in every:
            if candidate.failure:
                continue
            if candidate.score is None:
                candidate.score = yardstick.score(open_by(paths[_key(candidate)], candidate.engine))
            if candidate.score >= base.score - within:  # float32 in ONNX Runtime always does
                return candidate, every
    raise AssertionError("float32 holds beside itself")


def workload(weights: Any, texts: Sequence[Text]) -> Tuple[List[Batch], List[Batch]]:
    """Texts of all lengths that occur, alone and in batches by length."""
    ids, _ = encode_texts(weights, weights.tokenizer, evenly(texts, 8 * SAMPLE))
    ids = sorted(ids, key=len)
    ids = [ids[i] for i in np.linspace(0, len(ids) - 1, min(SAMPLE, len(ids))).round().astype(int)]

    def made(size: int) -> List[Batch]:
        """Padded batches of a size."""
        return [pad(ids[begin:begin + size], weights.tokenizer, weights.config.token_types)
                for begin in range(0, len(ids), size)]

    return made(1), made(BATCH)


def _key(candidate: Candidate) -> str:
    return candidate.form.name if candidate.form else "float32"


def _write(weights: Any, every: Sequence[Candidate], folder: pathlib.Path, opset: int) -> Dict[str, pathlib.Path]:
    """A file for each form, with the configuration, without a tokenizer."""
    paths: Dict[str, pathlib.Path] = {}
    for candidate in every:
        key = _key(candidate)
        if key not in paths:
            paths[key] = folder / f"{len(paths)}.onnx"
            write_graph(weights, paths[key], candidate.form, opset)
    return paths


def _time_one(candidate: Candidate, paths: Dict[str, pathlib.Path], alone: Sequence[Batch],
              batched: Sequence[Batch]) -> None:
    """Open, warm up and time once; an engine that cannot run the file is noted, not fatal."""
    try:
        model = open_by(paths[_key(candidate)], candidate.engine)
        for batch in (*alone, *batched):  # engines compile for each new shape
            _run(model, batch)
    except (InputError, RuntimeError) as error:  # RuntimeError: OpenVINO's
        candidate.failure = " ".join(str(error).split())[:120]
        return
    candidate.single, candidate.batch = (_seconds(model, batches) for batches in (alone, batched))
    del model
    gc.collect()


def _time_in_turn(finalists: Sequence[Candidate], paths: Dict[str, pathlib.Path], alone: Sequence[Batch],
                  batched: Sequence[Batch], rounds: int = 3) -> None:
    """Time the fastest again, in turn, and keep the median of the rounds."""
    models = [open_by(paths[_key(candidate)], candidate.engine) for candidate in finalists]
    for model in models:
        for batch in (*alone, *batched):
            _run(model, batch)
    times = np.array([[[_seconds(model, batches) for batches in (alone, batched)] for model in models]
                      for _ in range(rounds)])  # (rounds, finalists, 2)
    for candidate, (single, batch) in zip(finalists, np.median(times, axis=0)):
        candidate.single, candidate.batch = float(single), float(batch)


def _seconds(model: Any, batches: Sequence[Batch]) -> float:
    """Mean seconds of a text."""
    begin = time.perf_counter()
    for batch in batches:
        _run(model, batch)
    return (time.perf_counter() - begin) / sum(len(batch["ids"]) for batch in batches)


def _run(model: Any, batch: Batch) -> None:
    positions = np.ones((len(batch["ids"]), 1), np.int64) if model.config.head == "mlm" else None
    model(batch["ids"], batch["lengths"], positions, batch["types"])


def record(chosen: Candidate, every: Sequence[Candidate], yardstick: Yardstick, within: float,
           purpose: str) -> Dict[str, Any]:
    """What is written beside the file; `bort_mx.inference.engines` reads the engine from it."""
    base = next(c for c in every if c.form is None and c.engine == "onnxruntime")
    rows = [{"form": _key(c), "engine": c.engine, "ms_alone": _ms(c.single), "ms_in_batch": _ms(c.batch),
             "score": c.score, **({"failure": c.failure} if c.failure else {})} for c in every]
    return {"engine": chosen.engine, "form": _key(chosen), "cpu": describe_cpu(), "threads": runtime.set_threads(),
            "fastest_for": purpose, "measured_by": yardstick.name, "score": chosen.score,
            "float32_score": base.score, "within": within, "candidates": rows}


def _ms(seconds: float) -> Optional[float]:
    return round(seconds * 1e3, 3) if np.isfinite(seconds) else None


def report(chosen: Candidate, every: Sequence[Candidate], yardstick: Yardstick, within: float,
           purpose: str) -> Iterator[str]:
    """What was tried, what was chosen and why, in lines."""
    base = next(c for c in every if c.form is None and c.engine == "onnxruntime")
    yield f"tried on {describe_cpu()}, {runtime.set_threads()} threads; {yardstick.name}, float32 {base.score:.2f}:"
    yield from (candidate.line() for candidate in every)
    faster = getattr(base, purpose) / getattr(chosen, purpose)
    dropped = [c for c in every[:every.index(chosen)] if not c.failure]
    why = f"; {len(dropped)} faster ones lose more" if dropped else ""
    yield (f"chosen: {chosen.name}: {faster:.2f} times as fast as float32 in ONNX Runtime "
           f"({'one text alone' if purpose == 'single' else 'in batches'}), score {chosen.score:.2f} within {within} "
           f"points of it{why}")
