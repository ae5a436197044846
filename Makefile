# Everything from a fresh clone, with only Python (3.10 to 3.14) and make.
#
#   make demo    set up, load data into both systems, deploy to dev and to prod
#   make test    set up, run the tests
#
# PYTHON chooses the interpreter of the virtual environment: make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
ISOMESH := $(BIN)/isomesh
# pytest's workers; two fit a small machine. They take work from each other, so that no long file comes last.
WORKERS ?= 2
# Tests start a Postgres of their own. ISOMESH_TESTS_POSTGRES_URL=postgresql://user:password@host:port takes one that runs
# (user: a superuser; databases are made and dropped there). ISOMESH_TESTS_LONG=1 tries as much on it as on DuckDB.

.DEFAULT_GOAL := help
.PHONY: help setup data demo dev dev-production test pictures lint types layers check format lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

# The stamp is newer than pyproject.toml and uv.lock exactly when the virtual environment agrees with them.
.venv/.synced: pyproject.toml uv.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv sync --quiet --locked --inexact --all-extras --group dev
	@touch $@

setup: .venv/.synced ## Make the virtual environment, with the locked versions

data: setup ## Load the sample's raw data into both systems (idempotent)
	@$(BIN)/python -m isomesh_dagster.sample load --gateway nonproduction
	@$(BIN)/python -m isomesh_dagster.sample load --gateway production

demo: data ## Load data, deploy to dev (non-production) and to prod (production)
	@printf '\n── non-production: isomesh plan dev ──\n'
	@$(ISOMESH) --gateway nonproduction plan dev --auto-apply
	@printf '\n── production: isomesh --gateway production plan prod ──\n'
	@$(ISOMESH) --gateway production plan prod --auto-apply
	@printf '\nBoth systems are live. Next:\n'
	@printf '  %-56s %s\n' \
		'make dev' 'the Dagster UI, http://localhost:3000' \
		'$(ISOMESH) environments' 'what each environment shows' \
		'$(ISOMESH) evaluate marts.routes --limit 5' 'rows' \
		'edit a file in models/, then $(ISOMESH) plan dev' 'what would change'

dev: data ## Open the Dagster UI of the non-production system, http://localhost:3000
	DAGSTER_HOME="$(CURDIR)/.dagster_nonproduction" ISOMESH_GATEWAY=nonproduction $(BIN)/dagster dev

dev-production: data ## Open the Dagster UI of the production system, http://localhost:3001
	DAGSTER_HOME="$(CURDIR)/.dagster_production" ISOMESH_GATEWAY=production $(BIN)/dagster dev -p 3001

test: setup ## Run the tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# Takes minutes, and Chromium on PATH. `$(BIN)/python -m isomesh_dagster_tests.browser --help`: without renewing pictures.
pictures: setup ## Prove the UI in a browser, click by click, and take the pictures of docs/ again
	@$(BIN)/uv sync --quiet --locked --inexact --all-extras --group dev --group browser
	@$(BIN)/python -m isomesh_dagster_tests.browser --docs

lint: setup ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## Check types
	$(BIN)/mypy

layers: setup ## Check that imports point downward only
	$(BIN)/lint-imports

check: lint types layers test ## Everything that CI checks

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## Bring uv.lock up to date with pyproject.toml
	$(BIN)/uv lock

clean: ## Remove the virtual environment, caches and the sample's systems
	rm -rf .venv .systems .isomesh .dagster_*/storage .dagster_*/history .dagster_*/schedules .dagster_*/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
