# `make run` and `make test` do all their set-up themselves, on a fresh machine too.

VENV := .venv
BIN := $(VENV)/bin
PEERS := tests/peers

# The newest Python that may be used; another one with `make PYTHON=… test`.
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& { echo $$python; break; }; done)

TWISTD := $(BIN)/twistd --nodaemon --pidfile=
# What `make run` gives to `twistd federix`, to have the demo accounts romeo and juliet.
DEMO ?= --demo

PYTEST := $(BIN)/python -m pytest
# Two workers; the tests of one file stay together on one: those of tests/peers share servers.
WORKERS ?= -n 2 --dist loadfile

CHECKED := federix faults fuzz soak tests twisted bench examples

# How much `make fuzz` does for each target, and for which one alone: MINUTES=1 EXECUTIONS=10000 TARGET=parser.
# MINUTES is also how long `make soak` lasts: 60 unless said otherwise.
EXECUTIONS ?= 5000000

.PHONY: run test check format bench faults fuzz soak docs peers clean

run: $(VENV)/installed
	exec $(TWISTD) federix $(DEMO)

test: $(VENV)/installed-for-development peers
	$(PYTEST) $(WORKERS) $(ARGS)

check: $(VENV)/installed-for-development
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m federix.server.reference --check

format: $(VENV)/installed-for-development
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

bench: $(VENV)/installed-for-development $(VENV)/installed-for-bench
	$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/installed-for-fuzzing
	$(BIN)/python -m fuzz $(TARGET) --minutes $(or $(MINUTES),30) --executions $(EXECUTIONS)

# What it measured is in build/soak.json; the whole hour writes docs/soak.md as well.
soak: $(VENV)/installed-for-development
	mkdir -p build
	$(BIN)/python -m soak --minutes $(or $(MINUTES),60) --json build/soak.json \
		$(if $(MINUTES),,--report docs/soak.md) $(ARGS)

docs: $(VENV)/installed
	$(BIN)/python -m federix.server.reference

# What was found is in build/faults.json. `make faults ARGS="--servers federix,prosody,ejabberd"` compares.
faults: $(VENV)/installed-for-development
	mkdir -p build
	$(BIN)/python -m faults --json build/faults.json $(ARGS)

# The clients the server is tested with. Where they cannot be installed their tests are skipped, and say why.
peers:
	sh .ci/peers

clean:
	rm -rf $(VENV) $(PEERS)/node_modules $(PEERS)/spade build dist *.egg-info

$(VENV)/bin/python:
	@test -n '$(PYTHON)' || { echo 'Federix needs Python 3.11 or later, with its venv module' \
		'(on Debian: apt-get install python3-venv).' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(VENV)/bin/python
	sh .ci/retry $(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-for-development: setup.cfg pyproject.toml | $(VENV)/bin/python
	sh .ci/retry $(BIN)/python -m pip install --quiet --editable '.[test,dev]'
	touch $(VENV)/installed $@

$(VENV)/installed-for-bench: setup.cfg pyproject.toml | $(VENV)/bin/python
	sh .ci/retry $(BIN)/python -m pip install --quiet --editable '.[bench]'
	touch $@

$(VENV)/installed-for-fuzzing: setup.cfg pyproject.toml | $(VENV)/bin/python
	sh .ci/retry $(BIN)/python -m pip install --quiet --editable '.[fuzz]'
	touch $@
