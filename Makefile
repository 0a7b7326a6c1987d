# One virtual environment, made on first use; every target sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

export OMP_NUM_THREADS ?= 1

.PHONY: help setup demo check format lint type layers test test-slow golden docs wheel clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/run.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("rivc needs Python 3.11 or newer: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	@echo "installing into $(VENV): a minute or two"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,video]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP) install --quiet --constraint constraints.txt --editable '.[train,video,dev]'
	@touch $@

setup: $(VENV)/dev.stamp  ## virtual environment with everything, tools included

$(VENV)/docs.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@

demo: $(VENV)/run.stamp  ## train, evaluate, verify and film a 4-bit camera policy
	$(BIN)/rivc demo

check: lint type layers  ## style, types and layers

format: setup  ## rewrite the sources in the house style
	$(BIN)/ruff check --fix --quiet .
	$(BIN)/ruff format --quiet .

lint: setup  ## ruff, format included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: setup  ## mypy --strict
	$(BIN)/mypy

layers: setup  ## import contracts
	$(BIN)/lint-imports --no-cache

test: setup  ## the quick suite
	$(BIN)/python -m pytest -n auto --dist loadfile

test-slow: setup  ## learning runs; hours
	$(BIN)/python -m pytest -m slow

golden: setup  ## rewrite the golden files; read the diff
	$(BIN)/python -m tests.golden.make

docs: $(VENV)/docs.stamp  ## the documentation as a site in build/site; a broken link fails
	$(BIN)/mkdocs build --quiet

wheel: setup  ## sdist and wheel in dist/
	$(BIN)/python -m build --no-isolation

clean:  ## remove what was built, not the runs
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis $(VENV)
