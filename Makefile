# dicap: `make run` shows it, `make test` proves it, `make install` puts it on an appliance. Needs GNU make, bash and Python >= 3.11.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help run venv test lint soak bench docs install install-program install-units uninstall clean

BIN := .venv/bin
# two processes: the tests start peers, browsers and encoders of their own beside them
JOBS ?= 2
PYTEST ?=
DESTDIR ?=
PREFIX := /opt/dicap

help:
	@echo "make run        start the demo: station, courier, a simulated hospital; prints the address of the screen"
	@echo "make test       everything that CI runs; installs what is missing and says what"
	@echo "make lint       ruff and mypy alone"
	@echo "make soak       the long repetitions"
	@echo "make bench      speed and memory figures"
	@echo "make docs       write the generated pages again"
	@echo "make install    program in $(PREFIX), systemd units, user and settings (DESTDIR= for a tree of its own)"
	@echo "make uninstall  take them away again; the spool and the settings stay"
	@echo "make clean      remove what was built here"

# the script decides by content whether there is anything to do: a second call takes no time
venv:
	@tools/make-venv

run: venv
	@exec $(BIN)/dicap run --demo $(ARGS)

test:
	@tools/install-test-tools
	@tools/make-venv test
	@$(MAKE) --no-print-directory lint-now
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --timeout 300 $(PYTEST)

lint:
	@tools/make-venv test
	@$(MAKE) --no-print-directory lint-now

.PHONY: lint-now
lint-now:
	$(BIN)/ruff check .
	$(BIN)/mypy

soak:
	@tools/install-test-tools
	@tools/make-venv test
	$(BIN)/python -m pytest --soak --timeout 3600 $(PYTEST)

bench:
	@tools/install-test-tools
	@tools/make-venv test
	$(BIN)/python tools/bench.py $(ARGS)

docs: venv
	$(BIN)/python tools/settings_page.py docs/settings.md

install: install-program install-units

install-program:
	@tools/install-program "$(DESTDIR)" "$(PREFIX)"

install-units:
	@tools/install-units "$(DESTDIR)"

uninstall:
	@tools/uninstall "$(DESTDIR)" "$(PREFIX)"

clean:
	rm -rf .venv build dist test-results .pytest_cache .mypy_cache .ruff_cache ./*.egg-info
	find appliance capture tests tools -name __pycache__ -type d -prune -exec rm -rf {} +
