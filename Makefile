# Each target is enough by itself on a fresh clone: it makes .venv and installs what it needs, once.
#   make PYTHON=/path/to/python3.10 ...   a certain Python (3.9-3.12)        make CUDA=cu112 install   MXNet for GPUs
#   make TORCH=any test                   PyPI's PyTorch, with its CUDA libraries, for the parity tests

VENV := .venv
PY := $(VENV)/bin/python
CUDA ?=
PYTEST_ARGS ?=
INSTALL = sh tools/make_venv.sh $(VENV) && BORT_MX_CUDA="$(CUDA)" $(PY) tools/install.py

export PYTHON
export TORCH

.PHONY: help install demo test fuzz lint bench clean

help:
	@echo "make demo     fine-tune and deploy a real model, then the paper's Figure 1 in small (about ten minutes)"
	@echo "make test     all tests, in WORKERS=2 processes (about 18 minutes on two cores)"
	@echo "make fuzz     every reader on damaged input, FUZZ_ROUNDS=1000 times each (about 40 minutes)"
	@echo "make install  .venv with bort_mx, MXNet, GluonNLP, Horovod, ONNX and FastAPI"
	@echo "make lint     ruff"
	@echo "make bench    benchmarks beside PyTorch, ONNX Runtime and OpenVINO"
	@echo "make clean    remove build products; .venv and runs/ stay"

install:
	@$(INSTALL) core horovod onnx serve corpora --retry
	@echo "Ready: $(PY) -m bort_mx --help"

demo:
	@$(INSTALL) core horovod onnx weights
	$(PY) -m bort_mx demo

test:
	@$(INSTALL) core horovod weights test parity
	OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

fuzz:
	@$(INSTALL) core horovod weights test parity
	FUZZ_ROUNDS=$(or $(FUZZ_ROUNDS),1000) FUZZ_SEED=$(or $(FUZZ_SEED),0) $(PY) -m pytest -q tests/test_fuzz.py

lint:
	@$(INSTALL) lint
	$(VENV)/bin/ruff check .

bench:
	@$(INSTALL) core horovod weights test parity openvino
	$(PY) -m bort_mx bench

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
