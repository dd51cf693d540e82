# `make help` lists what follows. Without make: see CONTRIBUTING.md.
#
# Options, as in `make reproduce DATASET=sprites SEED=1`:
#   DATASET   or another notebook of nbs/8_figures: `python -m vdsm reproduce --help` lists both
#   PRESET    how to train: quick, or bf16 on a processor with bfloat16 instructions
#   SEED      of the run
#   SEEDS     of the runs that tables are made of, as in make figures FIGURES=table1 SEEDS=0,1,2
#   FOLDER    with your videos, for DATASET=your_videos
#   FIGURES   which figures, as in FIGURES="table1 film"; FIGURE_DATASETS: of which data sets
#   JOBS      how many figures at a time; 0: one per core
#   NOTEBOOKS whose pictures to make, as in NOTEBOOKS="04_dynamics grids"
#   METHODS   what to compare, as in METHODS="VDSM, DSVAE"; without it all
#   NAMES     which results to keep, as in NAMES="pendulum table1_pendulum"
DATASET ?= pendulum
PRESET ?=
SEED ?= 0
SEEDS ?= 0
FOLDER ?=
FIGURES ?=
FIGURE_DATASETS ?=
JOBS ?= 0
NAMES ?=
METHODS ?=
NOTEBOOKS ?=
PYTHON ?= python3

# All commands come from the virtual environment, which the first target creates.
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# Large memory blocks from huge pages, where Linux has them (measured in figures/evidence/step_timing).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
# OpenMP threads spin briefly and then sleep. `import vdsm` sets it too; here it also holds for
# kernels that import torch first.
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 1000
endif

HOW = $(if $(PRESET),--preset $(PRESET))

.PHONY: help reproduce figures compare pictures test lab notebooks evidence measured mutants gif screenshot counts docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

reproduce: .venv/ready ## train on DATASET, measure it, and write figures/DATASET/
	@python -m vdsm reproduce $(DATASET) $(HOW) --seed $(SEED) $(if $(FOLDER),--folder "$(FOLDER)")

figures: .venv/ready ## all figures and tables; only what changed, and missing runs are trained first
	@python -m vdsm figures $(FIGURES) --datasets "$(FIGURE_DATASETS)" --jobs $(JOBS) $(HOW) --seeds $(SEEDS)

compare: .venv/ready ## train the methods on DATASET that are missing, and compare them all
	@python -m vdsm compare $(DATASET) --methods "$(METHODS)" $(HOW) --seeds $(SEEDS) --jobs $(or $(filter-out 0,$(JOBS)),1)

pictures: .venv/ready ## re-execute the notebooks that hold pictures, except those of nbs/8_figures
	JOBS=$(JOBS) python tests/pictures.py $(NOTEBOOKS)

test: .venv/ready ## run the tests of all notebooks and pytest
	pytest -q -n 2 --no-loadscope-reorder --durations=30 tests

lab: .venv/ready ## open JupyterLab on the notebooks
	jupyter lab --LabApp.default_url=/lab/tree/nbs

notebooks: .venv/ready ## write modules, README and RESULTS from the notebooks, and clean their metadata
	nbdev_export
	nbdev_clean
	python tests/sync.py

evidence: .venv/ready ## keep the results NAMES as evidence, from which README and RESULTS are computed
	python tests/sync.py $(or $(NAMES),$(error which? Say NAMES="pendulum table1_pendulum"))

measured: .venv/ready ## measure the pretrained models NAMES on their test splits, and keep the figures
	@python -c "import sys; from vdsm.lib.release_metrics import keep_metrics; keep_metrics(*sys.argv[1:])" $(or $(NAMES),pendulum sprites)

mutants: .venv/ready ## make 300 small mistakes in the code, one at a time, and see which ones no test notices
	python tests/mutants.py

gif: .venv/ready ## draw the GIF of the README from the pretrained Sprites model
	python tests/swap_gif.py

screenshot: .venv/ready ## draw the picture of the explorer, with the pretrained Sprites model
	python tests/explorer_picture.py

counts: .venv/ready ## count long lines, long cells, pictures and docstrings of the notebooks
	python tests/counts.py

docs: .venv/ready ## build the documentation; open _docs/html/index.html in a browser
	python tests/docs.py

.venv/ready: requirements.txt settings.ini setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'vdsm needs Python 3.11 or newer; say which: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
