# The two commands of the README. Each sets up .venv when it is missing or older than the pins.
#   make all     run config/quick.yaml, or CONFIG=config/other.yaml, and print the main table
#   make test    run the tests
# And: make weekly reruns the quick job and compares the scores byte by byte.
.DEFAULT_GOAL := all
SHELL := /bin/bash
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
CORES ?= $(shell $(PYTHON) -c 'import os; print(min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))' 2>/dev/null || echo 1)
BIN := .venv/bin
READY := .venv/.ready
CONFIG ?=
# One thread a run, runs side by side: two threads a run were measured slower.
export OMP_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: all test coverage mutate faults check docs smoke weekly discriminate fuzz viewer clean
all: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) $(if $(CONFIG),--configfile $(CONFIG)) $(ARGS) -- all
	@$(if $(ARGS),true,$(BIN)/python -m parallax.run.session $(or $(CONFIG),config/quick.yaml))

test: $(READY)
	@$(BIN)/python -m pytest -n $(CORES) -q $(ARGS)

# How strong the tests are; docs/tests.md says what is measured and how to add the two tools to .venv.
coverage: $(READY)
	@rm -f .coverage .coverage.*
	@$(BIN)/python -m coverage run -m pytest -n $(CORES) -q $(ARGS)
	@$(BIN)/python -m coverage combine -q && $(BIN)/python -m coverage json -q --fail-under=0 -o .coverage.json
	@$(BIN)/python studies/strength.py coverage .coverage.json && $(BIN)/python -m coverage report --format=total

# All mutants of the metrics, a tenth of those of the perturbations and a fifth of those of the losses, by their
# number; all of them with MUTANTS='*'.
MUTANTS ?= parallax.score.* parallax.perturb.*3 parallax.learn.*[38]
mutate: $(READY)
	@$(BIN)/python -m mutmut run --max-children $(CORES) $(foreach name,$(MUTANTS),'$(name)')
	@$(BIN)/python studies/strength.py mutation

# Every fault of docs/reliability.md, done for real; 20 minutes on two busy cores.
faults: $(READY)
	@$(BIN)/python -m pytest -q -m "faults or not faults" $(ARGS) tests/faults

smoke: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --configfile config/smoke.yaml $(ARGS) -- all

# Do the phantoms tell methods apart? Rewrites the tables of docs/discrimination.md.
discriminate: $(READY)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores $(CORES) --configfile config/discriminate.yaml $(ARGS) -- all
	@$(BIN)/python studies/discriminate.py

# What `make test` tries on a fixed number of inputs (docs/bad-input.md), on others and for longer: twenty times as many
# for each property, then so many seconds a target of the fuzzer, which goes on from what it found the last time.
FUZZ_S ?= 60
fuzz: $(READY)
	@$(BIN)/python -m pytest -q --hypothesis-profile=longer $(ARGS) tests/*/test_*_properties.py
	@cd tests && export PYTHONPATH=. && for target in $$(../$(BIN)/python -c "from fuzz.targets import *; print(*TARGETS)"); do \
		../$(BIN)/python -m fuzz.run $$target ../.fuzz/$$target -max_total_time=$(FUZZ_S) -rss_limit_mb=1024 || exit 1; done

# Is it all still the same, byte for byte? Runs the quick job (or CONFIG) again, on one core and in a folder of its
# own, and compares the scores row by row; then the tests that take minutes.
AGAIN := again
FIRST = results/$(shell sed -n 's/^run: *//p' $(or $(CONFIG),config/quick.yaml))
weekly: all
	@rm -rf results/$(AGAIN)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/snakemake --cores 1 --configfile $(or $(CONFIG),config/quick.yaml) \
		--config run=$(AGAIN) -- scores manifest
	@$(BIN)/parallax diff $(FIRST) results/$(AGAIN)
	@$(BIN)/python -m pytest -q -m weekly

# The documentation, into site/; any warning ends it. The variable keeps the theme from advertising its successor.
docs: $(READY)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

# The pins decide: a changed lock file or dependency list makes a new environment, not a patched old one.
$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then \
		echo "Parallax needs Python 3.11 or newer; found: $$(python3 --version 2>&1 || true). Install it, or name one: make PYTHON=/path/to/python3.12" >&2; exit 2; fi
	@command -v git >/dev/null || { echo "Parallax needs git on the PATH; install it and try again." >&2; exit 2; }
	@echo "Setting up .venv with $$($(PYTHON) --version) (pins: requirements.lock)"
	@rm -rf .venv && $(PYTHON) -m venv .venv
	@if command -v uv >/dev/null; then \
		UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" uv pip install --quiet --python $(BIN)/python -r requirements.lock; \
	else $(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements.lock; fi
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(MAKE) --no-print-directory viewer
	@$(BIN)/python -c "import os, time; print(round(time.time() - os.path.getmtime('.venv/pyvenv.cfg')))" > $(READY)

# NiiVue, which the report's viewer of cases draws with, goes into the environment; a report without it says so.
viewer:
	@$(BIN)/python -m parallax.report.viewer.niivue

clean:
	rm -rf .venv site .snakemake .mypy_cache .ruff_cache .pytest_cache .coverage* mutants build *.egg-info
