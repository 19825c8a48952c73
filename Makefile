# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types docs serve check oldest clean

demo: $(VENV)/demo
	$(BIN)/python examples/demo.py

test: $(VENV)/dev
	SCIPY_ARRAY_API=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST)

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/dev
	$(BIN)/mypy

# Runs the examples that have changed; then looks at the site in a browser, if there is one.
docs: $(VENV)/dev
	$(BIN)/mkdocs build --strict
	$(BIN)/python -m pytest tests/test_site.py --site site

serve: $(VENV)/dev
	OMP_NUM_THREADS=1 $(BIN)/mkdocs serve

check: test lint types docs

# Estimators, networks and files on the lower bounds of pyproject.toml.
oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --requirement constraints-oldest.txt
	.venv-oldest/bin/pip install --quiet --editable . hypothesis pytest pytest-xdist
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n 2 \
	    --dist loadfile tests/core tests/test_diffusion.py tests/test_errors.py \
	    tests/test_files.py tests/test_network_size.py tests/test_readout.py \
	    tests/test_signals.py tests/test_sklearn_contract.py tests/test_start.py \
	    tests/test_streams.py $(PYTEST)

clean:
	rm -rf .venv .venv-oldest build dist site docs/generated *.egg-info

# One pip call with the tested versions, the CPU build of torch among them.
$(VENV)/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .[dev]
	touch $@
