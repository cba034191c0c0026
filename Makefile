# Two commands: `make demo` and `make test`. Both make what they need, in .venv and nowhere else.

PYTHON ?= $(shell for candidate in python3 python3.13 python3.12 python3.11; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint types contracts format model kills mutants clean

help:
	@echo "make demo       set up, then train and pay a subnet of 11 honest clients and 5 cheats (1 to 2 minutes)"
	@echo "make test       set up, then run all tests"
	@echo "make lint types contracts    ruff, mypy, import-linter"
	@echo "make model      a thousand random histories of a ledger on each database, beside a plain model (an hour)"
	@echo "make kills      kill 200 validators while they settle (5 minutes); DATABASE=postgresql: a server too"
	@echo "make mutants    change the money's code in every small way: do the tests notice? (half an hour)"
	@echo "make clean      remove .venv and caches"

demo: .venv/demo
	@$(BIN)/subnet demo

test: .venv/dev
	@FLWR_TELEMETRY_ENABLED=0 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: .venv/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: .venv/dev
	@$(BIN)/mypy

contracts: .venv/dev
	@$(BIN)/lint-imports

format: .venv/dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

model: .venv/dev
	@SUBNET_LEDGER_RUNS=1000 SUBNET_LEDGER_STEPS=50 $(BIN)/python -m pytest tests/tokenomics/ledger/test_model.py

kills: .venv/dev
	@$(BIN)/python -m benchmarks.kills --database $(or $(DATABASE),sqlite)

mutants: .venv/mutants
	@$(BIN)/python -m benchmarks.mutants $(MODULES)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# torch goes first and by its exact version: an unpinned one can pull gigabytes of GPU libraries
.venv/base: constraints.txt
	@if [ -z "$(PYTHON)" ]; then echo "error: no Python of version 3.11 or newer; install one, or set PYTHON=..." >&2; exit 1; fi
	@echo "setting up .venv (one to three minutes, once)"
	@$(PYTHON) -m venv .venv
	@$(PIP) "$$(grep '^torch==' constraints.txt)"
	@touch $@

.venv/demo: .venv/base pyproject.toml
	@$(PIP) --editable '.[examples]'
	@touch $@

.venv/mutants: .venv/dev
	@$(PIP) mutmut==3.8.1
	@touch $@

.venv/dev: .venv/base pyproject.toml
	@$(PIP) --editable '.[dev]'
	@touch $@ .venv/demo
