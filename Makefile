# Two commands to know: `make demo` and `make check`. `make help` lists the rest.
# Each target sets up what it needs, on a machine that has only Python 3.11 and make.

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-around test-here test-soak test-fast test-peers test-gevent test-oldest lint docs check bench bench-full bench-compare soak format clean

VENV := .venv
OLDEST := .venv-oldest
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check install --quiet

# The first interpreter that really starts: a version manager's shim may stand for nothing.
ifndef PYTHON
PYTHON := $(or $(shell for p in python3.11 python3; do \
	if $$p -c "" >/dev/null 2>&1; then echo $$p; break; fi; done),python3)
endif

# A stamp is dated before its installation began and put in place only after it succeeded: an
# interrupted run is done again, and so is one during which pyproject.toml changed. The virtual
# environment is kept unless its interpreter or its pip no longer works.
DEMO := $(VENV)/.stamp-demo
DEV := $(VENV)/.stamp-dev
OLD := $(OLDEST)/.stamp-oldest

define ready
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || \
		{ echo "tokenward needs Python 3.11 or newer, and $(PYTHON) is older or missing:" \
			"install Python 3.11, or name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment: install python3-venv" \
			"(Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@$(PIP) --help >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@.begun
	@echo "Installing into $(VENV) ..."
	@$(PIP) "pip>=25.1"
endef

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | while IFS="$$(printf '\t')" read -r t d; do \
		printf '  make %-12s %s\n' "$$t" "$$d"; done

demo: $(DEMO) ## the example applications, running on this machine (CHECK=1: try them and exit)
	$(PY) -m tokenward demo $(if $(CHECK),--check)

test: $(DEV) $(OLD) ## every test, under branch coverage; on greenlets; with the oldest releases admitted
	tools/install_browser.sh
	tools/install_peers.sh
	$(PY) -m coverage erase
	$(MAKE) -j3 test-around test-here test-oldest
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report
	$(MAKE) -j2 test-gevent test-soak

# Three lanes side by side: what talks to other processes, what works inside this one, and the oldest
# releases. The short soak comes after them, when the machine is quiet enough to judge a trend.
AROUND := tests/peers tests/browser tests/faults

test-around:
	$(PY) -m coverage run -m pytest -p no:cacheprovider $(AROUND)

test-here:
	$(PY) -m coverage run -m pytest -p no:cacheprovider $(addprefix --ignore=,$(AROUND))

test-soak:
	SOAK_S=$${SOAK_S:-300} $(PY) -m benchmarks.soak --output build/soak

test-fast: $(DEV) ## every test that needs no foreign server and no browser
	$(PY) -m pytest -m "not peer" --ignore=tests/peers --ignore=tests/browser

test-peers: $(DEV) ## the tests against servers and clients that nobody here wrote
	tools/install_peers.sh
	$(PY) -m pytest tests/peers

test-gevent: $(DEV) ## the concurrency tests again, on gevent's greenlets instead of threads
	TOKENWARD_GEVENT=1 $(PY) -m gevent.monkey --module pytest -p no:cacheprovider -m "not peer" tests/concurrency

test-oldest: $(OLD) ## what meets a framework, with the oldest releases that pyproject.toml admits
	$(OLDEST)/bin/python -m pytest -p no:cacheprovider tests/unit tests/edges tests/contract \
		tests/peers/test_wsgi_frameworks.py \
		--ignore=tests/unit/benchmarks --ignore=tests/unit/test_time_zone.py

lint: $(DEV) ## ruff, mypy, import directions, rules
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy $(wildcard src tests/typing examples benchmarks tools)
	$(VENV)/bin/lint-imports
	$(PY) tools/check_rules.py

docs: $(DEV) ## the documentation, into build/docs; every warning is an error
	$(PY) -m sphinx -E -W -n --keep-going -q docs build/docs

check: lint test docs ## everything that must hold before a change goes in

bench: $(DEV) ## the benchmarks, the short way, into build/benchmarks (NAMES="cached_verify ...": these only)
	tools/install_peers.sh
	$(PY) -m benchmarks $(NAMES)

bench-full: $(DEV) ## the benchmarks as published, an hour, into docs/benchmarks
	tools/install_peers.sh
	$(PY) -m benchmarks --full --output docs/benchmarks $(NAMES)

bench-compare: $(DEV) ## what a change did: BASE=<rev> against this tree (NAMES="cached_verify ...")
	@test -n "$(BASE)" || { echo "name the revision to compare with: make bench-compare BASE=HEAD" >&2; exit 1; }
	tools/install_peers.sh
	$(PY) -m benchmarks --compare $(BASE) $(NAMES)

soak: $(DEV) ## an hour of everything at once: memory, descriptors and threads stay flat (SOAK_S=seconds)
	tools/install_peers.sh
	$(PY) -m benchmarks.soak --output docs/benchmarks

format: $(DEV) ## put the code in its form
	$(PY) -m ruff check --fix --exit-zero --quiet
	$(PY) -m ruff format

clean: ## remove what make made
	rm -rf $(VENV) $(OLDEST) .demo build dist .coverage .coverage.* .hypothesis .import_linter_cache \
		.mypy_cache .pytest_cache .ruff_cache
	find src tests tools docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(DEMO): pyproject.toml $(PY)
	$(ready)
	@$(PIP) --editable ".[flask,django,serve]"
	@mv $@.begun $@

# What development needs contains what the demo needs.
$(DEV): pyproject.toml $(PY)
	$(ready)
	@$(PIP) --editable ".[all]" --group dev
	@cp -p $@.begun $(DEMO)
	@mv $@.begun $@

$(OLD): VENV := $(OLDEST)
$(OLD): pyproject.toml tools/oldest.txt $(OLDEST)/bin/python
	$(ready)
	@$(PIP) --constraint tools/oldest.txt --editable ".[all]" --group test
	@mv $@.begun $@

# Missing or dangling: no prerequisite can make it, so the stamps above are made anew.
$(PY) $(OLDEST)/bin/python: ;
