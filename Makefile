# make help lists the targets. Everything happens in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo
UNTRAINED = $(BIN)/onnx-demucs compile untrained:htdemucs --no-verify --force --quiet -o $(DEMO)
# IREE is left out: 600 MB.
ENGINES ?= openvino tract opencv mnn
FORMATS ?= litert executorch coreml
# --openvino and --torch-compile add entrants that need a package or a compiler of their own.
SPEED_OPTIONS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help install demo test test-thorough engines formats ray architectures examples web web-install web-test check docs site release bench bench-web figures clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

install: $(INSTALLED)  ## make .venv with the pinned versions

$(INSTALLED): pyproject.toml runtime/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ./runtime -e ".[dev]"
	touch $@

demo: $(INSTALLED)  ## compile untrained:htdemucs and separate a synthetic song of 20 s with it
	mkdir -p $(DEMO)
	$(BIN)/onnx-demucs compile untrained:htdemucs -o $(DEMO)/htdemucs.onnx --report $(DEMO)/report.json --force
	$(BIN)/python -m onnx_demucs_compiler.checking.synthesis $(DEMO)/song.wav 20
	$(BIN)/onnx-demucs separate $(DEMO)/htdemucs.onnx $(DEMO)/song.wav -o $(DEMO)/stems

test: $(INSTALLED)  ## run the tests, but for those of test-thorough
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not full_size and not thorough"

test-thorough: $(INSTALLED)  ## run the tests of full-size models, and more of what a quicker one shows
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "full_size or thorough"

engines: $(INSTALLED)  ## install other engines in build/engines and run the same files in them
	$(BIN)/python benchmarks/engines/install.py $(ENGINES)
	$(BIN)/python -m pytest tests/engines

formats: $(INSTALLED)  ## install the tools of compile --emit in build/formats and test what they make
	$(BIN)/python benchmarks/formats/install.py $(FORMATS)
	set -e; for extra in $(FORMATS); do build/formats/$$extra/bin/python -m pytest tests/emit/test_$$extra.py; done

ray: $(INSTALLED)  ## install Ray in build/ray and separate catalogues with it, a worker killed here and there
	$(BIN)/python benchmarks/ray_environment.py
	build/ray/bin/python -m pytest tests/catalogue

architectures: $(INSTALLED)  ## compile and time networks of other packages, into benchmarks/results (90 minutes)
	$(BIN)/python benchmarks/architectures/install.py
	$(BIN)/python benchmarks/architectures/compare.py --json benchmarks/results/architectures.json

examples: $(INSTALLED)  ## build the clients in examples/ that there are tools for, and compare them with separate
	$(BIN)/python examples/build_clients.py
	$(BIN)/python -m pytest tests/examples

web: web-install  ## build the page that onnx-demucs web writes, into onnx_demucs_compiler/web/page
	npm --prefix web run build

web-install:  ## install what web/ is built with
	npm ci --prefix web --no-audit --no-fund

web-test: $(INSTALLED) web-install  ## build web/, test it in Node, and against separate in Node and Chromium
	npm --prefix web run build
	npm --prefix web run check
	npm --prefix web test
	$(BIN)/python -m pytest tests/web

check: $(INSTALLED)  ## lint, formatting, types, workflows, and whether generated documents are up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/write_rules.py | diff -u docs/rules.md - || { echo "docs/rules.md is stale: run make docs" >&2; exit 1; }
	$(BIN)/python benchmarks/readme_table.py --check
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/zizmor --offline --quiet .github/workflows

docs: $(INSTALLED)  ## write docs/rules.md from the rules
	$(BIN)/python docs/write_rules.py > docs/rules.md.part
	mv docs/rules.md.part docs/rules.md

site: $(INSTALLED)  ## build the documentation as a site in build/site; a broken link is an error
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[docs]"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python docs/site/build.py build/site

release:  ## build the wheels of a release in dist/ and try them in an empty environment; uploads nothing
	.ci/release

bench: $(INSTALLED)  ## time and memory of htdemucs against PyTorch, into benchmarks/results (20 minutes)
	mkdir -p $(DEMO)
	$(UNTRAINED)/portable.onnx
	$(UNTRAINED)/ort.onnx --target ort
	$(UNTRAINED)/plain.onnx --without speed --without memory
	$(UNTRAINED)/dense.onnx --without stft-as-matmul --without istft-as-matmul
	$(UNTRAINED)/core.onnx --interface core
	$(UNTRAINED)/batch.onnx --batch dynamic
	$(BIN)/python benchmarks/speed.py portable=$(DEMO)/portable.onnx ort=$(DEMO)/ort.onnx \
		plain=$(DEMO)/plain.onnx --separate-only dense-DFT=$(DEMO)/dense.onnx core=$(DEMO)/core.onnx \
		$(SPEED_OPTIONS) --json benchmarks/results/speed.json
	$(BIN)/python benchmarks/scaling.py $(DEMO)/batch.onnx --json benchmarks/results/scaling.json

bench-web: $(INSTALLED) web-install  ## time and memory of htdemucs in Chromium's WebAssembly, into benchmarks/results (40 minutes)
	mkdir -p $(DEMO)
	$(UNTRAINED)/web.onnx --target web
	$(UNTRAINED)/portable.onnx
	$(UNTRAINED)/plain.onnx --without speed --without memory
	$(UNTRAINED)/web-core.onnx --target web --interface core
	$(BIN)/onnx-demucs compile untrained:htdemucs --target web --precision int8 --force --quiet -o $(DEMO)/web-int8.onnx
	$(BIN)/python benchmarks/browser/compare.py web=$(DEMO)/web.onnx portable=$(DEMO)/portable.onnx \
		"web, int8=$(DEMO)/web-int8.onnx" --json benchmarks/results/browser.json
	$(BIN)/python benchmarks/browser/compare.py web=$(DEMO)/web.onnx "without speed and memory=$(DEMO)/plain.onnx" \
		"web, interface core with fft.js=$(DEMO)/web-core.onnx" --json benchmarks/results/browser_core.json

figures: $(INSTALLED)  ## fill the tables of figures from benchmarks/results
	$(BIN)/python benchmarks/readme_table.py

clean:  ## remove .venv, the demonstration and the tools' caches
	rm -rf $(VENV) $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf examples/cpp/build examples/node/node_modules examples/rust/target web/node_modules web/*/dist onnx_demucs_compiler/web/page
	find onnx_demucs_compiler rules tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
