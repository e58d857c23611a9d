# Every target sets up what it needs first.
BIN := .venv/bin

.PHONY: demo test test-guests bench lint docs clean

demo: ## boot the demo guest and show its console and report
	@tools/setup
	@$(BIN)/python -m guests.demo

test: ## lint and the fast tests
	@tools/setup
	$(BIN)/pytest -q -n auto -m "not guest"

test-guests: ## boot real operating systems
	@tools/setup guests
	$(BIN)/pytest -q -n 2 -m guest tests

bench: ## compare with QEMU
	@tools/setup bench
	$(BIN)/python -m bench

lint: ## style, types, import contracts, spelling
	@tools/setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

clean:
	rm -rf .venv .cache build dist
