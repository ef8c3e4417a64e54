# `make course` is the main job; `make test` proves it. Everything else is a part of these two.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Small models: two threads in each of two processes are slower than one (measured), so one each.
export OMP_NUM_THREADS ?= 1
export PYTHONHASHSEED ?= 0

.DEFAULT_GOAL := help
.PHONY: help course setup hub hub-setup book pdf serve release grade formgrader doctor test check soak bench lighthouse clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: .venv/.ready node_modules/.ready ## make .venv from the pinned requirements, and nothing else

.venv/.ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else f"Python 3.11 is needed, this is {v[0]}.{v[1]}: run make PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install -q -c constraints.txt torch==2.13.0
	$(PIP) install -q -c constraints.txt -e '.[book,grading,dev]'
	@touch $@

node_modules/.ready: package.json package-lock.json
	@command -v npm >/dev/null || { echo "npm is needed to typeset the book's mathematics: install node and npm (Debian: apt-get install nodejs npm)"; exit 1; }
	npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

hub-setup: setup .venv/.hub deploy/jupyterhub/node_modules/.ready ## add what a JupyterHub needs to .venv, and its proxy

.venv/.hub: .venv/.ready deploy/jupyterhub/requirements.txt
	$(PIP) install -q -c constraints.txt -r deploy/jupyterhub/requirements.txt
	@touch $@

deploy/jupyterhub/node_modules/.ready: deploy/jupyterhub/package.json deploy/jupyterhub/package-lock.json
	cd deploy/jupyterhub && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@

course: setup ## render the book, release, grade a sample class, show where everything is
	@tools/system-packages bubblewrap chromium || true
	$(BIN)/python -m tools.book build
	$(BIN)/course demo

book: setup ## render the book into build/book
	@tools/system-packages chromium || true
	$(BIN)/python -m tools.book build

pdf: setup ## the whole book, to be printed, as build/book.pdf
	tools/system-packages chromium
	$(BIN)/python -m tools.book build
	$(BIN)/python -m tools.pdf

serve: setup ## render the book and open it at a local address
	$(BIN)/python -m tools.book serve

release: setup ## write exercises/ anew from solutions/
	$(BIN)/course release --all

formgrader: setup ## open nbgrader's formgrader on the class in $COURSE_CLASS (default class/)
	$(BIN)/jupyter lab --no-browser --ServerApp.root_dir="$$(dirname "$$(realpath -m "$${COURSE_CLASS:-class}")")"

hub: hub-setup ## start a JupyterHub to try the course with, on this machine
	@$(BIN)/course release --all
	$(BIN)/jupyterhub -f deploy/jupyterhub/trial_config.py

doctor: setup ## which protections of the grading sandbox work here
	$(BIN)/course doctor

check: setup ## lint, types, import rules, fast tests: under two minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/course release --all --check
	$(BIN)/pytest -q -m "not slow and not soak" -n 2 --ignore=tests/grading/hostile --ignore=tests/assignments/test_every_assignment.py

test: setup hub-setup ## every test, ending with pytest's closing line
	tools/system-packages bubblewrap chromium postgresql
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.book build || echo "the book does not build; the tests say why"
	$(BIN)/pytest -m "not soak" -n 2 --dist loadfile

soak: setup hub-setup ## the same tests with larger counts and more seeds, and the long ones
	tools/system-packages bubblewrap chromium postgresql
	COURSE_SOAK=1 $(BIN)/pytest -n 2 --dist loadfile

lighthouse: book ## Lighthouse's scores of every page, where the machine has it
	$(BIN)/python -m tools.lighthouse

bench: setup ## run the benchmarks that the README and the book quote
	$(BIN)/python -m benchmarks

clean: ## remove what the build made; class/ and hub/ stay
	rm -rf build node_modules deploy/jupyterhub/node_modules .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis
