# The commands of this project. Everything behind them is plain Python: scripts/bootstrap.py.
PYTHON ?= python3

.PHONY: help run test lint types bench clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/	/' | expand -t 10

run: ## Install what is missing, get the embedded model, serve the app (HOST=, PORT=)
	@$(PYTHON) scripts/bootstrap.py run

test: ## Install what tests need, Chromium included; lint, types, all tests
	@$(PYTHON) scripts/bootstrap.py test

lint: ## Lint and formatting alone
	@$(PYTHON) scripts/bootstrap.py lint

types: ## Type checks alone
	@$(PYTHON) scripts/bootstrap.py types

bench: ## List the benchmarks, or run one: make bench ARGS="perplexity --text FILE"
	@$(PYTHON) scripts/bootstrap.py bench $(ARGS)

clean: ## Remove .venv and caches (the converted model stays in the user's cache folder)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
