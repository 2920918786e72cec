# Argos: what can be done from a checkout. `make help` explains; each target can be interrupted and run again.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.PHONY: help up down check test e2e bench build venv

# Seconds that a suite may take, on 2 cores and cold (docs/performance.md has what they took).
BUDGET_CHECK := 180
BUDGET_GO := 600
BUDGET_SANITY := 420
BUDGET_UP := 600
BUDGET_INTEGRATION := 1200
BUDGET_LONG := 240
BUDGET_ENDURANCE := 400
BUDGET_E2E := 1200
BUDGET_MOLECULE := 600
export BUDGET_CHECK BUDGET_GO BUDGET_SANITY BUDGET_UP BUDGET_INTEGRATION BUDGET_LONG BUDGET_ENDURANCE BUDGET_E2E BUDGET_MOLECULE

# GUEST=name        another guest beside the checkout's own        SUBNET=10.77.0.0/24   its network
# INVENTORY=path    a machine of your own (see inventory/example)   ARGS='--check --diff' for ansible-playbook
GUEST ?=
INVENTORY ?= inventory/example
ARGS ?=
export SUBNET

help: ## Say what each target does
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@sed -n 's/^# \(\(GUEST\|INVENTORY\)=.*\)/  \1/p' $(MAKEFILE_LIST)

up: ## A working edge from nothing: guest, Caddy with WAF, CrowdSec, panel, two sample hosts
	@python3 scripts/up.py --guest "$(GUEST)" --inventory "$(INVENTORY)" -- $(ARGS)

down: ## Remove the guest and everything made for it, and nothing else
	@scripts/down "$(GUEST)"

check: ## Format, lint, types, playbooks, unit tests, Go vet: under 3 minutes
	@python3 scripts/check.py

test: ## Everything: check, Go race tests, sanity, a guest of its own, integration, endurance, e2e, Molecule
	@python3 scripts/test.py

e2e: ## The end-to-end suite against the guest that `make up` made (ARGS for pytest)
	@scripts/e2e "$(GUEST)" $(ARGS)

bench: ## Measure the guest that `make up` made: a table, and build/bench.json
	@scripts/bench "$(GUEST)" $(ARGS)

build: ## The collection's archive and the runtime's wheel, in build/
	@scripts/build

venv: ## Only prepare: Debian packages, .venv from the lock with hashes
	@scripts/prepare test
