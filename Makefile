# A new machine needs Python 3.11 or newer and make. Everything else is downloaded into this folder and the cache.

PYTHON ?= python3
UV := .tools/bin/uv
RUN := .venv/bin/python
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup secrets temporal temporal-postgres scaled-test demo up test check audit attack docs bench bench-peers clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

setup: $(UV) ## Install the product, and a Temporal server unless TEMPORAL_ADDRESS names one
	@$(UV) sync --locked --quiet --compile-bytecode
	@$(RUN) -m compileall -q orchestrator activities workflows api
	@[ -n "$$TEMPORAL_ADDRESS" ] || $(RUN) -m orchestrator.engine.server_binary >/dev/null

secrets: ## Create the missing passwords and keys of docker-compose.yml in secrets/
	@sh temporal/setup-secrets.sh secrets

temporal: $(UV) ## Download or build the Temporal server and print its path
	@$(UV) sync --locked --quiet
	@$(RUN) -m orchestrator.engine.server_binary

# For use without Docker, with your own PostgreSQL: docs/scaled-mode.md.
temporal-postgres: ## Build the PostgreSQL-backed Temporal server and its schema tool into .tools/bin
	@mkdir -p .tools/bin
	@echo "Building temporal-server and temporal-sql-tool with Go; takes a few minutes the first time"
	@cd temporal/devserver && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../.tools/bin/temporal-server go.temporal.io/server/cmd/server
	@cd temporal/devserver && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o ../../.tools/bin/temporal-sql-tool go.temporal.io/server/cmd/tools/sql

scaled-test: setup temporal-postgres ## Run docs/scaled-mode.md line by line: PostgreSQL, Redis, two APIs, four workers
	@SCALED_TEST=1 $(RUN) -m pytest -q -s tests/e2e/test_scaled_mode.py

demo: setup ## Run one job and show what happens
	@$(RUN) examples/demo.py

up: setup ## Start everything on this machine: Temporal, API and worker
	@$(RUN) -m orchestrator dev

test: check ## Run every check and every test
	@$(RUN) -m tests.run --conformance --numprocesses 2 --dist loadfile

# Each tool is silent unless it finds something.
quietly = @out=$$($(1) 2>&1) || { printf '%s\n' "$$out" "make check: \`$(1)\` failed" >&2; exit 1; }

check: setup ## Format, lint, types, import contracts, dependencies, security of the code
	$(call quietly,.venv/bin/ruff format --check .)
	$(call quietly,.venv/bin/ruff check .)
	$(call quietly,.venv/bin/mypy)
	$(call quietly,.venv/bin/mypy examples/demo.py docs/build.py docs/picture.py)
	$(call quietly,.venv/bin/lint-imports --no-logo)
	$(call quietly,.venv/bin/deptry .)
	$(call quietly,.venv/bin/bandit --quiet --configfile pyproject.toml --recursive orchestrator activities workflows api sdks/python/*/src)

# It needs the network for the advisory databases, so it is not part of `check`.
audit: setup ## Search known vulnerabilities in the locked dependencies
	@$(UV) export --quiet --locked --all-groups --all-extras --no-emit-project --format requirements-txt --output-file .tools/locked.txt
	@$(RUN) -m tests.audit .tools/locked.txt

attack: setup ## Attack a running product and print the results: hostile bodies, tokens, frames, floods
	@$(RUN) -m tests.attack $(ATTACK)

docs: $(UV) ## Build the documentation site into build/site; broken links fail
	@UV_PROJECT_ENVIRONMENT=.tools/docs $(UV) sync --locked --quiet --only-group docs
	@.tools/docs/bin/python docs/build.py

bench: setup ## Measure speed and cost on this machine; BENCH="--only agents" measures one part
	@$(RUN) bench/run.py $(BENCH)

bench-peers: setup ## Measure the same jobs on the bare Temporal SDK, DBOS and Prefect; needs PostgreSQL
	@for peer in dbos prefect; do \
	  $(UV) venv --quiet --allow-existing .tools/peers/$$peer && \
	  $(UV) pip install --quiet --python .tools/peers/$$peer/bin/python -r bench/peers/$$peer.txt || exit 1; \
	done
	@$(RUN) -m bench.peers.run $(BENCH)

clean: ## Remove the files of setup and the tools; keep jobs in .orchestrator and the cached server
	@rm -rf .venv .tools .cache dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is required; this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv .tools || { echo "make: \`$(PYTHON) -m venv\` failed; on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@.tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'
