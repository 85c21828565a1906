# Each target sets up what it needs, and is safe to run twice. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
# What Colab has, and around it what our own check ran with; another list stands by itself.
COLAB_VERSIONS ?= tools/colab-versions.txt
export COLAB_VERSIONS
COLAB_CONSTRAINTS := $(if $(filter tools/colab-versions.txt,$(COLAB_VERSIONS)),-c tools/colab-constraints.txt)
PIP := -m pip install --no-compile --quiet --disable-pip-version-check
# The same conditions for everything that runs notebooks; see tools/notebook.py.
export TQDM_DISABLE := 1
export PYTHONPATH := $(CURDIR)
# Compiled modules are kept, whatever the machine says: kernels start four times as fast.
export PYTHONDONTWRITEBYTECODE :=
# The memory of a training step is kept for the next one, in large pages, and not given
# back to the system in between: up to a sixth less time, and the same numbers.
export GLIBC_TUNABLES := glibc.malloc.mmap_threshold=536870912:glibc.malloc.trim_threshold=536870912:glibc.malloc.hugetlb=1

.DEFAULT_GOAL := help
.PHONY: help book serve test notebooks lint colab-check assignments grade repo results grid screenshot constraints clean ready chromium bubblewrap

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# A set-up that was broken off leaves no `done` file, and perhaps no pip: then it starts anew.
.venv/book.done: requirements.txt constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3 ..."; exit 1; }; \
	  $(PYTHON) -m venv --clear .venv || \
	    { rm -rf .venv; echo "The venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }; }
	$(BIN)/python $(PIP) -r requirements.txt -c constraints.txt
	@touch $@

.venv/instructors.done: .venv/book.done requirements-instructors.txt
	$(BIN)/python $(PIP) -r requirements-instructors.txt -c constraints.txt
	@touch $@

.venv/dev.done: .venv/instructors.done requirements-dev.txt
	$(BIN)/python $(PIP) -r requirements-dev.txt -c constraints.txt
	@touch $@

# The sandbox cannot keep what it compiles. Some packages hold code for other versions.
.venv/compiled.done: .venv/instructors.done
	@$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
	@touch $@

.venv-colab/done: $(COLAB_VERSIONS) tools/colab-constraints.txt
	@.venv-colab/bin/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv-colab
	.venv-colab/bin/python $(PIP) -r $(COLAB_VERSIONS) $(COLAB_CONSTRAINTS)
	@# What kernels import is compiled now, while a core is free.
	@.venv-colab/bin/python -Xfrozen_modules=off -c "import ipykernel.kernelapp, ipywidgets, matplotlib.pyplot, pandas, torch._dynamo"
	@touch $@

book: .venv/book.done ## build the book and say where to open it
	@rm -rf _build/html
	$(BIN)/jupyter-book build --all -W -n --keep-going --quiet .
	@echo "The book is built. Open it: file://$(CURDIR)/_build/html/index.html (or: make serve)"

serve: book ## build the book and serve it on this machine, port 8000
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000

test: ## everything that CI checks on each push
	@$(MAKE) --no-print-directory -j3 -O ready .venv-colab/done chromium bubblewrap
	$(BIN)/python -m pytest -n 2 -m "not weekly" --nbval chapters tests --ignore tests/data

notebooks: .venv/dev.done ## export code, run all notebooks in place, normalize them
	$(BIN)/python -m tools setup
	$(BIN)/ruff format --quiet chapters
	$(BIN)/python -m tools export
	$(BIN)/python -m tools run $(NOTEBOOKS)
	$(BIN)/python -m tools lint

# Not before all packages are there: none is to change under the book that is built.
ready: .venv/dev.done
	@$(MAKE) --no-print-directory lint book

lint: .venv/dev.done ## formatting, code style, notebook rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tools lint
	$(BIN)/python -m tools export --check
	$(BIN)/python -m tools setup --check
	$(BIN)/python -m pytest -q tests/data

colab-check: .venv/dev.done .venv-colab/done ## run all chapters as Colab would; `make test` runs the first and the last
	$(BIN)/python -m pytest tests/colab

assignments: .venv/instructors.done ## write the student versions of all assignments to _build/assignments
	$(BIN)/python -m tools assignments $(OPTIONS)

grade: .venv/compiled.done ## grade what students handed in: make grade SUBMISSIONS=folder OPTIONS="--roster class.csv"
	@env -u TQDM_DISABLE $(BIN)/python -m grading "$(SUBMISSIONS)" $(OPTIONS)

repo: .venv/book.done ## change the repository's address everywhere: make repo URL=https://github.com/someone/unrolled
	$(BIN)/python -m tools repo $(URL)

results: .venv/dev.done ## measure what the chapters quote, write book/results: make results STUDY=depth; `.venv/bin/python -m tools results --help` lists the studies
	@env -u TQDM_DISABLE $(BIN)/python -m tools results $(STUDY) $(OPTIONS)

grid: STUDY := grid
grid: results ## train all settings of the hyperparameter grid; goes on where it was stopped

screenshot: .venv/dev.done chromium book ## photograph the built book for the README
	$(BIN)/python -m tools screenshot

constraints: .venv/dev.done ## write constraints.txt from what is installed
	$(BIN)/python -m pip freeze > constraints.txt.new
	@{ head -n 1 constraints.txt; sed 's/+[a-z0-9.]*$$//' constraints.txt.new; } > constraints.txt.part
	@mv constraints.txt.part constraints.txt && rm constraints.txt.new

# Installs Debian packages; fails where there is no apt-get, or no right to use it.
apt_install = command -v apt-get >/dev/null && $$(test $$(id -u) = 0 || echo sudo -n) sh -c \
	'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null'

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || { $(call apt_install,chromium fonts-noto-cjk); } || \
	  echo "No Chromium and no way to install it here: the browser tests will be skipped."

bubblewrap: | chromium # one after the other: apt-get locks
	@command -v bwrap >/dev/null || { $(call apt_install,bubblewrap); } || \
	  echo "No bubblewrap and no way to install it here: the tests of grading will be skipped."

clean: ## remove what make built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache .hypothesis
