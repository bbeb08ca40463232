# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test bench fix lint tests slow soak wheel constraints clean

help:  ## what can be made here
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1|/' | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r .ci/constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)  ## install, then enrol a portrait and buy a video on the embedded sandbox
	$(BIN)/farebox demo --text

test: lint tests  ## everything that CI checks

lint: $(STAMP)  ## format, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

tests: $(STAMP) tests/rig/node_modules/.installed  ## the tests, with branch coverage
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not slow and not soak"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95

slow: $(STAMP) tests/rig/node_modules/.installed tests/rig/express/node_modules/.installed  ## the slower tests: sellers on node
	$(BIN)/python -m pytest -m slow

soak: $(STAMP) tests/rig/node_modules/.installed  ## hundreds of kills under paid load (SOAK_KILLS)
	$(BIN)/python -m pytest -m soak -s

tests/rig/node_modules/.installed: tests/rig/package.json
tests/rig/express/node_modules/.installed: tests/rig/express/package.json
tests/rig/node_modules/.installed tests/rig/express/node_modules/.installed:
	cd $(<D) && npm install --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

bench: $(STAMP)  ## measure, and write docs/benchmarks.md
	$(BIN)/python -m tests.bench

fix: $(STAMP)  ## format and mend what a tool can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(STAMP)  ## build dist/*.whl
	$(BIN)/python -m hatchling build -t wheel

constraints: $(STAMP)  ## pin the versions anew (needs pip-tools)
	$(PYTHON) -m piptools compile --quiet --extra dev --generate-hashes --strip-extras --allow-unsafe \
	  --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-annotate \
	  --output-file .ci/constraints.txt pyproject.toml

clean:  ## remove what was installed and built
	rm -rf $(VENV) dist build tests/rig/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
