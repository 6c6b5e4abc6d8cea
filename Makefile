# Everything happens in .venv, which is made once and touched again only when a lock file changes.
# Needs make and a Python >= 3.11; `make PYTHON=/path/to/python run` chooses one.
#
#   make run       install what the daemon needs, then start it       ARGS="--config other.yaml"
#   make env       only install what the daemon needs
#   make fast      also install what `server.front: granian` needs
#   make check     ruff, ruff format, mypy
#   make test      every test but the slow ones                       ARGS="-k holder -x"
#   make soak      the slow ones
#   make bench     every benchmark, and bench/REPORT.md; under 15 minutes (wants wrk)     ARGS="--only swap"
#   make bench-env only install what the bench compares with, for the single scripts: python -m bench.NAME
#   make classroom the classroom's load test against a running daemon
#   make examples  re-make the example models
#   make lock      re-make the lock files from pyproject.toml
#   make clean     remove what make made; models, state and logs stay

SHELL := /bin/sh
PYTHON ?=
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
RUN := $(VENV)/.installed-run
FAST := $(VENV)/.installed-fast
DEV := $(VENV)/.installed-dev
BENCH_VENV := .venv-bench
BENCH := $(BENCH_VENV)/.installed
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-input --require-hashes

export ORT_DISABLE_TELEMETRY = 1

.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
.PHONY: run env fast check test soak bench bench-env classroom examples lock venv clean

run: $(RUN)
	@exec $(PY) run_daemon.py $(ARGS)

env: $(RUN)

fast: $(FAST)

check: $(DEV)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: $(DEV)
	@exec $(PY) -m pytest -m "not slow" $(ARGS)

soak: $(DEV)
	@exec $(PY) -m pytest -m slow --timeout 1800 $(ARGS)

bench: $(DEV) bench-env
	@exec $(PY) -m bench.report $(ARGS)

bench-env: $(BENCH)

classroom: $(DEV)
	@exec $(PY) examples/classroom_load_test.py $(ARGS)

examples: $(DEV)
	$(PY) examples/make_models.py

venv: $(PY)

# The first Python that answers and is new enough; one that is merely on the PATH may be an empty shim.
$(PY):
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
	    echo "making $(VENV) with $$("$$python" -V)"; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV) && exit 0; \
	    rm -rf $(VENV); \
	    echo "$$python could not make $(VENV); on Debian and Ubuntu: apt install python3-venv" >&2; \
	    exit 1; \
	done; \
	echo "no Python >= 3.11 found; install one, or name it: make PYTHON=/path/to/python" >&2; \
	exit 1

$(RUN): requirements-run.lock $(PY)
	@echo "installing what the daemon needs into $(VENV) (once)"
	@$(PY) $(PIP_INSTALL) -r requirements-run.lock
	@touch $@

$(FAST): requirements-fast.lock $(PY)
	@echo "installing what the daemon needs and granian into $(VENV) (once)"
	@$(PY) $(PIP_INSTALL) -r requirements-fast.lock
	@touch $@ $(RUN)

# The dev lock holds everything that the other two do, in the same versions.
$(DEV): requirements.lock $(PY)
	@echo "installing what development needs into $(VENV) (once)"
	@$(PY) $(PIP_INSTALL) -r requirements.lock
	@touch $@ $(RUN) $(FAST)

# What is measured beside the daemon has an environment of its own: the product never installs it.
$(BENCH): bench/requirements.lock $(PY)
	@echo "installing what the bench compares with into $(BENCH_VENV) (once)"
	@rm -rf $(BENCH_VENV)
	@$(PY) -m venv $(BENCH_VENV)
	@$(BENCH_VENV)/bin/python $(PIP_INSTALL) -r bench/requirements.lock
	@touch $@

# Resolved with the oldest Python that is supported: what it needs is what all of them need. Hashes of every
# published file are kept, so one lock serves each Python and platform.
COMPILE := .venv-lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options --annotation-style=line
lock: export CUSTOM_COMPILE_COMMAND = make lock
lock:
	rm -rf .venv-lock
	$(or $(PYTHON),python3.11) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check pip-tools
	$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file requirements-run.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --extra fast --output-file requirements-fast.lock pyproject.toml
	$(COMPILE) --constraint requirements.lock --output-file bench/requirements.lock bench/requirements.in
	rm -rf .venv-lock

clean:
	rm -rf $(VENV) $(BENCH_VENV) .venv-lock bench/.measured build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
