# Two commands on a fresh machine that has Python >= 3.11 and make: `make demo` and `make test`. Each builds .venv first.

PYTHON ?= python3
WORKERS ?= 2
ARGS ?=
PAGES ?= README.md $(shell git ls-files 'docs/*.md')
# What pip is given for PyTorch, before everything else. Another build of the same release, here the small one without CUDA:
#   make demo PIP_TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
PIP_TORCH ?= torch==2.13.0
export PIP_TORCH

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.weightgas-installed
INTEGRATIONS := $(VENV)/.weightgas-integrations
BROWSER := $(VENV)/.weightgas-browser
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help venv demo answer lint test test-thorough test-documents test-integrations test-slow bench docs outputs

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -e 's/:.*## /:/' | awk -F: '{ printf "  make %-17s %s\n", $$1, $$2 }'
	@echo '  variables: PYTHON (interpreter for .venv), PIP_TORCH (which PyTorch), WORKERS (of pytest), ARGS (passed on to the command)'

venv: $(STAMP) ## build .venv, or bring it up to date with pyproject.toml and constraints.txt

demo: $(STAMP) ## run the paper's experiments in small and write one HTML report
	$(BIN)/weightgas demo $(ARGS)

answer: $(STAMP) ## regenerate the numbers and figures of docs/results/answer.md: three networks and their controls (about an hour)
	$(BIN)/weightgas reproduce answer --preset standard --out runs/answer $(ARGS)
	$(BIN)/python docs/pictures/answer.py runs/answer

lint: $(STAMP) ## style, format, types, import rules
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

test: $(STAMP) ## the tests of every change, in minutes (ARGS="-k radius" selects)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

test-thorough: $(STAMP) ## what takes seconds or repeats: long runs compared with theory, entire reports, other parameters
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m thorough $(ARGS)

test-documents: $(STAMP) ## the code of README.md and docs/, and the site
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m documents $(ARGS)

# The folder of the trainers is collected here only; a file's tests share its processes.
test-integrations: $(INTEGRATIONS) $(BROWSER) ## the report and the site in a browser; other packages' trainers; processes that are killed, interrupted or share a run
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'integration and not slow' -o norecursedirs='.*' $(ARGS)

# Some take an hour; the traceback that is printed of a test that seems to hang has crashed Python 3.11 in one of them.
test-slow: $(STAMP) ## the slow tests alone
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m slow -o faulthandler_timeout=7200 $(ARGS)

bench: $(STAMP) ## every benchmark, quickly; each ends with one line of JSON
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file" --quick $(ARGS); done

docs: $(STAMP) ## build the documentation into site/, every warning an error
	$(BIN)/python -m sphinx --fail-on-warning --quiet docs site $(ARGS)

outputs: $(STAMP) ## run the code of PAGES (all of them by default), write what it prints under each block, and the notebooks of tutorials
	$(BIN)/python tests/outputs.py $(PAGES)

# An environment that is already there is kept if its Python runs and is recent enough; a link to one that does not is
# removed, not what it points to. The stamp is touched last, so an installation that broke off is taken up again.
$(STAMP): pyproject.toml constraints.txt
	@if ! $(BIN)/python -c '$(RECENT)' 2>/dev/null; then \
	  if ! $(PYTHON) -c '$(RECENT)'; then \
	    echo "weightgas needs Python 3.11 or newer, and '$(PYTHON)' is not. Name one that is: make PYTHON=python3.12 ..." >&2; exit 1; \
	  fi; \
	  if [ -L $(VENV) ]; then rm $(VENV); fi; \
	  echo "Building $(VENV) with $$($(PYTHON) --version)"; \
	  $(PYTHON) -m venv --clear $(VENV); \
	fi
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	@if [ -n "$$PIP_TORCH" ]; then echo "Installing $$PIP_TORCH"; $(BIN)/python -m pip install --disable-pip-version-check $$PIP_TORCH; fi
	$(INSTALL) --editable '.[dev]'
	@touch $@

$(INTEGRATIONS): $(STAMP)
	$(INSTALL) --editable '.[integrations]'
	$(INSTALL) --no-deps timm # it wants torchvision, whose wheel wants another torch; the tests put an empty one in place
	@touch $@

# Chromium of the distribution, and what drives it from npm. Where neither can be had the tests of the report in a browser are skipped.
# Only what is lacking is asked for: the npm of Debian conflicts with a Node.js from elsewhere, and apt-get would install none of them.
$(BROWSER): $(STAMP) tests/browser/package-lock.json
	@lacking=""; \
	command -v chromium chromium-browser google-chrome >/dev/null || lacking="chromium"; \
	command -v node >/dev/null || lacking="$$lacking nodejs"; \
	command -v npm >/dev/null || lacking="$$lacking npm"; \
	if [ -n "$$lacking" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $$lacking || echo "No $$lacking: the browser's tests will be skipped." >&2; \
	fi
	@if command -v npm >/dev/null; then npm ci --no-audit --no-fund --prefix tests/browser || echo "No npm packages: the browser's tests will be skipped." >&2; \
	else echo "No npm: the browser's tests will be skipped." >&2; fi
	@touch $@
