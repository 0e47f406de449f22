# make demo: install into .venv and train on a real photograph. make test: prove the mathematics.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt
DEMO ?=
TESTS ?=
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.PHONY: demo test lint format docs bench samplers samplers-blackjax reproduction power false-alarms public packages clean

demo: $(VENV)/.coopkit
	$(BIN)/coopkit run quickstart --out runs/demo --overwrite $(DEMO)

test: $(VENV)/.development
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto $(TESTS)

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.development
	$(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.development
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/langevin.py
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/iterations.py

samplers: $(VENV)/.development
	$(PIP) --editable ".[plots]"
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/samplers.py
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/samplers_training.py

samplers-blackjax: $(VENV)/.development
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/samplers_blackjax.py

packages: $(VENV)/.development
	$(BIN)/python tests/packages.py

reproduction: $(VENV)/.development
	PYTHONPATH=tests $(BIN)/python tests/benchmarks/reproduction.py $(RUNS)

power: $(VENV)/.development
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python tests/testing/power.py

false-alarms: $(VENV)/.development
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python tests/testing/false_alarms.py

public: $(VENV)/.development
	$(BIN)/python tests/public.py

clean:
	rm -rf $(VENV) site

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.coopkit: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable .
	touch $@

$(VENV)/.development: $(VENV)/.coopkit $(addsuffix /pyproject.toml,$(PLUGINS))
	$(PIP) --editable ".[test,lint,docs,digits]"
	$(PIP) $(addprefix --editable ,$(PLUGINS))
	touch $@
