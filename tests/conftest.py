"""Fixtures that several test files share."""

import importlib.util
import itertools
import pathlib
import subprocess
import sys
import warnings

import pytest

import bort_mx  # noqa: F401  (sets the number of threads before any test imports MXNet)

with warnings.catch_warnings():  # both use what their own dependencies deprecated since
    warnings.simplefilter("ignore")
    import gluonnlp  # noqa: F401
    import mxnet  # noqa: F401

SHARED = pathlib.Path(__file__).resolve().parent.parent.parent / "shared"


LONG = ("test_readme.py", "test_demo.py", "test_deploy.py", "test_fuzz.py")


def pytest_collection_modifyitems(items):
    """Files with few and long tests come first, so that no worker is left alone with one of them at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_make_parametrize_id(val):
    """Bytes are named by their number. gzip's hold the second they were made in, and all workers must find one list."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real vocabularies, corpora and task files beside the project; tests that need it skip without."""
    if not (SHARED / "data").is_dir():
        pytest.skip("needs the real data files in ../shared/data, which are not here")
    return SHARED


@pytest.fixture(scope="session")
def two_workers():
    """The words before a command that start it on two workers of this machine; skips without Horovod."""
    pytest.importorskip("horovod", exc_type=ImportError)  # horovod.mxnet would break torch later
    return [str(pathlib.Path(sys.executable).with_name("horovodrun")), "--gloo", "-np", "2", "-H", "localhost:2"]


@pytest.fixture(scope="session")
def load_benchmark():
    """load_benchmark(name): the module benchmarks/NAME.py, which is in no package."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"
    sys.path.append(str(folder))  # they import each other

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    return load


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> pathlib.Path:
    """Token shards of some of the built-in text, with a SentencePiece vocabulary of 600."""
    from bort_mx.data import sample_text

    directory = tmp_path_factory.mktemp("prepared")
    text = directory / "text.txt"
    text.write_text("\n".join(itertools.islice(sample_text.paragraphs(), 1500)), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "bort_mx", "prepare", "--data", str(text), "--output-dir",
                    str(directory / "data"), "--train-vocab", "600"], check=True, stdout=subprocess.DEVNULL)
    return directory / "data"
