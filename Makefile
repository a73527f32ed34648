# The environment lives in .venv, made from requirements.lock. Results go to ./results.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
SPACE ?= search_spaces/digits_cnn.yaml
# Otherwise each of the hundred processes that the tests start would compile our modules.
export PYTHONDONTWRITEBYTECODE :=
# One thread each: processes that all use every core slow each other down.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(RUN)/python -m pytest -q
# Three processes on two cores, because sweeps mostly wait; each runs whole modules. If one crashes, the run ends and
# names its test: pytest-xdist would hang when it hands out modules again.
TESTS := $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

.PHONY: install install-node canary sweep test test-hosts test-browser test-frameworks check bench lock ui gpu-check
install: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tune-app needs Python 3.11 or newer; try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# What a cluster machine needs, in the versions of the lock file: no page, server or tests.
install-node: $(VENV)/.installed-node

$(VENV)/.installed-node: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock setuptools
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock --no-build-isolation -e '.[tensorboard,gpu]'
	touch $@

sweep: install
	$(RUN)/tune-app run $(SPACE)

ui: install
	$(RUN)/tune-app ui

test: install
	$(TESTS)

# Clusters of several hosts on this machine; needs root and, in Debian, iproute2, openssh-server, rsync.
HOSTS ?= tests/hosts
test-hosts: install
	$(PYTEST) -rs $(HOSTS)

# The page in a real browser; needs Debian's chromium.
test-browser: install
	$(PYTEST) -rs -n 2 --dist loadfile tests/ui/browser

# The adapters with the real packages, which it installs; torch stays as the lock file has it.
test-frameworks: install
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock --no-build-isolation -e '.[frameworks]'
	$(PYTEST) -rs tests/frameworks tests/tasks/test_own_code.py tests/test_public.py

check: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(TESTS)

# Everything that needs a GPU; also what many configurations in one process would gain, if that script is there.
LANES := ../shared/fused_gpu_bench.py
gpu-check: install
	$(RUN)/python benchmarks/gpu_check.py
	$(RUN)/python benchmarks/graph_step.py
	test ! -e $(LANES) || $(RUN)/python $(LANES)

bench: install
	$(RUN)/python benchmarks/startup.py
	$(RUN)/python benchmarks/overhead.py
	$(RUN)/python benchmarks/peers.py
	$(RUN)/python benchmarks/health.py
	$(RUN)/python benchmarks/freed_memory.py
	$(RUN)/python benchmarks/devices.py
	$(RUN)/python benchmarks/live.py
	$(RUN)/python benchmarks/job_start.py
	$(RUN)/python benchmarks/api.py
	$(RUN)/python benchmarks/page.py

# Writes the exact versions of a fresh environment made from pyproject.toml. TORCH keeps torch at one version.
TORCH ?= torch==2.13.0
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet setuptools "$(TORCH)" -e '.[dev]'
	.venv-lock/bin/python -m pip freeze --all --exclude-editable | sed -e '/^pip==/d' -e 's/+cpu$$//' > requirements.lock
	rm -rf .venv-lock

# The newest releases, beyond the bounds of pyproject.toml: which versions differ, which tests break.
canary:
	$(PYTHON) -m venv --clear .venv-canary
	.venv-canary/bin/python tests/canary.py "$(TORCH)"

# The reference pages, then the site in site/; neither needs the network.
.PHONY: docs
docs: install
	$(RUN)/python docs/make_cli.py
	$(RUN)/python docs/make_space_file.py
	NO_MKDOCS_2_WARNING=1 $(RUN)/python -m mkdocs build --strict --quiet
