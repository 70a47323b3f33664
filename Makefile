# `make demo` and `make test` do all their own set-up, in .venv; a second run installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-faults test-pythons test-lowest package lint format bench bench-quick dataset docs clean

demo: $(VENV)/installed
	@echo
	@echo "1. Indexing dataset/photos: 144 pictures in 12 classes, drawn by dataset/draw.py."
	@$(BIN)/cbir index dataset/photos --index demo --model efficientnet_lite0
	@echo
	@echo "2. Searching the index by one of its pictures: the ten most similar ones, with the cosine of their features."
	@$(BIN)/cbir search dataset/photos/mountain_lakes/mountain_lakes_05.jpg --index demo --format table --sheet demo/similar.jpg
	@echo
	@echo "3. Dividing a picture into segments by what the network sees in it."
	@$(BIN)/cbir segment dataset/photos/hot_air_balloons/hot_air_balloons_04.jpg --out demo --model efficientnet_lite0 --format table -q
	@echo
	@echo "4. All pictures of the index on one page, like beside like."
	@$(BIN)/cbir map --index demo --html demo/map.html
	@echo "The index is in indexes/demo (see: $(BIN)/cbir info --index demo). To look at, in demo/: similar.jpg, map.html, the segments."
	@echo "Your own photos: $(BIN)/cbir index FOLDER, then $(BIN)/cbir search SOME.jpg --index NAME-OF-FOLDER."

# side by side on all cores, each process with one thread for products of matrices: more would wait for each other
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

test: $(VENV)/installed-dev
	$(PYTEST) -m "not faults"

# the long rest: kills, races, full disks, fuzz
test-faults: $(VENV)/installed-dev
	$(PYTEST) -m faults

# the quick tests on each Python from 3.10 to 3.13 that is installed; the first time, torch is fetched for each
test-pythons: $(VENV)/installed-nox
	$(BIN)/nox --session tests

# the quick tests with the oldest packages that setup.cfg allows
test-lowest: $(VENV)/installed-nox
	$(BIN)/nox --session lowest

# what would be published, in dist/; and `make demo` with it in empty environments of the oldest and the newest Python,
# and in one without torch
package: $(VENV)/installed-nox
	$(BIN)/nox --session smoke light

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# figures, machine and all measurements; nothing fails because a target is missed
bench: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks --json benchmarks/results.json

bench-quick: $(VENV)/installed-bench
	$(BIN)/python -m benchmarks --quick --json benchmarks/results-quick.json

dataset: $(VENV)/installed
	$(BIN)/python dataset/draw.py

# what follows from the commands' own help: docs/commands.md and the man pages
docs: $(VENV)/installed
	$(BIN)/python scripts/reference.py

clean:
	rm -rf $(VENV) .nox build dist demo benchmarks/work *.egg-info .mypy_cache .pytest_cache .ruff_cache

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "cbir needs Python 3.10 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --editable .
	touch $@

# an extra of setup.cfg
$(VENV)/installed-%: $(VENV)/installed
	$(PIP) install --quiet --editable '.[$*]'
	touch $@
