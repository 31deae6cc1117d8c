# Threefold without containers. Each target sets up what it needs in .venv.
PYTHON ?= python3
export USERS_PORT ?= 8001
export PRODUCTS_PORT ?= 8002
export ORDERS_PORT ?= 8003
export USERS_URL ?= http://127.0.0.1:$(USERS_PORT)
export PRODUCTS_URL ?= http://127.0.0.1:$(PRODUCTS_PORT)
export ORDERS_URL ?= http://127.0.0.1:$(ORDERS_PORT)
export DATA_DIR ?= data
export PATH := $(CURDIR)/.venv/bin:$(PATH)
READY = .venv/.ready

.PHONY: help demo run test bench chaos generated fuzz check format lock sbom clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(READY)  ## services, sample data, 10,000 concurrent writes and their audit; then it stops
	@python tools/preflight.py
	@ACCESS_LOG=0 COLUMNS=$${COLUMNS:-110} honcho start --no-prefix

run: $(READY)  ## the three services until Ctrl-C
	@python tools/preflight.py
	@honcho start users products orders

test: $(READY)  ## all tests; those of containers where an engine runs
	@python -m pytest -n 2 --dist loadfile -m "not alone"
	@python -m pytest -m alone

bench: $(READY)  ## beside its peers and limits; needs wrk, oha, an engine; ONLY=peers,bulk, BENCH=--short, BENCH=--help
	@python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@python -m bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

chaos: $(READY)  ## faults under load in containers, then the audit; FAULT=kill-orders, FAULT=short, SEED=1 FAULTS=200 FLOW=1000
	@python -m chaos $(if $(FAULT),--fault $(FAULT)) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(FLOW),--flow $(FLOW))

generated: $(READY)  ## 20,000 generated requests against the three services; GENERATED="--examples 50 --seed 7"
	@python -m tests.generated $(GENERATED)

fuzz: $(READY)  ## coverage-guided fuzzing of what parses bytes, a minute each; TARGETS="body answer", SECONDS=600
	@python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@for target in $(or $(TARGETS),body fields parameters keys lookup answer judged ledger); do \
		python -m tests.fuzz $$target --seconds $(or $(SECONDS),60) || exit 1; done

check: $(READY)  ## lint, format, types, known holes in what is locked
	@ruff check . && ruff format --check . && mypy && python tools/audit.py

sbom: $(READY)  ## what is in the images, as CycloneDX documents in reports/sbom; needs an engine
	@python tools/sbom.py reports/sbom

format: $(READY)  ## put the code into its format
	@ruff check --fix . ; ruff format .

lock: $(READY)  ## the newest versions of all dependencies, with hashes
	@pip install -q uv && for name in services loadgen dev bench fuzz; do uv pip compile -q --upgrade --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		requirements/$$name.in -o requirements/$$name.txt || exit 1; done

clean:  ## remove what make has made: environment, data, reports
	rm -rf .venv data reports

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"Threefold needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true). Install one and say: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }
	@echo "Setting up .venv with the locked requirements (once) ..."
	@$(PYTHON) -m venv --clear .venv || { echo "No virtual environment could be made: install the venv module (Debian: apt install python3-venv)." >&2; exit 2; }
	@python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
