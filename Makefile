# Everything works from Python >= 3.11 and make alone; `make help` lists the targets.
PYTHON ?= python3
PORT ?= 8080
SECONDS ?= 30
VENV := .venv
BIN := $(VENV)/bin
# Positions are those of one log: what runs on Kafka keeps its data apart from what does not.
KAFKA_DATA := .omniroute/with-kafka
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
UV_COMPILE := ../$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header

.DEFAULT_GOAL := help
.PHONY: connectors help install install-dev run run-kafka test bench mail-report fuzz-mail lint types format lock contracts clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

$(STAMP): requirements/base.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/base.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

$(DEV_STAMP): requirements/dev.txt $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@# Tests start many processes: compiled once, each starts in half the time.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib services shared >/dev/null 2>&1 || true
	@touch $@

install: $(STAMP) ## build .venv with .venv/bin/omniroute

install-dev: $(DEV_STAMP) ## add what tests, benches and checks need

run: $(STAMP) ## a living demo system on port 8080 (PORT=...)
	$(BIN)/omniroute up --demo --port $(PORT)

run-kafka: $(STAMP) ## the same on a real Kafka started from Maven's jars (needs Java 17 and mvn)
	OMNIROUTE_DATA_DIR=$(KAFKA_DATA) $(BIN)/python deploy/kafka/start.py --data $(KAFKA_DATA)/kafka -- $(BIN)/omniroute up --demo --port $(PORT)

test: $(DEV_STAMP) ## the whole test suite, side by side (`pytest`: one after the other)
	$(BIN)/python -m tests

bench: $(DEV_STAMP) ## ratios against baselines of the same run
	$(BIN)/python -m bench

mail-report: $(DEV_STAMP) ## how well sample mails are read (MAILS=folder)
	@$(BIN)/python -m tests.mail.report $(MAILS)

fuzz-mail: $(DEV_STAMP) ## feed the mail parser with mutated mails (SECONDS=30)
	@$(BIN)/python -m tests.mail.fuzz $(SECONDS)

lint: $(DEV_STAMP) ## style and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(DEV_STAMP) ## pyright
	$(BIN)/pyright

format: $(DEV_STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

contracts: $(STAMP) ## write docs/contracts/ (JSON Schema and AsyncAPI) from shared/contracts
	$(BIN)/python -m shared.contracts.export docs/contracts

connectors: $(STAMP) ## write the README's table of connectors from the registry
	$(BIN)/python -m services.channels.connectors.table

lock: $(BIN)/uv ## compile the hashed requirements files
	cd requirements && $(UV_COMPILE) base.in -o base.txt && $(UV_COMPILE) dev.in -o dev.txt

clean: ## remove what was built (keeps data under .omniroute)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache bench/out
