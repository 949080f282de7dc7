# Everything here works on a fresh clone with Python 3.11 or newer, git and make.
#
#   make demo                       the whole story on real servers, then a chat prompt
#   make demo ONCE=1 AGENT=command  the story only; exit status 0 if it ends well
#   make demo AGENT=claude          with your own Claude Code (or codex) and its login: costs money
#   make dev                        the same servers; changed code is in force at once
#   make test PYTEST_ARGS='-k word' checks, then the tests; with '-n0 -k word' in one process
#   make test-fast                  the tests that need no servers and no agents: under a minute
#   make check                      linters and types
#   make torture SEED=1 ROUNDS=10   kills, freezes and bad lines: see torture/README.md
#   make plugin                     dist/dev.fleetbot-v<version>.mbp, for upload to maubot
#   make packages                   that, and the wheels and the source of `pip install`, in dist
#   make docs                       the generated pages of docs/reference
#   make site                       the documentation as a site, in site/

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COLLECTED := $(VENV)/.collected
BUILDER := build/venv
PYTHON ?= $(firstword $(foreach name,python3.12 python3.11 python3.13 python3,\
	$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c \
	'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PYTEST_ARGS ?=
# Tests with servers wait as much as they compute, so two workers for each of two cores.
WORKERS ?= 4
# A file stays on one worker: its tests may share servers. The order is kept, for the files with the
# longest tests are in the middle and short ones fill up the end.
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 10
SLOW := tests/chat tests/devkit tests/flow tests/forge tests/hostile tests/runner tests/services tests/web
# Compiled modules are kept: the tests start hundreds of processes that import the same ones.
export PYTHONDONTWRITEBYTECODE :=
# Only where libolm has a wheel: building it takes more than Python.
SEALED := --only-binary python-olm --editable '.[encryption]'
# pip would compile all of it on one core. What cannot be compiled, templates of code, nobody imports.
PIP_QUIETLY := --quiet --disable-pip-version-check --no-compile
UNSEALED := echo 'libolm has no wheel for this Python: encrypted rooms are not tested' >&2
define PYTHON_IS_THERE
$(if $(PYTHON),,echo 'fleetbot needs Python 3.11 or newer; none found. Name one: make PYTHON=/path/to/python3' >&2; exit 1;) \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "fleetbot needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)" >&2; exit 1; }
endef
ONCE ?=
AGENT ?= command
SEED ?= 1
ROUNDS ?= 1
INCIDENT ?=
MUTANTS ?=
ARGS ?=

.PHONY: help demo dev test tests test-fast check torture plugin packages docs site clean

help:
	@sed -n 's/^# \{0,1\}//; 3,15p' Makefile

demo: $(INSTALLED)
	exec $(BIN)/fleetbot demo --agent '$(AGENT)' $(if $(ONCE),--once)

# The types are checked on one core, so the tests begin meanwhile; they are not to take what they
# start for a part of this make.
dev: $(INSTALLED)
	exec $(BIN)/python -m fleetbot_devkit.dev --agent '$(AGENT)'

test: $(INSTALLED)
	@$(MAKE) --no-print-directory -j2 check tests

tests: $(COLLECTED)
	env -u MAKEFLAGS -u MAKELEVEL $(PYTEST) $(PYTEST_ARGS)

# pytest rewrites each module for its assertions: once here, instead of by every worker. What is
# wrong with a module the tests will tell.
$(COLLECTED): $(INSTALLED) $(shell find tests -name '*.py')
	@$(BIN)/pytest --collect-only -qq >/dev/null || true
	@touch $@

# These compute more than they wait: one worker for each core.
test-fast: $(INSTALLED)
	$(PYTEST) -n auto -m 'not servers' $(SLOW:%=--ignore=%) $(PYTEST_ARGS)

check: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

torture: $(INSTALLED)
	$(if $(MUTANTS),MUTANTS=1 $(BIN)/pytest -n0 tests/torture/test_mutants.py $(PYTEST_ARGS),\
		exec $(BIN)/python -m torture $(if $(INCIDENT),--incident '$(INCIDENT)',\
		--seed '$(SEED)' --rounds '$(ROUNDS)') $(ARGS))

# Needs nothing but Python, and no environment of ours.
plugin:
	@$(PYTHON_IS_THERE)
	@$(PYTHON) -m fleetbot_devkit.build dist

# The wheels in an environment with nothing but their builder: `dist` is the same from everywhere.
packages: plugin $(BUILDER)/.installed
	@$(BUILDER)/bin/python -m hatchling build --directory dist
	@cd packages/devkit && $(CURDIR)/$(BUILDER)/bin/python -m hatchling build --target wheel --directory $(CURDIR)/dist

$(BUILDER)/.installed:
	@test -x $(BUILDER)/bin/pip || $(PYTHON) -m venv $(BUILDER)
	@$(BUILDER)/bin/python -m pip install $(PIP_QUIETLY) 'hatchling>=1.24,<2'
	@touch $@

docs: $(INSTALLED)
	$(BIN)/python -m fleetbot_devkit.docs

site: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# uv where there is one, venv and pip otherwise. The stamp is written last, so that an interrupted
# installation is taken up again.
$(INSTALLED): pyproject.toml
	@$(PYTHON_IS_THERE)
	@echo 'Installing what fleetbot needs into $(VENV): this takes some minutes, once.'
	@if command -v uv >/dev/null 2>&1; then \
		set -e; \
		test -x $(BIN)/python || uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
		uv pip install --quiet --python $(BIN)/python --editable '.[dev]'; \
		uv pip install --quiet --python $(BIN)/python $(SEALED) || $(UNSEALED); \
	else \
		set -e; \
		test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV); \
		$(BIN)/python -m pip install $(PIP_QUIETLY) --editable '.[dev]'; \
		$(BIN)/python -m pip install $(PIP_QUIETLY) $(SEALED) || $(UNSEALED); \
		$(BIN)/python -m compileall -q -j 0 $(VENV)/lib >$(VENV)/uncompiled.log 2>&1 || true; \
	fi
	@touch $@

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find fleetbot fleetbot_devkit tests benchmarks torture -name __pycache__ -type d -prune -exec rm -rf {} +
