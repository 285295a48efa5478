# Everything runs from a virtual environment made here; the only thing needed is Python.

PYTHON ?= python3
PORT ?= 8000
export PORT

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

.PHONY: demo run test check bench soak lock

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(RUNTIME): requirements.lock | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(DEV): requirements-dev.lock | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $(RUNTIME) $@

# Each has a home of its own unless told otherwise, so that demo data never meets real accounts.
demo: export MEGABRAIN_HOME ?= $(CURDIR)/var/demo
demo: $(RUNTIME)
	@$(BIN)/python manage.py demo

run: $(RUNTIME)
	@$(BIN)/python manage.py run

test: $(DEV)
	MEGABRAIN_HOME=$$(mktemp -d) $(BIN)/pytest -n auto --dist loadgroup

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/djlint --lint templates
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.production manage.py check --deploy --fail-level WARNING

bench: $(DEV)
	$(BIN)/python -m tests.bench

# The guarantees at their full counts: about an hour, most of it S40's.
soak: export GUESSES ?= 1000
soak: export MEGABRAIN_AUDIT_EVENTS_EACH ?= 200
soak: export MEGABRAIN_S03_SEALINGS ?= 100000
soak: export MEGABRAIN_S06_ROWS ?= 10000
soak: export MEGABRAIN_S06_KILLS ?= 20
soak: export MEGABRAIN_S07_RACES ?= 1000
soak: export MEGABRAIN_S16_EVENTS ?= 200000
soak: export MEGABRAIN_S17_EXAMPLES ?= 200
soak: export MEGABRAIN_S17_STEPS ?= 60
soak: export MEGABRAIN_S18_CALLS ?= 200
soak: export MEGABRAIN_S18_EXAMPLES ?= 5000
soak: export MEGABRAIN_S19_KILLS ?= 40
soak: export MEGABRAIN_S19_SERVERS ?= 5
soak: export MEGABRAIN_S19_STREAMS ?= 100
soak: export MEGABRAIN_S20_EVENTS ?= 40
soak: export MEGABRAIN_S21_CALLS ?= 1000
soak: export MEGABRAIN_S21_AFFORDED ?= 50
soak: export MEGABRAIN_RACES ?= 100
soak: export MEGABRAIN_S40_ROUNDS ?= 2000
soak: $(DEV)
	MEGABRAIN_HOME=$$(mktemp -d) $(BIN)/pytest tests/guarantees

lock: $(DEV)
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.lock pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
