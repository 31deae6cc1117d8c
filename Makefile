# Threefold without containers. Each target sets up what it needs in .venv.
PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# PYTHON, if somebody has named it: another one than .venv was made with then makes it anew.
NAMED = $(if $(filter file,$(origin PYTHON)),,"$(PYTHON)")

.PHONY: help demo run lessons lesson test bench chaos swarm sale generated model check audit sbom format lock screenshots clean setup

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

demo: setup  ## services, sample data, 10,000 concurrent writes and their audit; then it stops
	@exec python -m tools.run demo

run: setup  ## the three services until Ctrl-C
	@exec python -m tools.run

lessons: setup  ## list the lessons of the course
	@python -m lessons

lesson: setup  ## run a lesson: N=1, or N=name; SOUND=1 without its fault, AGAIN=1 with your changes, PAGE=1, DIFF=1, COST=1
	@python -m lessons $(or $(N),$(error say which one: make lesson N=1)) \
		$(if $(SOUND),--sound) $(if $(AGAIN),--again) $(if $(DIFF),--diff) $(if $(COST),--cost) $(if $(PAGE),--page)

test: setup  ## all tests; those of containers where an engine runs
	@python -m pytest -n 2 --dist loadfile -m "not alone"
	@python -m pytest -m alone

bench: setup  ## compare with peers and limits; needs wrk, oha, an engine; ONLY=peers,bulk, BENCH=--short, BENCH=--help
	@python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@python -m bench $(if $(ONLY),--only $(ONLY)) $(BENCH)

chaos: setup  ## faults under load in containers, then the audit; FAULT=kill-orders, FAULT=short, SEED=1 FAULTS=200 FLOW=1000, ENGINE=postgres
	@python -m chaos $(if $(ENGINE),--engine $(ENGINE)) $(if $(FAULT),--fault $(FAULT)) $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) \
		$(if $(FLOW),--flow $(FLOW))

swarm:  ## the highly available stack on this machine, one run of the load, then it is removed; needs an engine
	@exec bash deploy/swarm/swarm.sh run

sale: setup  ## a flash sale in containers while orders and products are killed, then the audit; WRITES=100000
	@python -m chaos.sale $(if $(WRITES),--writes $(WRITES))

generated: setup  ## 20,000 generated requests against the three services; GENERATED="--examples 50 --seed 7"
	@python -m tests.generated $(GENERATED)

model:  ## every interleaving of the protocol of limited stock, and its wrong variants; MODEL=--big takes minutes
	@$(PYTHON) -m tests.model $(MODEL)

check: setup  ## lint, format, types, known vulnerabilities of locked dependencies
	@ruff check . && ruff format --check . && mypy
	@$(MAKE) -s --no-print-directory audit

# pip-audit passes where PyPI knows none of the packages, and fails where nobody answers: ask for one of them first.
FLASK = $(shell sed -n 's/^flask==\([^ ]*\).*/\1/p' requirements/services.txt)
audit: setup  ## known vulnerabilities of locked dependencies, as PyPI knows them
	@if python -c 'import urllib.request as u; u.urlopen("https://pypi.org/pypi/flask/$(FLASK)/json", timeout=10)' 2>/dev/null; \
	then pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/bench.txt; \
	else echo "WARNING: dependencies were NOT checked for known vulnerabilities: PyPI cannot be asked for them from here." >&2; fi

sbom: setup  ## the Python packages of the images, as CycloneDX documents in reports/sbom
	@mkdir -p reports/sbom && pip install -q uv && for name in postgres loadgen; do uvx -q --from cyclonedx-bom==7.5.0 \
		cyclonedx-py requirements requirements/$$name.txt -o reports/sbom/$$name.cdx.json || exit 1; done

format: setup  ## format the code
	@ruff check --fix . ; ruff format .

lock: setup  ## the newest versions of all dependencies, with hashes
	@pip install -q uv && for name in services postgres loadgen dev bench; do uv pip compile -q --upgrade --universal --generate-hashes \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		requirements/$$name.in -o requirements/$$name.txt || exit 1; done

screenshots: setup  ## take the pictures in docs/images again; needs Chromium
	@python -m docs.screenshots

clean:  ## remove what make has made: environment, data, reports
	rm -rf .venv data reports

setup:
	@.venv/bin/python -I tools/environment.py check $(NAMED) 2>/dev/null || { \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"Threefold needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true). Install one and say: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; exit 2; }; \
		$(PYTHON) -I tools/environment.py make; }
