# Two commands for a newcomer: `make demo` and `make test`; each does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
VIDEO ?=
# Two processes; a file's tests stay together, for what they share, and files keep their order, which
# puts those of few long tests not last. A Ray of two cores needs both processes' cores.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: install demo demo-heads test test-all check format clean

install: $(STAMP)

$(STAMP): pyproject.toml infra/constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Reelbank needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint infra/constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/reelbank demo --folder demo $(if $(VIDEO),--video '$(VIDEO)')

demo-heads: install
	$(BIN)/reelbank demo-heads

test: install
	$(PYTEST) --ignore=tests/jobs/test_ray.py
	$(BIN)/python -m pytest tests/jobs/test_ray.py

# Slow tests too, and the fast ones again on Python 3.12 where it is found.
test-all: install
	$(PYTEST) -m 'slow or not slow' --ignore=tests/jobs/test_ray.py
	$(BIN)/python -m pytest -m 'slow or not slow' tests/jobs/test_ray.py
	@if python3.12 -c "" 2>/dev/null; then \
		$(MAKE) test PYTHON=python3.12 VENV=.venv312; \
	else \
		echo 'python3.12 was not found: the tests ran on $(PYTHON) alone'; \
	fi

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf demo demo-heads build *.egg-info .pytest_cache .mypy_cache .ruff_cache
