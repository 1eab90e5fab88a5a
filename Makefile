# setup: everything into .venv, from pip. demo: the tutorial on a simulated device.
# test: all tests. bench: figures beside their budgets. lint: style and types. names: what is
# private in the library gets names that cost no memory (tools/kod/names.py).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test bench lint names clean

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python 3.10 or newer is missing: install it from https://www.python.org/downloads/ or with your package manager (Debian: sudo apt install python3 python3-venv; macOS: brew install python)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is older than 3.10: name a newer one, as in: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing. Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	@echo "Installing Kodkod and its tools into $(VENV) (once; about a minute) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/python examples/notification/demo.py

test: setup
	@$(BIN)/pytest -n 4 --dist loadfile

bench: setup
	@$(BIN)/python tests/bench/run.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

names: setup
	@$(BIN)/python -m kod.names

clean:
	rm -rf $(VENV) build *.egg-info tools/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
