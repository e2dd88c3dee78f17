# outlast: everything a newcomer needs. `make demo` and `make test` do their own set-up in .venv.
SHELL   := /bin/bash
PYTHON  ?= python3
VENV    := .venv
PY      := $(VENV)/bin/python
ARGS    ?=
# Most tests wait for real processes, so several at a time; the tests of a file stay together and in order.
BESIDE  ?= -n 3 --dist loadfile
# A usual test that takes longer hangs; one of those takes so long at most.
LONG    := --timeout 1800
.DEFAULT_GOAL := help

.PHONY: help setup demo test test-agents soak check format docs bench build clean

help: ## show these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.dev ## make .venv with outlast and the development tools (again only when pyproject.toml changes)

demo: $(VENV)/.runtime ## real builds, a gateway killed with -9 in the middle, and the proof that nothing was lost
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) tools/demo.py

test: setup ## run the tests (ARGS='-k name' to choose)
	@$(PY) -m pytest $(BESIDE) $(ARGS)

test-agents: setup ## install the agents others have made (npm, once) and run a turn of each
	@$(PY) -m pytest -m agents $(LONG) tests/agents tests/cli $(ARGS)

soak: setup ## run the long tests that `make test` leaves out
	@$(PY) -m pytest -m soak $(LONG) $(BESIDE) $(ARGS)

check: setup ## format, lint, types, import contracts, dependencies, docs
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	$(PY) -m deptry src
	$(PY) tools/gen_docs.py --check
	$(PY) -m pytest tests/test_docs.py tests/test_repo.py

format: setup ## mend format and imports in place
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix --select I .

docs: setup ## write the generated reference pages again
	$(PY) tools/gen_docs.py

bench: setup ## measure outlast beside the plain way, in the same run (ARGS='--quick')
	@$(PY) bench/run.py $(ARGS)

build: $(VENV)/.runtime ## wheel into dist/
	@$(PY) -m pip wheel -qq --no-deps --wheel-dir dist .
	@ls -1 dist/*.whl

clean: ## remove .venv, caches and build results
	rm -rf $(VENV) dist build .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Two stamps: the demo needs outlast only, the rest needs the tools as well.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "outlast needs Python 3.11 or newer; '$(PYTHON)' is not. Debian: apt-get install python3, or: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python cannot make a virtual environment. Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# pip before 25.1 does not know dependency groups.
$(VENV)/.runtime: pyproject.toml | $(VENV)/bin/python
	@$(PY) -m pip install -qq --disable-pip-version-check 'pip>=25.1'
	@$(PY) -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "installing the development tools"
	@$(PY) -m pip install -qq --disable-pip-version-check --group dev
	@touch $@
