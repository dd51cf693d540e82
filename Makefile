# make reproduce   train VDSM on the pendulum and write figures/pendulum/   (DATASET=sprites, objectives or benchmark for another notebook of nbs/figures)
# make test        everything that has to hold
# make lab         JupyterLab on the notebooks
DATASET ?= pendulum
PRESET ?=
SEED ?= 0
PYTHON ?= python3
BIN := .venv/bin

.PHONY: reproduce test lab notebooks
export PATH := $(CURDIR)/$(BIN):$(PATH)
# glibc hands large blocks back to the system and zeroes them again in every step; keeping them saves a fifth of the time
export MALLOC_MMAP_MAX_ ?= 0
export MALLOC_TRIM_THRESHOLD_ ?= 10000000000
export MALLOC_TOP_PAD_ ?= 268435456

reproduce: .venv/ready
	@test -f nbs/figures/$(DATASET).ipynb || { echo "unknown DATASET=$(DATASET); choose one of: $(notdir $(basename $(wildcard nbs/figures/*.ipynb)))"; exit 1; }
	@mkdir -p figures/$(DATASET)
	papermill nbs/figures/$(DATASET).ipynb figures/$(DATASET)/$(DATASET).ipynb $(if $(PRESET),-p preset $(PRESET)) -p seed $(SEED) --no-progress-bar

test: .venv/ready
	nbdev_test --n_workers 2 --do_print
	pytest -q tests

lab: .venv/ready
	jupyter lab nbs

# what the notebooks say, written out: modules, README, clean metadata
notebooks: .venv/ready
	nbdev_export
	nbdev_clean
	python tests/sync.py

.venv/ready: requirements.txt settings.ini setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'vdsm needs Python 3.11 or newer; say which: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
