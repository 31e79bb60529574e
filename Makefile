# `make test` makes its own environment and installs what it needs; `make check` is the fast part.
PY := .venv/bin/python

.PHONY: help check test environment machine lock check-measured clean
help:
	@echo "make check           lint, types, import direction, unit tests: under a minute"
	@echo "make test            that, and contract and integration tests with the real engine and registry"
	@echo "make lock            make the lock files anew from pyproject.toml"
	@echo "make check-measured  name the figures of docs/measured.md that were measured on other inputs"

environment:
	@python3 CLI/cli.py --environment

check: environment
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/hadolint Stack/*/Dockerfile examples/*/*/Dockerfile
	.venv/bin/lint-imports --verbose | tail -n 20
	$(PY) -m pytest -q -n 2 tests/unit

machine: environment
	$(PY) tests/tools/machine.py

# The files in this order, those with the longest tests first; xdist would begin with those of many.
test: machine check
	$(PY) -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder tests/integration tests/contract

lock: environment
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q -o requirements-dev.lock

check-measured: environment
	$(PY) bench/check_measured.py

clean:
	rm -rf .venv .venvs
