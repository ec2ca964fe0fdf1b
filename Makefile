# make demo   set everything up and run the whole flow on the example that ships with edgebert
# make test   set everything up and pass the quick tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up

.PHONY: demo test test-slow test-emulated setup lint clean

demo: setup
	$(BIN)/edgebert demo

test: setup
	$(BIN)/python -m pytest

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-emulated: setup
	$(BIN)/python -m pytest -m emulated tests/devices

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/python -m pytest tests/static

setup: $(STAMP)

# A pinned virtual environment; made again only when what it depends on has changed. torch comes first and
# pinned: any other release would bring several gigabytes of CUDA.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgebert needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf build dist *.egg-info
