# make reproduce   train VDSM on the pendulum and write figures/pendulum/   (DATASET=sprites or another notebook of nbs/8_figures; PRESET=bf16 on a processor with bfloat16; DATASET=your_videos FOLDER=... for your own)
# make figures     all figures of the paper and more, from finished quick runs (a run that is missing is trained first); only what changed, several at a time (FIGURES="table1 film" for some of them)
# make test        everything that has to hold
# make lab         JupyterLab on the notebooks
# make notebooks   what the notebooks say, written out: modules, README, clean metadata
# make evidence    NAMES="pendulum table1_pendulum": keep what these runs measured, for README
#
# Without make: `python -m vdsm reproduce`, `python -m vdsm figures`, `python -m pytest tests` (see README).
DATASET ?= pendulum
PRESET ?=
FOLDER ?=
SEED ?= 0
FIGURES ?=
FIGURE_DATASETS ?=
JOBS ?= 0
NAMES ?=
PYTHON ?= python3
BIN := .venv/bin

.PHONY: reproduce figures test lab notebooks evidence
export PATH := $(CURDIR)/$(BIN):$(PATH)
# large blocks from huge pages, where Linux has them: a step took up to a fifth less time (figures/evidence/step_timing)
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
# threads that wait spin briefly and then sleep, as `import vdsm` has it too; for kernels that load torch first
ifndef OMP_WAIT_POLICY
export GOMP_SPINCOUNT ?= 1000
endif

CHOSEN = $(if $(PRESET),--preset $(PRESET)) --seed $(SEED)
reproduce: .venv/ready
	@python -m vdsm reproduce $(DATASET) $(CHOSEN) $(if $(FOLDER),--folder "$(FOLDER)")

figures: .venv/ready
	@python -m vdsm figures $(FIGURES) --datasets "$(FIGURE_DATASETS)" --jobs $(JOBS) $(CHOSEN)

test: .venv/ready
	pytest -q -n 2 --no-loadscope-reorder tests

lab: .venv/ready
	jupyter lab nbs

notebooks: .venv/ready
	nbdev_export
	nbdev_clean
	python tests/sync.py

evidence: .venv/ready
	python tests/sync.py $(or $(NAMES),$(error which? Say NAMES="pendulum table1_pendulum"))

.venv/ready: requirements.txt settings.ini setup.py
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'vdsm needs Python 3.11 or newer; say which: make PYTHON=python3.11')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
