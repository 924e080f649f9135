# `make repro` and `make test` need Python 3.11 or later, pip and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro repair check-repro test ui lint install
.DEFAULT_GOAL := repro

install: $(VENV)/.installed

# torch first and alone: any other order may bring another build of it.
$(VENV)/.installed: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is %d.%d; try: make PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0 -c constraints.txt
	$(BIN)/python -m pip install --quiet -r requirements.txt -c constraints.txt
	touch $@

repro: install  ## raw clips -> Tables 1 to 6 and the report
	@python -m stages.check
	@python -m stages.repair
	dvc repro
	@cat reports/table1.md reports/table2.md reports/table3.md reports/table4.md reports/table5.md reports/table6.md
	@echo "The report: $(CURDIR)/reports/index.html"

repair: install  ## what killed processes left is mended; `repro` does it first
	python -m stages.repair

check-repro: install  ## the reproducibility gate: two clean clones of HEAD give the same bytes
	python -m stages.check_repro

test: install  ## the test suite on all cores but for its slow part, which CI runs too: `pytest -m slow`
	pytest -m "not slow" -n auto --dist worksteal

ui: install  ## MLflow on 127.0.0.1:5000, or links to the server that has the runs, the comparisons prepared
	@python -m stages.ui $(or $(PORT),5000)
	@case "$$MLFLOW_TRACKING_URI" in http://*|https://*) ;; *) set -x; \
	MLFLOW_DISABLE_TELEMETRY=true mlflow ui --host 127.0.0.1 --port $(or $(PORT),5000) --backend-store-uri sqlite:///mlruns/mlflow.db;; esac

lint: install  ## code style, and who may import whom (import-linter, in pyproject.toml)
	ruff check . && ruff format --check . && PYTHONPATH=. lint-imports
