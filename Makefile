# make reproduce   train VDSM on the pendulum and write figures/pendulum/   (DATASET=sprites or another notebook of nbs/figures; PRESET=bf16 on a processor with bfloat16; DATASET=your_videos FOLDER=... for your own)
# make figures     all figures of the paper and more, from finished quick runs (a run that is not there is trained first); only what changed, several at a time
# make test        everything that has to hold
# make lab         JupyterLab on the notebooks
DATASET ?= pendulum
PRESET ?=
FOLDER ?=
SEED ?= 0
PYTHON ?= python3
BIN := .venv/bin

.PHONY: reproduce figures test lab notebooks FORCE
export PATH := $(CURDIR)/$(BIN):$(PATH)
# large blocks from huge pages, where Linux has them: a step took up to a fifth less time (figures/benchmark)
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

# of another preset, beside those of `quick`
OUT = figures/$(DATASET)$(addprefix _,$(filter-out quick,$(PRESET)))
reproduce: .venv/ready
	@test -f nbs/figures/$(DATASET).ipynb || { echo "unknown DATASET=$(DATASET); choose one of: $(notdir $(basename $(wildcard nbs/figures/*.ipynb)))"; exit 1; }
	@mkdir -p $(OUT)
	papermill nbs/figures/$(DATASET).ipynb $(OUT)/$(DATASET).ipynb $(if $(PRESET),-p preset $(PRESET) -p out $(OUT)) $(if $(FOLDER),-r folder "$(FOLDER)") -p seed $(SEED) --no-progress-bar

# a figure is a notebook, run on the run of a data set: figures/<notebook>_<data set>/; it is made when its notebook, the package or the run changed
FIGURE_DATASETS ?= pendulum sprites moving_mnist $(if $(wildcard $(or $(VDSM_DATA),data)/mug),mug)
FIGURES_OF_ALL ?= action_transfer generation experts traversals embeddings
JUDGED := table1 table2 table3 swap_benchmark
TABLES := $(JUDGED) disentanglement
FIGURES_pendulum := architecture frames_alone forty_frames film $(TABLES)
FIGURES_sprites := architecture frames_alone $(TABLES)
FIGURES_moving_mnist := forty_frames
FIGURES_mug := frames_alone
REPORT := $(patsubst nbs/figures/%.ipynb,figures/%/done,$(wildcard nbs/figures/report.ipynb))
JOBS ?= $(shell env -u OMP_NUM_THREADS nproc)
RUN := $(or $(PRESET),quick)-$(SEED)
CHOSEN := $(if $(PRESET),-p preset $(PRESET)) $(if $(filter-out 0,$(SEED)),-p seed $(SEED) -r seeds $(SEED))

# runs the notebook of a target `figures/<name>/done` with some parameters; `done` is what it leaves when it did not fail
made = @mkdir -p $(@D); rm -f $@; echo '$(@D) is running'; began=$$(date +%s); \
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} papermill $< $(@D)/$(notdir $<) $(1) --no-progress-bar --log-level ERROR > $(@D)/log.txt 2>&1 \
	&& touch $@ && echo "$(@D) is made, $$(($$(date +%s) - began)) s" || { echo "$(@D) failed: $$(grep -v '^ *$$' $(@D)/log.txt | tail -n 1), see $(@D)/log.txt"; exit 1; }

define figure
FIGURES += figures/$(1)_$(2)/done
figures/$(1)_$(2)/done: nbs/figures/$(1).ipynb data/.package data/runs/$(2)-$(RUN)/final/config.json $(if $(filter $(1),$(JUDGED)),data/judges/$(2)-train-0/config.json)
	$$(call made,-p dataset $(2) $(CHOSEN))
endef
$(foreach d,$(FIGURE_DATASETS),$(foreach f,$(sort $(FIGURES_OF_ALL) $(FIGURES_$(d))),$(eval $(call figure,$(f),$(d)))))

figures/report/done: nbs/figures/report.ipynb data/.package $(wildcard figures/*/metrics.json)
	$(call made)

# the report is over whatever was made, so it comes when all others have had their turn
figures: .venv/ready
	@AGAIN='$(MAKE) --no-print-directory --silent --keep-going'; $$AGAIN $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=$(JOBS)) $(FIGURES); $(if $(REPORT),$$AGAIN $(REPORT);) \
	for f in $(FIGURES) $(REPORT); do test -e $$f || missing="$$missing $${f%/done}"; done; \
	test -z "$$missing" && echo '$(words $(FIGURES) $(REPORT)) figures are made' || { echo "not made:$$missing"; exit 1; }

data/runs/%-$(RUN)/final/config.json:
	@echo 'the run of $* is training'
	@python -c "from vdsm.training.runs import open_run; open_run('$*', '$(or $(PRESET),quick)', $(SEED))"

data/judges/%-train-0/config.json:
	@echo 'the judge of $* is learning'
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} python -c "from vdsm.evaluate.judge import get_judge; get_judge('$*')"

# changes when what figures are made with does
data/.package: FORCE
	@now=$$({ cat $$(find vdsm -name '*.py' ! -name _modidx.py | sort); echo '$(RUN)'; } | cksum); test "$$now" = "$$(cat $@ 2> /dev/null)" || echo "$$now" > $@

test: export OMP_NUM_THREADS = 1
test: .venv/ready
	nbdev_test --n_workers 2 --do_print
	pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests

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
