# make demo    train on digits of one size, read digits of sizes never seen; find digits in a scene; into results/demo/
# make test    every test; with EXTRAS=escnn in an environment of its own, with escnn (needs a Fortran compiler)
# make lint    style and types
# make docs    the pages, into site/; a warning is an error
# make page    a page to draw digits on, into demo/dist/: python -m http.server -d demo/dist (npm fetches onnxruntime-web)
# make test-page   that page in headless Chromium
# make mutation   small faults put into the library one at a time: do its tests notice? (half an hour; it can be
#                 stopped, and continues; ARGS='--sample 900' for more)
# Each makes its environment where that is missing; a second run installs nothing.

PYTHON ?= python3
EXTRAS ?=
ARGS ?=
VENV := .venv$(if $(EXTRAS),-$(EXTRAS))
RUN := $(VENV)/bin/python

# glibc gives every large tensor back to the kernel and pays for the page faults again; huge pages are fewer of them
export GLIBC_TUNABLES := glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.hugetlb=1

.PHONY: demo test lint docs page test-page mutation install clean

demo: install
	$(RUN) -m benchmarks generalisation --epochs 6 --output results/demo
	$(RUN) examples/find_objects.py examples/scene.png --output results/demo/scene.png

test: install
	$(RUN) -m pytest -n auto --dist worksteal -q

lint: install
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m pyright

docs: install
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

page: install
	$(RUN) -m demo.build

test-page:
	$(MAKE) page EXTRAS=page
	.venv-page/bin/python -m pytest demo/test_page.py -q -rs

mutation:
	$(MAKE) install EXTRAS=mutation
	.venv-mutation/bin/python -m proofs_tests.mutation $(ARGS)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[dev$(if $(EXTRAS),$(comma)$(EXTRAS))]'
	touch $@

comma := ,

clean:
	rm -rf .venv .venv-* build dist site demo/dist *.egg-info
