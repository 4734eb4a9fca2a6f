# Needs git, make and Python 3.11 or newer; everything else is set up here, in .venv, from the committed lock.
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
UV_VERSION := 0.13.9
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses auto --dist loadgroup

# Without bytecode on the disk each process of the tests compiles every file again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test quick coverage lint fix docs build bench soak clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/ready ## Show the whole story with made-up Pages; no account and no network
	@$(BIN)/page-token-sync demo

test: lint ## Run the checks and all tests, which is what CI runs; PYTEST_ARGS=... for options of pytest
	$(PYTEST) $(PYTEST_ARGS)

quick: .venv/ready ## Run the tests that need no service and little time, about a minute
	$(PYTEST) -m "not service and not slow" $(PYTEST_ARGS)

coverage: .venv/ready ## Measure the coverage of the quick tests; writes coverage.md
	$(PYTEST) -m "not service and not slow" --cov --cov-report=term:skip-covered --cov-report=markdown:coverage.md $(PYTEST_ARGS)

lint: .venv/ready ## Check format, types, layers, docstrings, spelling, workflows and the image
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q sync tests tools
	$(BIN)/codespell
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose/compose.yaml
	$(BIN)/hadolint Dockerfile

fix: .venv/ready ## Format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/ready ## Write the pages of the reference that follow from the code
	$(BIN)/python -m tools.docs

build: .venv/ready ## Build the wheel, the source distribution and the SBOM in dist
	rm -rf dist
	$(BIN)/uv build --quiet
	$(BIN)/uv export --quiet --locked --no-dev --format cyclonedx1.5 --output-file dist/page-token-sync.cdx.json
	@ls dist

bench: .venv/ready ## Measure against a plain script, minutes; BENCH_ARGS="--pages 100" for a first look
	$(BIN)/python -m tools.bench $(BENCH_ARGS)

soak: .venv/ready ## Run for hours with faults at random; SOAK_ARGS="--only hour --minutes 10" for less
	$(BIN)/python -m tools.soak $(SOAK_ARGS)

.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv .tools || { echo "python3 lacks venv: apt-get install python3-venv, or install uv" >&2; exit 1; }
	@.tools/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/ready: pyproject.toml uv.lock $(filter .tools/bin/uv,$(UV))
	@$(UV) sync --locked --quiet
	@touch $@

clean: ## Remove what was set up and built
	rm -rf .venv .tools dist coverage.md .coverage
