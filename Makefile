# Every target sets up what it needs in .venv, and nothing outside of this folder. `make` alone lists the targets.

VENV := .venv
PY := $(VENV)/bin/python
# What `make bench` and `make parity` compare with, in an environment of its own. `make TORCH=torch==2.12.0 bench-peers`
# takes another PyTorch.
PEERS := .venv-peers
TORCH := torch==2.13.0
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

# The Python that made the environment; nothing where there is none or where it was interrupted, moved or broken.
MADE_WITH := $(shell cd $(VENV) 2>/dev/null && test -x bin/python && test "$$(cat place 2>/dev/null)" = "$$(pwd -P)" \
	&& cat made-with 2>/dev/null)

# Which Python to use: the one that is asked for (make PYTHON=python3.13 test), else the one that made the
# environment, else the first that is recent enough.
ifeq ($(strip $(PYTHON)),)
PYTHON := $(MADE_WITH)
endif
ifeq ($(strip $(PYTHON)),)
PYTHON := $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done),python3)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL: # two installers in one environment would get in each other's way
.PHONY: help demo test test-all check lint format bench bench-peers parity install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/with-demo ## train an MLP on real digits
	@$(PY) demos/mlp_digits.py $(ARGS)

test: $(VENV)/with-test ## the quick tests and all doctests; ARGS="-k softmax" picks some
	@$(PY) -m pytest -n auto $(ARGS)

test-all: $(VENV)/with-all ## every test, with every extra installed
	@$(PY) -m pytest -m "" -n auto $(ARGS)

check: lint test ## everything that must hold before a commit: format, lint, types, tests

lint: $(VENV)/with-dev ## format, lint and types, without the tests
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

format: $(VENV)/with-dev ## rewrite the code in the project's format
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format .

bench: $(if $(wildcard $(PEERS)/with-peers),,$(VENV)/with-demo) ## measure speed and memory; ARGS=--quick takes a minute
	@$(if $(wildcard $(PEERS)/with-peers),$(PEERS)/bin/python,$(PY)) tests/bench/run.py $(ARGS)

bench-peers: $(PEERS)/with-peers ## install PyTorch, JAX and others for `make bench` to compare with

parity: $(PEERS)/with-peers ## compare derivatives with PyTorch's, on its own samples; ARGS=--write keeps a few for the tests
	@$(PEERS)/bin/python tests/parity/run_parity.py $(ARGS)

install: $(VENV)/with-all ## the environment with every extra

clean: ## remove the environment, caches and built files
	rm -rf $(VENV) .venv-peers bench-results build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One file per set of extras says that it is installed. Installing one set takes nothing away from another.
$(VENV)/with-demo: $(VENV)/made-with pyproject.toml
	$(call install,progress$(comma)plot)
	@touch $@

$(VENV)/with-test: $(VENV)/made-with pyproject.toml
	$(call install,test)
	@touch $@

$(VENV)/with-dev: $(VENV)/made-with pyproject.toml
	$(call install,dev)
	@touch $(VENV)/with-test $@

$(VENV)/with-all: $(VENV)/made-with pyproject.toml
	$(call install,all)
	@touch $(VENV)/with-demo $(VENV)/with-test $(VENV)/with-dev $@

# PyTorch's own index has builds without CUDA, which are a tenth of the size; where it cannot be reached, PyPI has to do.
$(PEERS)/with-peers: $(VENV)/made-with pyproject.toml
	@echo "Installing the peers into $(PEERS): a gigabyte or two ..."
	@$(PY) -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --retries 1 \
		--index-url https://download.pytorch.org/whl/cpu "$(TORCH)" \
		|| { echo "PyTorch's index has no $(TORCH) for us; taking it from PyPI." \
			&& $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"; }
	@$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[peers]" \
		|| { echo >&2 "make: could not install the peers; the reason stands above."; exit 1; }
	@touch $@

comma := ,
define install
@echo "Installing tinygrad_sm[$(1)] into $(VENV) ..."
@$(PY) -m pip install --quiet --disable-pip-version-check --editable ".[$(1)]" \
	|| { echo >&2 "make: could not install tinygrad_sm[$(1)]; the reason stands above."; exit 1; }
endef

ifneq ($(MADE_WITH),$(PYTHON))
.PHONY: $(VENV)/made-with
endif
$(VENV)/made-with:
	@command -v "$(PYTHON)" >/dev/null \
		|| { echo >&2 "make: there is no $(PYTHON). Name another: make PYTHON=/path/to/python3"; exit 1; }
	@"$(PYTHON)" -c '$(RECENT)' \
		|| { echo >&2 "make: tinygrad_sm needs Python 3.11 or newer, and $(PYTHON) is $$("$(PYTHON)" --version 2>&1)." \
			"Name another: make PYTHON=python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo >&2 "make: $(PYTHON) cannot make virtual environments. Install its venv module" \
			"(Debian, Ubuntu: the package python3-venv) or name another: make PYTHON=python3.12"; exit 1; }
	@echo "Making $(VENV) with $(PYTHON) ..."
	@"$(PYTHON)" -m venv --clear $(VENV)
	@(cd $(VENV) && pwd -P > place)
	@echo "$(PYTHON)" > $@
