# Commands for development and for the experiments of the paper. Each target installs its requirements into .venv once.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
CORPORA := emodb ravdess crema_d savee tess esd
FROZEN = dataset=$@ dataset.root="$(DATA)" tune=none output_dir=outputs/$@

.PHONY: $(CORPORA) help demo demo-all reproduce-all test test-slow lint format docs benchmark wheel clean

EXPERIMENTS := main backbones augmentation auxiliary noise cross-corpus
OPTIONS = $(if $(DRY),sweep.dry=true) $(ARGS)

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/installed  ## train SeeNet on the synthetic corpus (minutes on 2 cores)
	$(BIN)/seenet-train

# A real corpus on a laptop: baselines and a small frozen encoder, with a report. ENCODER=FOLDER replaces the download of
# Whisper tiny by a local folder; ARGS adds settings, e.g. ARGS=dataset.on_bad_file=quarantine.
$(CORPORA): .venv/installed
	@test -n "$(DATA)" || { echo "the folder of the corpus is missing; run: make $@ DATA=FOLDER" >&2; exit 1; }
	$(BIN)/seenet-train $(FROZEN) backbone=loudness_pitch head=majority $(ARGS)
	$(BIN)/seenet-train -m $(FROZEN) backbone=loudness_pitch,functionals head=svm sweep.report=false $(ARGS)
	$(BIN)/seenet-train $(FROZEN) backbone=whisper_tiny $(if $(ENCODER),backbone.path="$(ENCODER)") $(ARGS)
	$(BIN)/seenet-report outputs/$@

# Experiments of the paper: make reproduce-augmentation DATA=/data. DRY=1 prints the plan; ARGS='seed=0,1,2' adds settings.
$(EXPERIMENTS:%=reproduce-%): reproduce-%: .venv/installed
	@test -n "$(DATA)$$SEENET_DATA" || { echo "the folder of the corpora is missing; run: make $@ DATA=FOLDER" >&2; exit 1; }
	$(if $(DATA),SEENET_DATA="$(DATA)") $(BIN)/seenet-train experiment=$(subst -,_,$*) $(OPTIONS)

$(EXPERIMENTS:%=demo-%): demo-%: .venv/installed
	$(BIN)/seenet-train experiment=demo_$(subst -,_,$*) $(OPTIONS)

reproduce-all:  ## run every experiment of the paper (DATA=FOLDER of corpora); or reproduce-main, -backbones, ...; DRY=1: plan only
	@there=0; for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory reproduce-$$each DRY=1 || there=1; done; exit $$there
	$(if $(DRY),,@for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory reproduce-$$each || exit 1; done)

demo-all:  ## the same on the synthetic corpus; or demo-main, -backbones, -augmentation, -auxiliary, -noise, -cross-corpus
	@for each in $(EXPERIMENTS); do $(MAKE) --no-print-directory demo-$$each || exit 1; done

test: lint  ## run lint, then the fast tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=15

test-slow: .venv/installed-dev  ## run the tests that take minutes
	$(BIN)/python -m pytest -q -m slow -n 2 --dist worksteal --durations=15

lint: .venv/installed-dev  ## check style and format with ruff, and types with mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed-dev  ## fix style and format with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/installed-docs  ## draw the rooms and build the documentation site into site/
	$(BIN)/python docs/draw_architecture.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

benchmark: .venv/installed  ## measure speed, quality with and without speed-ups, and costs of trainer, augmentation, preparation, scale
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/epoch.py
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/prepare.py
	$(BIN)/python benchmarks/extraction.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/quality.py

wheel: .venv/installed-dev  ## build the wheel into dist/
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## remove the environment and build results; outputs/ and the cache remain
	rm -rf .venv dist build site .mypy_cache .pytest_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "seenet needs Python 3.11, 3.12 or 3.13; run: make PYTHON=python3.11 ..." >&2; exit 1; }
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
