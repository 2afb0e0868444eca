# Everything is installed in .venv, by the first target that needs it. That takes Python 3.11 or
# later and make, nothing else. Another interpreter: make test PYTHON=python3.12. Further options
# of pip: make demo PIP_OPTIONS="--extra-index-url ...".

PYTHON ?= python3
VENV := .venv
POOL := .venv-pool
OLDEST_PANDAS := 2.2.3

BIN := $(VENV)/bin
PIP := -m pip install --quiet --quiet --disable-pip-version-check $(PIP_OPTIONS)
INSTALL := $(BIN)/python $(PIP) --constraint constraints.txt

.DELETE_ON_ERROR:
.PHONY: help demo test test-pool test-r test-ray test-engines test-gpu test-statistical coverage lint docs clean

help:
	@echo "make demo              impute a real table, pool a regression, draw demo.png"
	@echo "make test              run the tests"
	@echo "make test-pool         tests without torch, on pandas $(OLDEST_PANDAS), with every pooling extra"
	@echo "make test-r            tests that run R and mice"
	@echo "make test-ray          tests on a local cluster of Ray, which is installed for them"
	@echo "make test-engines      recipes for Spark (needs Java) and Dask, likewise"
	@echo "make test-gpu          tests that need an accelerator"
	@echo "make test-statistical  tests of operating characteristics"
	@echo "make coverage          run the tests and tell which lines they reach"
	@echo "make lint              ruff, mypy, import-linter, codespell, numpydoc"
	@echo "make docs              build the documentation in docs/_build/html"
	@echo "make clean             remove all that make has made"

demo: $(VENV)/package
	$(BIN)/psmimpute demo

test: $(VENV)/test
	$(BIN)/python -m pytest

test-r: $(VENV)/test
	$(BIN)/python -m pytest -m r

# The engines are large, and no part of what CI installs: without them these tests are skipped.
test-ray: $(VENV)/test
	$(INSTALL) "ray[data]>=2.30"
	$(BIN)/python -m pytest tests/integration/test_ray.py

test-engines: $(VENV)/test
	$(INSTALL) dask pyspark
	$(BIN)/python -m pytest tests/integration/test_engine_recipes.py

test-gpu: $(VENV)/test
	$(BIN)/python -m pytest -m gpu

test-statistical: $(VENV)/test
	$(BIN)/python -m pytest -m statistical

coverage: $(VENV)/test
	$(BIN)/python -m pytest --cov

lint: $(VENV)/lint $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	git ls-files 'psmimpute/*.py' | xargs $(BIN)/numpydoc lint

docs: $(VENV)/docs
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet docs docs/_build/html

# Pooling imputations made elsewhere needs no torch: these floors are tested where there is none.
test-pool: $(POOL)/ready
	$(POOL)/bin/python -m pytest tests/unit/table tests/unit/imputed tests/unit/pooling

clean:
	rm -rf $(VENV) $(POOL) build dist *.egg-info demo.png
	rm -rf docs/_build docs/generated docs/vignettes docs/sg_execution_times.rst
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage

# Each file below says that something is installed, so that it is not installed again.

$(VENV)/ready: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "psmimpute needs Python 3.11 or later: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	@touch $@

$(VENV)/package: $(VENV)/ready pyproject.toml
	@echo "Installing psmimpute and what it needs; torch is large, this takes minutes."
	$(INSTALL) --editable ".[plot]"
	@touch $@

$(VENV)/test $(VENV)/lint $(VENV)/docs: $(VENV)/%: $(VENV)/package
	$(INSTALL) --group $*
	@touch $@

$(POOL)/ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv $(POOL)
	sed 's/^pandas==.*/pandas==$(OLDEST_PANDAS)/' constraints.txt > $(POOL)/constraints.txt
	$(POOL)/bin/python $(PIP) --constraint $(POOL)/constraints.txt --upgrade pip
	$(POOL)/bin/python $(PIP) --constraint $(POOL)/constraints.txt \
	  numpy pandas pyarrow scipy statsmodels tqdm typer --group test --group pool-extras
	$(POOL)/bin/python $(PIP) --no-deps --editable .
	@touch $@
