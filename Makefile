# Two commands on a fresh machine with Python 3.11 (venv) and make: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ifeq ($(PYTHON),)
$(error Python is not here: install Python 3.11 with venv)
endif
DEVICE := .venv
TESTS := .venv-test
FRAMES ?= 12
PIP := -m pip --disable-pip-version-check --quiet

SOURCES := pyproject.toml $(shell find edge train quantize benchmarks -type f -not -name '*.pyc' -not -path '*.egg-info/*')

.PHONY: demo test fast device fuzz lint docs image-test image-nightly clean

demo: $(DEVICE)/.installed
	rm -rf demo
	$(DEVICE)/bin/edge-seg run --camera demo --frames $(FRAMES) --out demo
	@echo
	@echo "look at:     $(CURDIR)/demo/demo-000001.overlay.jpg and the others there"
	@echo "numbers:     $(CURDIR)/demo/records.jsonl"
	@echo "live page:   $(CURDIR)/$(DEVICE)/bin/edge-seg run --camera demo --view 8080"
	@echo "             then open http://127.0.0.1:8080/ ; Ctrl-C ends it"
	@echo "own film:    $(CURDIR)/$(DEVICE)/bin/edge-seg run chest.png"

# Those that share an emulator or an environment one after another, the rest in three processes, since some wait. Without
# bytecode each process that a test starts would compile all modules anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(TESTS)/.installed
	$(TESTS)/bin/python -m pytest -q -m device
	$(TESTS)/bin/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder -m 'not device'

# What is done in a minute and a half: nothing slow, no TensorFlow, no real radiographs. Plugins that no quick test needs
# take seconds to import in each process, and without bytecode each compiles all tests anew.
fast: $(TESTS)/.installed
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONDONTWRITEBYTECODE= $(TESTS)/bin/python -m pytest -q -rfE --fast \
		-p xdist -p pytest_timeout -n 3 --dist loadfile --no-loadscope-reorder

# What emulates 64-bit ARM or builds another environment, one after another.
device: $(TESTS)/.installed
	$(TESTS)/bin/python -m pytest -q -m device

# An hour for each harness, guided by coverage; `make test` gives each some seconds.
fuzz: $(TESTS)/.installed
	EDGE_SEG_FUZZ_SECONDS=3600 $(TESTS)/bin/python -m pytest -q -s tests/fuzz
	EDGE_SEG_REQUESTS=10000 $(TESTS)/bin/python -m pytest -q -s --timeout 7200 tests/edge/station/test_http_interface.py -k describes

# A card for a device, started in a virtual machine (qemu, no KVM needed): two boots and a power cut, in some minutes.
IMAGES := $(CURDIR)/build/image
$(IMAGES)/.%: image $(SOURCES) $(shell find image -type f)
	PYTHON=$(CURDIR)/$(TESTS)/bin/python image/build $*
	touch $@

image-test: $(TESTS)/.installed $(IMAGES)/.amd64
	EDGE_SEG_IMAGES=$(IMAGES) $(TESTS)/bin/python -m pytest -q -s tests/image

# Hours: 300 crash points, 10 machines cut off in a row, clocks that jump, disks that are pulled; 64-bit ARM too.
image-nightly: image-test $(IMAGES)/.arm64
	EDGE_SEG_NIGHTLY=1 EDGE_SEG_IMAGES=$(IMAGES) $(TESTS)/bin/python -m pytest -q -s tests/image/test_nightly.py
	PYTHONPATH=benchmarks $(TESTS)/bin/python -m edge_seg_lab.device_week

lint: $(TESTS)/.installed
	$(TESTS)/bin/ruff check .
	$(TESTS)/bin/ruff format --check .
	$(TESTS)/bin/mypy
	PYTHONPATH=benchmarks $(TESTS)/bin/lint-imports

# The documentation as a site: site/index.html.
docs: $(TESTS)/.installed
	NO_MKDOCS_2_WARNING=1 $(TESTS)/bin/mkdocs build --quiet --strict

# The device part alone, as a clinic installs it; what a run needs is compiled when it first runs.
# pip always builds a folder anew; what an earlier build left would go in too.
$(DEVICE)/.installed: $(SOURCES)
	$(PYTHON) -m venv $(DEVICE)
	rm -rf build
	$(DEVICE)/bin/python $(PIP) install --no-compile .
	rm -rf build
	touch $@

# Everything, from this checkout. pip compiles on one core, and some packages hold templates that are no Python.
$(TESTS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(TESTS)
	$(TESTS)/bin/python $(PIP) install --no-compile --editable '.[test]'
	-PYTHONDONTWRITEBYTECODE= $(TESTS)/bin/python -m compileall -qq -j 0 $(TESTS)/lib
	touch $@

clean:
	rm -rf $(DEVICE) $(TESTS) build demo site *.egg-info
