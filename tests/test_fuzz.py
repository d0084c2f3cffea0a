"""Every reader on damaged input: it reads it, or refuses it with one line.

FUZZ_ROUNDS sets how many inputs each reader gets, and FUZZ_SEED which; `make fuzz` gives many.
"""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROUNDS, SEED = int(os.environ.get("FUZZ_ROUNDS", "25")), int(os.environ.get("FUZZ_SEED", "0"))


def test_every_reader_reads_damaged_input_or_refuses_it_in_one_line():
    """No other exception, nothing longer than 10 s, no more memory than 1.5 GB, no crash of a library."""
    for needed in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(needed)
    done = subprocess.run([sys.executable, str(ROOT / "tests/fuzzing/fuzz.py"), "--rounds", str(ROUNDS), "--seed",
                           str(SEED)], capture_output=True, text=True, timeout=600 + 5 * ROUNDS, check=False,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failures"] == {}
    assert found["inputs"] >= 40 * ROUNDS and min(found["read"], found["refused"]) > 5 * ROUNDS


BOMBS = {
    "run.yaml": ("parse_options", "data: *z\n"), "task.yaml": ("get_task", "files: *z\n"),
    "space.yaml": ("read_space", "architectures: *z\n"), "theta.yaml": ("load_thetas", "learning_rate: *z\n")}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("depth", [6, 12, 60])
def test_aliases_that_stand_for_billions_of_values_are_refused_at_once(tmp_path, name, depth):
    """A file of 370 bytes and more; the readers are those of --config, --task, --space and --theta."""
    import time

    from bort_mx.agora.hyperparameters import load_thetas
    from bort_mx.data.tasks import get_task
    from bort_mx.errors import InputError
    from bort_mx.options import parse_options
    from bort_mx.pretraining.options import PretrainingOptions
    from bort_mx.search.space import read_space

    path = tmp_path / name
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
    path.write_text("\n".join([*lines, BOMBS[name][1].replace("*z", f"*a{depth - 1}")]))
    read = {"run.yaml": lambda: parse_options(PretrainingOptions, ["--config", str(path)], "p", ""),
            "task.yaml": lambda: get_task(str(path)), "space.yaml": lambda: read_space(path),
            "theta.yaml": lambda: load_thetas(path)}[name]
    start = time.perf_counter()
    with pytest.raises(InputError, match="aliases repeat .* values, and at most 10,000 are read") as caught:
        read()
    assert time.perf_counter() - start < 1 and len(str(caught.value)) < 400


def test_ordinary_aliases_are_read(tmp_path):
    from bort_mx.agora.hyperparameters import load_thetas

    (tmp_path / "theta.yaml").write_text("learning_rate: &rates [1.0e-5, 2.0e-5]\nweight_decay: *rates\nwarmup: [0]\n"
                                         "seed: [0]\n")
    assert len(load_thetas(tmp_path / "theta.yaml")) == 4


def test_lists_whose_product_fills_memory_are_refused(tmp_path):
    from bort_mx.agora.hyperparameters import load_thetas
    from bort_mx.errors import InputError
    from bort_mx.search.space import read_space

    many = list(range(1, 400))
    (tmp_path / "space.yaml").write_text(f"D: {many}\nA: {many}\nH: {many}\nI: {many}\n")
    (tmp_path / "theta.yaml").write_text(f"learning_rate: {many}\nweight_decay: {many}\nwarmup: [0]\nseed: {many}\n")
    for read, name in ((read_space, "space.yaml"), (load_thetas, "theta.yaml")):
        with pytest.raises(InputError, match="at most 1,000,000"):
            read(tmp_path / name)
