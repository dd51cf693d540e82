# make reproduce   train VDSM on the pendulum and write figures/pendulum/   (DATASET=sprites or another notebook of nbs/figures; DATASET=your_videos FOLDER=... for your own)
# make test        everything that has to hold
# make lab         JupyterLab on the notebooks
DATASET ?= pendulum
PRESET ?=
FOLDER ?=
SEED ?= 0
PYTHON ?= python3
BIN := .venv/bin

.PHONY: reproduce test lab notebooks
export PATH := $(CURDIR)/$(BIN):$(PATH)
# large blocks from huge pages, where Linux has them: a step took up to a fifth less time (figures/benchmark)
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

reproduce: .venv/ready
	@test -f nbs/figures/$(DATASET).ipynb || { echo "unknown DATASET=$(DATASET); choose one of: $(notdir $(basename $(wildcard nbs/figures/*.ipynb)))"; exit 1; }
	@mkdir -p figures/$(DATASET)
	papermill nbs/figures/$(DATASET).ipynb figures/$(DATASET)/$(DATASET).ipynb $(if $(PRESET),-p preset $(PRESET)) $(if $(FOLDER),-r folder "$(FOLDER)") -p seed $(SEED) --no-progress-bar

test: .venv/ready
	nbdev_test --n_workers 2 --do_print
	OMP_NUM_THREADS=1 pytest -q -n 2 tests

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
