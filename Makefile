# Each target sets up what it needs in .venv, from any Python 3.11 to 3.13 on the PATH.
# PYTHON=/path/to/python chooses the interpreter that .venv is made from.

VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
STAMP := $(VENV)/.set-up
PYTHON ?=
PYTEST_FLAGS ?=
# Tests that share what is dear to make go to one process: tests/conftest.py groups them.
PYTEST := pytest --numprocesses 2 --dist loadgroup
SLOW := slow and not thorough and not gpu

# Run, not looked up: a version manager's shim may stand on the PATH and start nothing.
USABLE := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))

export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-thorough test-all lint format bench lock setup clean
.DELETE_ON_ERROR:

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## Train a small model on built-in digits into runs/demo, or carry on with it
	@$(BIN)/growgan train --config quickstart --out runs/demo --resume auto

test: $(STAMP) ## Run the quick tests: five minutes on two cores at most
	@$(RUN) $(PYTEST) -m "not slow and not gpu" $(PYTEST_FLAGS)

test-slow: $(STAMP) ## Run the slow tests, one or two cases of each sentence
	@$(RUN) $(PYTEST) -m "$(SLOW)" $(PYTEST_FLAGS) || [ $$? -eq 5 ] # 5: there are none

test-thorough: $(STAMP) ## Run the further cases of slow tests, and those that wait for the clock
	@$(RUN) $(PYTEST) -m "thorough and not gpu" $(PYTEST_FLAGS)

test-all: test test-slow test-thorough ## Run every test; hours

lint: $(STAMP) ## Check style, format, types, the direction of imports, and that packages agree
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(BIN)/lint-imports
	@$(RUN) pip check

format: $(STAMP) ## Mend what ruff can mend
	@$(RUN) ruff check --fix
	@$(RUN) ruff format

bench: $(STAMP) ## Install PyTorch for comparison and run the measurements of speed
	@$(RUN) pip install --quiet --no-build-isolation --constraint requirements.lock --editable '.[bench]'
	@set -e; for script in tests/benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

lock: $(STAMP) ## Resolve requirements.lock anew from the ranges in setup.py
	@$(RUN) pip install --quiet uv
	@sed -n '/^#/p; /^#/!q' requirements.lock > requirements.lock.new
	@$(RUN) uv pip compile setup.py --quiet --upgrade --universal --python-version 3.11 \
		--extra dev --no-header --no-emit-index-url --no-emit-find-links >> requirements.lock.new
	@mv requirements.lock.new requirements.lock

setup: $(STAMP) ## Set up .venv and nothing more

clean: ## Remove what builds and checks leave behind; never runs, records or .venv
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find layers savedmodels pipeline tests -type d -name __pycache__ -prune -exec rm -rf {} +

$(STAMP): requirements.lock setup.py
	@set -e; \
	if ! $(BIN)/python -c '$(USABLE)' 2>/dev/null; then \
		chosen=; \
		for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
			if "$$candidate" -c '$(USABLE)' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
		done; \
		if [ -z "$$chosen" ]; then \
			echo 'error: growgan needs Python 3.11, 3.12 or 3.13 with venv.' \
				'Tried: $(or $(PYTHON),python3.13 python3.12 python3.11 python3).' \
				'Name one: make PYTHON=/path/to/python' >&2; \
			exit 1; \
		fi; \
		echo "Setting up $(VENV) with $$("$$chosen" -V), once; this takes a minute or two."; \
		"$$chosen" -m venv --clear $(VENV); \
	else \
		echo "Bringing $(VENV) up to requirements.lock."; \
	fi
	@$(RUN) pip install --quiet --requirement requirements.lock
	@$(RUN) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
