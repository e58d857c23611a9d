# Every target sets up what it needs first.
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-packaging fuzz oracle kill test-guests test-rdp bench lint docs clean

help: ## this list
	@grep -E '^[a-z-]+: ## ' Makefile | sed 's/: ## /\t/' | expand -t 18

demo: ## boot the demo guest and show its console and report
	@tools/setup
	@$(BIN)/python -m guests.demo

test: ## the fast tests
	@tools/setup tests
	$(BIN)/pytest -q -n auto -m "not guest and not packaging and not rdp_client"

test-packaging: ## build wheels, install them elsewhere and use them
	@tools/setup
	$(BIN)/pytest -q -m packaging tests/packaging

fuzz: ## look for guests and saved states that do harm, for an hour or so
	@tools/setup
	RINGONE_FUZZ_EXAMPLES=2000 RINGONE_FUZZ_PROGRAMS=50000 RINGONE_STORM_S=20 $(BIN)/pytest -q -n 2 tests/robustness \
		plugins/frontend_rdp/tests/test_parsers.py plugins/frontend_rdp/tests/test_recorded_sessions.py

oracle: ## run tens of thousands of generated kernels on every processor backend
	@tools/setup
	RINGONE_ORACLE_EXAMPLES=20000 $(BIN)/pytest -q -n 2 tests/oracle

kill: ## kill processes that change snapshots and settings, two hundred times
	@tools/setup tests
	RINGONE_KILLS=200 $(BIN)/pytest -q -n 2 tests/robustness/test_kill.py tests/snapshots tests/home/test_crashes.py

test-guests: ## boot real operating systems
	@tools/setup guests
	$(BIN)/pytest -q -n 2 --dist loadfile -m "guest and not rdp_client" tests

test-rdp: ## show the console to real RDP clients, and to storms of them
	@tools/setup rdp
	timeout --signal INT --kill-after 60 900 $(BIN)/pytest -q -n 2 --dist loadfile -o faulthandler_timeout=300 -m rdp_client plugins/frontend_rdp tests/test_rdp.py tests/test_rdp_linux.py

bench: ## compare with QEMU, and measure the RDP console
	@tools/setup bench
	@tools/setup rdp
	$(BIN)/python -m bench
	$(BIN)/python -m bench.rdp_console

lint: ## style, types, import contracts, spelling
	@tools/setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

docs: ## write docs/reference anew
	@tools/setup
	$(BIN)/python tools/gen_reference.py

clean: ## remove what the other targets made
	rm -rf .venv .cache .*_cache .hypothesis build dist
