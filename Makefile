# Two commands do everything on a fresh machine: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test bench fix lint tests part-1 part-2 part-3 slow soak mutants wheel constraints clean

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
	$(BIN)/python -m compileall -q proxy tests/rig  # hundreds of daemons start in these tests
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory -j3 --output-sync=target part-1 part-2 part-3
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95

# Three parts at once: much of a test's time is waiting for other processes.
PART_1 := tests/cli tests/config tests/store
PART_2 := tests/core tests/exchange tests/gate tests/mirror tests/power tests/wallet
PYTEST := $(BIN)/coverage run -m pytest -m "not slow and not soak" -p no:cacheprovider

part-1:
	$(PYTEST) $(PART_1)

part-2:
	$(PYTEST) $(PART_2)

part-3:
	$(PYTEST) tests $(addprefix --ignore=,$(PART_1) $(PART_2))

slow: $(STAMP) tests/rig/node_modules/.installed tests/rig/express/node_modules/.installed  ## the slower tests: sellers on node
	$(BIN)/python -m pytest -m slow

soak: $(STAMP) tests/rig/node_modules/.installed  ## hundreds of kills under paid load (SOAK_KILLS)
	$(BIN)/python -m pytest -m soak -s

MUTANTS := .venv-mutants

$(MUTANTS)/.installed: .ci/constraints.txt .ci/mutants.txt
	$(PYTHON) -m venv $(MUTANTS)
	$(MUTANTS)/bin/pip install --quiet --disable-pip-version-check --require-hashes \
	  -r .ci/constraints.txt -r .ci/mutants.txt
	@touch $@

mutants: $(MUTANTS)/.installed  ## change the money modules and see that a test fails (docs/mutants.md)
	rm -rf mutants
	$(MUTANTS)/bin/mutmut run --max-children 2
	$(MUTANTS)/bin/mutmut results

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
