# Two commands matter: `make run` and `make test`. PIP_ARGS chooses another package index, PORT another port,
# ROUNDS how often `make torture` kills something.
PYTHON ?= python3
PIP_ARGS ?=
PORT ?= 8000
ROUNDS ?= 200
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)

.PHONY: run test torture check format clean

run: $(VENV)/.installed
	$(BIN)/python scripts/serve.py --sample --port $(PORT)

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

torture: $(VENV)/.installed-dev
	$(BIN)/python -m tests.torture --rounds $(ROUNDS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "imagescreen needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing imagescreen into $(VENV) (PyTorch is large: this can take minutes)"
	$(PIP) -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing imagescreen and its development tools into $(VENV) (PyTorch is large: this can take minutes)"
	$(PIP) -e '.[dev]'
	$(PIP) -e '.[pdq]' || echo "the extra pdq could not be installed (it needs a C++ compiler): its tests are skipped"
	touch $@ $(VENV)/.installed
