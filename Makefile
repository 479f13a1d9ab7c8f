# SPDX-License-Identifier: GPL-3.0-or-later
# Every target sets up what it needs; `make` alone lists them.
# DEMO_RATE, DEMO_WRITE_SHARE: requests a second on the demo meanwhile, and the share of writes.
# ARGS goes to ansible-playbook (make cutover ARGS='-e cutover_ids=keep') or to pytest (make unit ARGS='-k codec').

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.NOTPARALLEL:

ARGS ?=
SCENARIOS ?=

VENV := .venv
DEMO_DIR := $(or $(PG_CUTOVER_DEMO_DIR),/var/lib/pg-cutover-demo)
PLAY := $(VENV)/bin/ansible-playbook -i inventories/demo
PYTEST := $(VENV)/bin/pytest -m "not long"
# WORKERS=2: tests side by side, a file together; not those of software, which have fixed ports, nor those with a load.
WORKERS ?=
SIDE_BY_SIDE := $(if $(WORKERS),-n $(WORKERS) --dist loadscope)

# What is on the demo while it moves; DEMO_RATE=0 for no load.
DEMO_RATE ?= 300
DEMO_WRITE_SHARE ?= 0.3
# With the maintenance strategy, which answers writes with 503 while it works: DEMO_LOAD_OPTIONS=--maintenance.
DEMO_LOAD_OPTIONS ?=
UNDER_LOAD = $(VENV)/bin/python demo/under_load.py --rate $(DEMO_RATE) --write-share $(DEMO_WRITE_SHARE) $(DEMO_LOAD_OPTIONS)

# The demo's servers. acl lets Ansible become the user postgres from an ordinary account.
DATABASE_PACKAGES := postgresql
PROXY_PACKAGES := haproxy nginx-light pgbouncer curl
DEMO_PACKAGES := $(DATABASE_PACKAGES) pgbouncer haproxy acl

# What mypy checks: the engine, what wraps it, and what the tests stand on.
TYPED := $(wildcard .ci/*.py module_utils/cutover library/*.py action_plugins/*.py filter_plugins/*.py tests/support tests/corpus tests/conftest.py molecule/conftest.py molecule/run bench)

# The configuration holds in any folder, also in one that Ansible would distrust (writable by others).
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# Python keeps what it has compiled: else each of Ansible's many processes compiles it again, half of a run's time.
unexport PYTHONDONTWRITEBYTECODE
# Ansible refuses to work without a UTF-8 locale; a cluster made by the demo must not depend on the caller's either.
export LC_ALL := C.UTF-8

.PHONY: help
help:
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## the controller's tools, exactly as locked, in .venv/
	@.ci/setup

# ---------------------------------------------------------------- the demo and its migration

.PHONY: demo-packages
demo-packages: setup
	@.ci/setup --root
	@.ci/setup --system $(DEMO_PACKAGES)

.PHONY: cutover
cutover: demo-up ## move the demo application from SQLite to PostgreSQL, under load
	@$(UNDER_LOAD) -- $(PLAY) playbooks/cutover.yml $(ARGS)

.PHONY: rollback
rollback: demo-packages ## take the demo application back to SQLite, under load
	@$(UNDER_LOAD) -- $(PLAY) playbooks/rollback.yml $(ARGS)

.PHONY: status
status: setup ## where the demo's migration stands and what comes next
	@.ci/setup --root
	@$(PLAY) playbooks/status.yml $(ARGS)

.PHONY: demo-up
demo-up: demo-packages ## start the demo application on SQLite, with HAProxy in front
	@$(PLAY) demo/up.yml

.PHONY: demo-down
demo-down: setup ## stop the demo and remove everything of it
	@.ci/setup --root
	@$(PLAY) demo/down.yml

# ---------------------------------------------------------------- checks

# What ends within 70 minutes: not what is marked long.
.PHONY: test
test: lint unit integration software e2e molecule ## the checks, the fast ones first; those that are `long` are apart

.PHONY: lint
lint: setup ## ruff, mypy, yamllint, ansible-lint
	ruff check .
	ruff format --check .
	mypy $(TYPED)
	yamllint --strict .
	ansible-lint --offline --profile production

.PHONY: unit
unit: setup ## tests that need no server
	@$(PYTEST) $(SIDE_BY_SIDE) tests/unit $(ARGS)

.PHONY: integration
integration: setup ## tests against a temporary PostgreSQL and HAProxy
	@.ci/setup --system $(DATABASE_PACKAGES) $(PROXY_PACKAGES)
	@$(PYTEST) $(SIDE_BY_SIDE) tests/integration $(ARGS)

.PHONY: software
software: setup ## real software from PyPI and npm, moved and then used on PostgreSQL
	@.ci/setup --system $(DATABASE_PACKAGES)
	@$(PYTEST) tests/software $(ARGS)

.PHONY: e2e
e2e: demo-packages ## tests that run the playbooks against real services
	@.ci/setup --system systemd
ifdef WORKERS
	@$(VENV)/bin/pytest -m "not long and not alone" $(SIDE_BY_SIDE) tests/e2e $(ARGS)
	@$(VENV)/bin/pytest -m "not long and alone" tests/e2e $(ARGS)
else
	@$(PYTEST) tests/e2e $(ARGS)
endif

.PHONY: long
long: demo-packages ## whole runs of playbooks that `make test` leaves out for their time
	@.ci/setup --system systemd $(PROXY_PACKAGES)
	@$(VENV)/bin/pytest -m long tests $(ARGS)

.PHONY: molecule
molecule: setup ## roles and playbooks on systemd hosts in containers (SCENARIOS='default', MOLECULE_TIMES=2, MOLECULE_JOBS=1)
	@.ci/setup --system $(DATABASE_PACKAGES) openssh-client
	@.ci/docker run molecule/run $(SCENARIOS)

.PHONY: bench
bench: setup ## throughput of copy and verify beside a plain COPY
	@.ci/setup --system $(DATABASE_PACKAGES)
	@$(VENV)/bin/python bench/run.py $(ARGS)

.PHONY: bench-online
bench-online: demo-packages ## cutovers and rollbacks of a demo under load: holds, failures, cost of the change log
	@$(VENV)/bin/python bench/online.py $(ARGS)

# ---------------------------------------------------------------- upkeep

.PHONY: docs
docs: setup ## write the roles' tables of variables anew
	@$(VENV)/bin/python .ci/role_readmes.py

.PHONY: lock
lock: setup ## write the locks anew (UPGRADE=1: newer versions)
	@UV_PYTHON_DOWNLOADS=never $(VENV)/bin/uv pip compile pyproject.toml --quiet --output-file requirements.lock \
		--universal --python-version 3.11 --all-extras --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
	@cd tests/software && UV_PYTHON_DOWNLOADS=never $(CURDIR)/$(VENV)/bin/uv pip compile requirements.in --quiet \
		--output-file requirements.lock --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)
	@PYTHONPATH=tests $(VENV)/bin/python -m support.software $(if $(UPGRADE),--upgrade)

.PHONY: clean
clean: ## stop the demo, remove caches (reports and .venv stay)
	@if [[ -e $(DEMO_DIR) ]]; then $(MAKE) demo-down; fi
	@rm -rf .cache .ansible .hypothesis .molecule .mypy_cache .pytest_cache .ruff_cache
	@find . -path ./.venv -prune -o -path ./.git -prune -o -type d -name __pycache__ -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## clean, and remove .venv
	@rm -rf .venv
