# make quickstart   a real search in minutes, without a GPU; leaves everything in runs/quickstart
# make test         the whole test suite
# make stress       the same tests on more cases, and what takes minutes
# make lint         style and types
# PYTHON=python3.12 chooses the interpreter, PIP_FLAGS='--extra-index-url URL' another source of packages.
PYTHON ?= python3
PIP_FLAGS ?=
BIN := .venv/bin
RUN := runs/quickstart
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_FLAGS)

.PHONY: quickstart test stress lint
# the many processes that tests start read modules compiled once, also where the environment forbids it
test stress: export PYTHONDONTWRITEBYTECODE =
.DELETE_ON_ERROR:

quickstart: $(BIN)/.installed
	$(BIN)/nas search configs/quickstart.yaml $(if $(wildcard $(RUN)/journal.db),--resume)
	$(BIN)/nas pareto quickstart --plot $(RUN)/pareto.png
	$(BIN)/nas report quickstart
	$(BIN)/nas export quickstart@best --bundle --output $(RUN)/exports
	$(BIN)/nas scale quickstart@best --search configs/quickstart.yaml --output $(RUN)/exports/family
	@echo "everything is in $(RUN)"

test: $(BIN)/.installed-dev
	$(BIN)/python -m pytest --numprocesses 3 --dist worksteal

stress: $(BIN)/.installed-dev
	STRESS_ARCHITECTURES=300 STRESS_FAULTS=25 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --timeout 3000

lint: $(BIN)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv .venv

$(BIN)/.installed: setup.cfg constraints.txt | $(BIN)/python
	@echo "installing into .venv (some minutes the first time)"
	$(INSTALL) --editable .
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps timm   # to compare networks with; it would bring torchvision, which they do not need
	@touch $@
