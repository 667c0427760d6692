# One word for everything. Every target sets up what it needs by itself; the second time that costs nothing.
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench fuzz sim mutants soak crash cluster web lock clean

N ?= 5
FUZZ_S ?= 60
JOBS ?= 2
SEED ?= $(shell date +%s)
SEEDS ?= 50
MINUTES ?= 10
KILLS ?= 1000
PYTEST_ARGS ?=
PY := .venv/bin/python

# Tests start hundreds of processes; without compiled files each compiles all of INOS again, 0.6 s of a node's start.
unexport PYTHONDONTWRITEBYTECODE

help: ## show this
	@sed -n 's/^\([a-z]*\):[^#]*## /\1 /p' Makefile | while read -r name text; do printf '  make %-9s %s\n' "$$name" "$$text"; done

setup: ## make .venv from the lock (every other target does it too)
	@sh scripts/setup.sh

demo: setup ## a 7-node mesh on this machine: a real file in, two nodes killed, the file back
	@.venv/bin/inos demo

test: setup ## all tests (PYTEST_ARGS="tests/core -x" for some; JOBS=2 in parallel)
	@sh scripts/browser.sh
	@$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup ## style, types and layers
	@sh scripts/lint.sh

format: setup ## rewrite the code the way lint wants it
	@$(PY) -m ruff check --fix . && $(PY) -m ruff format .

bench: setup ## measure; JSON and a table land in bench/results
	@$(PY) -m bench

fuzz: setup ## feed every decoder garbage, FUZZ_S=60 seconds each (TARGET=record for one)
	@sh scripts/fuzz.sh "$(FUZZ_S)" $(TARGET)

sim: setup ## 50 fresh seeds: 20 nodes, 10 simulated minutes of faults each (SEED=1 SEEDS=50 MINUTES=10)
	@$(PY) -m inos sim --seed $(SEED) --seeds $(SEEDS) --minutes $(MINUTES) --jobs $(JOBS)

mutants: setup ## put known faults into the simulated code one by one and see each noticed
	@$(PY) -m inos sim --mutate all --nodes 7 --minutes 4 --seeds 10

soak: setup ## kill nodes at random moments, at least 100 times; takes long
	@$(PY) -m pytest -m soak --timeout 7200 tests/soak $(PYTEST_ARGS)

crash: setup ## kill every operation at its changes to the disk, cut its power there, flip bytes (KILLS=1000 SEED=1)
	@$(PY) -m crash --kills $(KILLS) --seed $(SEED) --jobs $(JOBS)

cluster: setup ## leave N=5 nodes running below .cluster and print how to reach and stop them
	@.venv/bin/inos cluster "$(N)"

web: ## build the pages of web/ into the package (needs node 20.19 or newer)
	@sh scripts/web.sh build

lock: setup ## write requirements/*.lock anew from requirements/*.in (needs uv)
	@sh scripts/lock.sh

clean: ## remove everything that was made here, .venv too; stops the cluster first
	@[ ! -d .cluster ] || [ ! -x .venv/bin/inos ] || .venv/bin/inos cluster --stop
	rm -rf .cluster
	rm -rf .venv web/node_modules build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf fuzz/corpus fuzz/crashes bench/results
	find src tests fuzz bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
