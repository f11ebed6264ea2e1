# Needs python3 (3.11 or newer) with venv, and make; everything else goes into .venv. With a C++17 compiler the
# native kernels are built, without one the tool is pure Python.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out
QUICKSTART := samples/quickstart
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
INPUTS := pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/*.* native/*/*.*)
# In the environment they reach the build of the kernels too; QTOOL_NATIVE=0 leaves the kernels out.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

.PHONY: help install demo test check dist clean docs
.DELETE_ON_ERROR:

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST)

install: $(VENV)/.stamp-run  ## the tool and its dependencies, as tested

demo: install  ## quantize the sample network and write a report into out/
	$(BIN)/qtool quantize $(QUICKSTART)/digits.onnx --calib $(QUICKSTART)/digits_calib.npz \
		--eval $(QUICKSTART)/digits_eval.npz --target bitfusion --max-latency 0.5x -o $(OUT)/ --force

test: $(VENV)/.stamp-test  ## the tests
	$(BIN)/python -m pytest -q

docs: $(VENV)/.stamp-docs  ## the documentation as a site, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

check: $(VENV)/.stamp-dev  ## everything a change must pass
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -W error

dist: $(VENV)/.stamp-release  ## wheel and source archive, checked in a new environment
	rm -rf dist build/clean
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(PYTHON) -m venv build/clean
	build/clean/bin/python -m pip install --quiet dist/*.whl
	build/clean/bin/qtool --version
	build/clean/bin/qtool check samples/ci/qtool.toml -o build/clean/out

clean:  ## remove what the targets above made
	rm -rf $(VENV) $(OUT) build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

# A stamp is newer than the inputs when that set of packages is installed.
$(VENV)/.stamp-run: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.stamp-test: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@

$(VENV)/.stamp-release: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) --editable '.[release]'
	@touch $@

$(VENV)/.stamp-dev: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.stamp-docs: $(INPUTS) | $(BIN)/python
	$(PIP_INSTALL) --editable '.[docs]'
	@touch $@
