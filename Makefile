# Needs git, make and Python 3.11 or newer; everything else is set up here.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench soak clean

demo: .venv/ready
	@$(BIN)/page-token-sync demo

test: .venv/ready lint
	$(BIN)/pytest --numprocesses auto --dist loadgroup $(PYTEST_ARGS)

lint: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q sync tests

bench: .venv/ready
	$(BIN)/python -m tools.bench

soak: .venv/ready
	$(BIN)/python -m tools.soak $(SOAK_ARGS)

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv .tools || { echo "python3 lacks venv: apt-get install python3-venv, or install uv" >&2; exit 1; }
	@.tools/bin/pip install --quiet --disable-pip-version-check uv

.venv/ready: pyproject.toml uv.lock $(filter .tools/bin/uv,$(UV))
	@$(UV) sync --locked --quiet
	@touch $@

clean:
	rm -rf .venv .tools
