# Everything runs in a virtual environment of its own, with the exact files of
# requirements.lock; `make demo` and `make test` are all the set-up there is. uv installs where it is
# found, else pip (INSTALLER=pip leaves uv aside). HASHES=all and HASHES=no: see .ci/install.py.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export HASHES INSTALLER

.PHONY: demo test lint docs lock sbom clean

demo: $(VENV)/.installed
	$(BIN)/dataselect run candidates/quickstart.yaml

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The site, in build/site; any broken link or anchor is an error. Its search wants a server:
# python -m http.server -d build/site
docs: $(VENV)/.installed-dev
	$(BIN)/python docs/make_site.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(VENV)/.installed $(VENV)/.installed-dev: pyproject.toml requirements.lock .ci/install.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "dataselect needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) .ci/install.py $(VENV) $(if $(findstring -dev,$@),--dev)
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: .ci/requirements-dev.lock

# Locks what pyproject.toml asks for, for every platform, with hashes; versions stay where they can,
# or become the newest with: make lock UPGRADE=1 (and TORCH=2.14.0 for another torch). Needs uv.
lock:
	$(PYTHON) .ci/lock.py $(if $(UPGRADE),--upgrade)

# The components of an installation (CycloneDX) and their licences, in build/sbom; for a release.
SBOM := build/sbom
sbom:
	$(PYTHON) -m venv $(SBOM)/tools
	$(SBOM)/tools/bin/python -m pip install --quiet --require-hashes -r .ci/requirements-sbom.lock
	$(PYTHON) .ci/install.py $(SBOM)/installed
	$(SBOM)/tools/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
	  --output-file $(SBOM)/sbom.cdx.json $(SBOM)/installed/bin/python
	$(SBOM)/tools/bin/pip-licenses --python $(SBOM)/installed/bin/python --format markdown \
	  --order license --output-file $(SBOM)/licences.md

clean:
	rm -rf $(VENV) .dataselect build dist
