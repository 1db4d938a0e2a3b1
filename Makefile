# `make help` lists the targets. Two environments, because the server's needs numpy < 2 and no torch
# while training and tests need numpy >= 2: .venv/server and .venv/dev.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

HTTP_PORT ?= 8000
GRPC_PORT ?= 8001
METRICS_PORT ?= 8002
REPLICAS ?= 3
MODEL_REPOSITORY ?= model_repository
CHECKPOINT ?= checkpoints/mobilebert-imdb
# A repository that holds the model of another checkpoint keeps it, unless CHECKPOINT is named.
KEEP_OTHER := $(if $(filter file,$(origin CHECKPOINT)),--keep-other)
# An interpreter that the pinned packages have wheels for; `serving.preflight` explains when there is none.
PYTHON ?= $(shell sh requirements/find-python.sh)

SERVER := .venv/server
DEV := .venv/dev

.PHONY: help serve cluster export bulk test test-fast coverage lint docs docs-serve lock train train-smoke bench perf-analyzer clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: export ## Serve on 127.0.0.1 (HTTP_PORT, GRPC_PORT, METRICS_PORT, MODEL_REPOSITORY override)
	@exec $(SERVER)/bin/python -m serving --model-repository "$(MODEL_REPOSITORY)" \
		--http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT) --metrics-port $(METRICS_PORT)

cluster: export ## Serve from REPLICAS=3 servers behind HAProxy on HTTP_PORT, GRPC_PORT (needs haproxy)
	@exec $(SERVER)/bin/python -m deploy.cluster up --model-repository "$(MODEL_REPOSITORY)" --replicas $(REPLICAS) \
		--http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)

export: $(SERVER)/.installed ## Export CHECKPOINT into MODEL_REPOSITORY where it is missing or out of date
	@$(SERVER)/bin/python -m export publish --checkpoint "$(CHECKPOINT)" --repository "$(MODEL_REPOSITORY)" --if-stale $(KEEP_OTHER)

bulk: $(SERVER)/.bulk ## Install what `python -m bulk` uses on clusters and S3 (Ray, s3fs)

test: $(SERVER)/.bulk $(DEV)/.installed ## Run the whole test suite (PYTEST_ARGS adds options)
	@$(DEV)/bin/python -m pytest $(PYTEST_ARGS)

test-fast: $(SERVER)/.bulk $(DEV)/.installed ## Run the quick tests of server, clients and model repository
	@$(DEV)/bin/python -m pytest -q -n 4 -m "not slow and not served" \
		tests/test_docs.py tests/test_facts.py tests/test_mirror.py tests/durable tests/model_repository tests/serving \
		tests/clients $(PYTEST_ARGS)

coverage: ## Run the quick tests with coverage, and say what they reach of the packages that they are for
	@$(MAKE) --no-print-directory test-fast PYTEST_ARGS="--cov --cov-report= $(PYTEST_ARGS)"
	@echo "Reached by make test-fast, without the processes that tests start:"
	@$(DEV)/bin/coverage report --include="clients/*,durable/*,model_repository/*,serving/*"

lint: $(DEV)/.installed ## Check style, types, spelling and the direction of imports
	@$(DEV)/bin/ruff check .
	@$(DEV)/bin/ruff format --check .
	@$(DEV)/bin/codespell
	@$(DEV)/bin/mypy
	@$(DEV)/bin/lint-imports --cache-dir .cache/import_linter

docs: $(SERVER)/.installed $(DEV)/.installed ## Build the documentation's site into .cache/site; a broken link fails
	@for name in server dev; do .venv/$$name/bin/python -m website.reference $$name; done
	@NO_MKDOCS_2_WARNING=1 $(DEV)/bin/python -m mkdocs build
	@echo "Open .cache/site/index.html, or run make docs-serve"

docs-serve: docs ## Show the site on 127.0.0.1:8088, and follow changes
	@NO_MKDOCS_2_WARNING=1 exec $(DEV)/bin/python -m mkdocs serve --dev-addr 127.0.0.1:8088

train: $(DEV)/.installed ## Fine-tune google/mobilebert-uncased on IMDB (a GPU is advised)
	@exec $(DEV)/bin/python -m training.finetune $(TRAIN_ARGS)

train-smoke: $(SERVER)/.installed $(DEV)/.installed ## Raw text to an exportable checkpoint in two minutes on a CPU
	@$(DEV)/bin/python -m training.smoke

bench: $(SERVER)/.installed $(DEV)/.installed perf-analyzer ## Run every benchmark (25 minutes) into benchmarks/results/
	@exec $(DEV)/bin/python -m benchmarks $(BENCH_ARGS)

perf-analyzer: $(SERVER)/.installed $(DEV)/.installed ## Fetch the real perf_analyzer into .cache/
	@$(DEV)/bin/python -m benchmarks fetch-perf-analyzer

lock: ## Pin requirements/*.txt anew from requirements/*.in
	@$(PYTHON) -m venv .venv/lock
	@.venv/lock/bin/pip install -q pip-tools==7.6.2
	@for name in server dev bulk rivals/litserve rivals/infinity rivals/bentoml; do \
		CUSTOM_COMPILE_COMMAND="make lock" .venv/lock/bin/pip-compile -q --upgrade --strip-extras --no-emit-index-url \
			--no-emit-find-links --no-emit-trusted-host -o requirements/$$name.txt requirements/$$name.in; done
	@# A CPU build's local version label is not on every index.
	@sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/' requirements/dev.txt requirements/rivals/*.txt

clean: ## Remove the environments, caches and exported artefacts
	@rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .benchmarks
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@git clean -fdXq model_repository

$(SERVER)/.installed $(DEV)/.installed: .venv/%/.installed: requirements/%.txt
	@$(PYTHON) -m serving.preflight
	@echo "Installing requirements/$*.txt into .venv/$* (once)"
	@$(PYTHON) -m venv .venv/$*
	@.venv/$*/bin/pip install -q --disable-pip-version-check -r requirements/$*.txt
	@touch $@

$(SERVER)/.bulk: requirements/bulk.txt $(SERVER)/.installed
	@$(SERVER)/bin/pip install -q --disable-pip-version-check -r requirements/bulk.txt
	@touch $@
