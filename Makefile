# Everything a newcomer types. Each target installs what it needs into .venv, once.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo demo-all reproduce-all test test-slow lint format docs benchmark wheel clean

EXPERIMENTS := main backbones augmentation auxiliary noise cross-corpus
OPTIONS = $(if $(DRY),sweep.dry=true) $(ARGS)

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/installed  ## train SeeNet on the embedded synthetic corpus (minutes on 2 cores)
	$(BIN)/seenet-train

# The paper's experiments: make reproduce-augmentation DATA=/data; DRY=1 prints the plan, ARGS='seed=0,1,2' adds settings.
$(EXPERIMENTS:%=reproduce-%): reproduce-%: .venv/installed
	@test -n "$(DATA)$$SEENET_DATA" || { echo "say where the corpora are: make $@ DATA=FOLDER" >&2; exit 1; }
	$(if $(DATA),SEENET_DATA="$(DATA)") $(BIN)/seenet-train experiment=$(subst -,_,$*) $(OPTIONS)

$(EXPERIMENTS:%=demo-%): demo-%: .venv/installed
	$(BIN)/seenet-train experiment=demo_$(subst -,_,$*) $(OPTIONS)

reproduce-all:  ## every experiment of the paper (DATA=FOLDER of corpora); or reproduce-main, -backbones, ...; DRY=1: the plan
	@there=0; for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory reproduce-$$each DRY=1 || there=1; done; exit $$there
	$(if $(DRY),,@for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory reproduce-$$each || exit 1; done)

demo-all:  ## the same on the embedded corpus; or demo-main, -backbones, -augmentation, -auxiliary, -noise, -cross-corpus
	@for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory demo-$$each || exit 1; done

test: lint  ## lint, then the fast tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15

test-slow: .venv/installed-dev  ## the tests that take minutes
	$(BIN)/python -m pytest -q -m slow --durations=15

lint: .venv/installed-dev  ## ruff's checks and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/installed-dev  ## put the code in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed-docs  ## draw the rooms and build the documentation site into site/
	$(BIN)/python docs/draw_architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmark: .venv/installed  ## what speed-ups bring and leave alone; what trainer, preparing, a million clips, augmentation cost
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/quality.py

wheel: .venv/installed-dev  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## remove the environment and what was built; outputs/ and the cache stay
	rm -rf .venv dist build site .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "seenet needs Python 3.11, 3.12 or 3.13; say: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo "installing seenet into .venv (torch is large: some minutes, once)"
	$(PIP) install --quiet --progress-bar off -c constraints.txt -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PIP) install --quiet --progress-bar off -c constraints.txt -e '.[dev]'
	@touch $@

.venv/installed-docs: .venv/installed
	$(PIP) install --quiet --progress-bar off -c constraints.txt -e '.[docs]'
	@touch $@
