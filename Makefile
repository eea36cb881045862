# Everything that one does with a checkout. Needs Python >= 3.11 and make; the rest is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CLI    := $(BIN)/binance-futures-availability
PORT   ?= 3000

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run demo demo-ui ui test test-fast lint audit format charts bench clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Both stamps are younger than what they were made from, so a change of pins or metadata installs again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, but $(PYTHON) is %d.%d; run make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

setup: $(VENV)/.installed ## Install into .venv
setup-test: $(VENV)/.installed-test

run: setup ## Bring the database up to date from Binance's archive, then serve the Dagster UI
	@$(CLI) backfill --missing
	@$(MAKE) --no-print-directory ui

ui: setup ## Serve the Dagster UI with its daemon on http://127.0.0.1:3000
	@$(BIN)/python -c 'import sys; sys.excepthook = lambda _, error, trace: print(f"Error: {error}", file=sys.stderr); from availability_pipeline.collecting.process import instance_folder; from availability_pipeline.settings import Settings; instance_folder(Settings.load())'
	@echo "Dagster UI: http://127.0.0.1:$(PORT)  (Ctrl-C ends it)"
	@$(BIN)/dagster dev --host 127.0.0.1 --port $(PORT)

demo: setup ## The same on a simulated archive, offline, in a data directory of its own
	@$(CLI) demo $(ARGS)

demo-ui: setup ## The demo, then the Dagster UI on it on http://127.0.0.1:3000
	@$(CLI) demo --ui --port $(PORT) $(ARGS)

# Compiled files are kept whatever is set: each of the processes that tests start would compile the package again.
test: setup-test ## Run all tests; coverage must stay at 95 % or more
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses 3 --dist worksteal --cov --cov-report=term $(ARGS)

# Tests with processes, browsers, servers and Dagster, and of the others those that take longest.
LONG := cli collecting defs deploy documents project publishing scenarios warehouse archive/network archive/test_faults.py \
  lifecycle/test_point_in_time.py quality/test_publication.py queries/test_sql_fence.py simulator/test_command.py
test-fast: setup-test ## Run in a minute what tests most of archive, lifecycle, quality, queries and simulator
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -m 'not slow' $(LONG:%=--ignore=availability_pipeline_tests/%) $(ARGS)

lint: setup-test ## Check formatting, style, types and documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m availability_pipeline_tests.document_check

audit: setup-test ## Ask for known vulnerabilities of the pinned packages
	$(BIN)/python .ci/audit.py

format: setup-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

charts: setup-test ## Compile the charts of the report into the package, after a change of their definitions
	$(BIN)/python -m charts

bench: setup-test ## Measure, and print docs/reference/benchmarks.md's tables
	$(BIN)/python -m benchmarks $(ARGS)

clean: ## Remove .venv and caches; data and Dagster's history stay
	rm -rf $(VENV) .cache .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
