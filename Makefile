# make demo: all five methods, all metrics, a report, on embedded faces. make test: everything CI checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH := .venv-bench
PEERS := torchmetrics scikit-posthocs choix sureal pingouin scikit-learn insightface pyiqa stlpips-pytorch interlace-lme

.PHONY: demo test test-all lint types slow bench conformance mutants coverage docs install clean
demo: $(STAMP)
# status 1: some cells have no value (LPIPS where its network cannot be fetched, faces outside epsilon), and the table says which
	$(BIN)/facesr run demo-x8-128 --out runs/demo || test $$? -eq 1
	$(BIN)/facesr table runs/demo
	$(BIN)/facesr report runs/demo

# one thread per process and two processes: what two cores do fastest; what is skipped is listed with its reason
test: $(STAMP) lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -rs

# every Python that is supported; uv finds or fetches the interpreters
test-all: $(STAMP)
	for version in 3.11 3.12 3.13; do \
	  $(BIN)/uv venv --quiet --clear --python $$version .venv-$$version && \
	  $(BIN)/uv pip install --quiet --python .venv-$$version/bin/python --override overrides.txt -e '.[dev,insightface]' && \
	  OMP_NUM_THREADS=1 .venv-$$version/bin/python -m pytest -n 2 || exit 1; \
	done

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

# in an environment of its own: the peers hold old versions of others' packages
bench: $(BENCH)/.installed
	OMP_NUM_THREADS=1 $(BENCH)/bin/python -m benchmarks

# where basicsr cannot be built (it builds on Python 3.11 and 3.12 only), its lines are left out, and a line says so
$(BENCH)/.installed: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(BENCH)
	$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --override overrides.txt -e '.[bench]'
	-$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --override overrides.txt -e '.[reference]'
# MTCNN as pSp's script has it; it asks for a torch of 2024, and runs on today's
	-$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --no-deps facenet-pytorch
	touch $@

# every peer by itself: one that cannot be installed costs its own lines; none may change the versions of what is there
conformance: $(BENCH)/.installed
	$(BIN)/uv pip freeze --quiet --exclude-editable --python $(BENCH)/bin/python > $(BENCH)/held.txt
	for peer in $(PEERS); do \
	  $(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --override overrides.txt --constraint $(BENCH)/held.txt "$$peer" \
	  || echo "$$peer cannot be installed: its lines are left out"; \
	done
# OpenCV 5.0 cannot run OpenCV's own SFace file: 4.x lies in a folder beside it
	-$(BIN)/uv pip install --quiet --python $(BENCH)/bin/python --no-deps --target $(BENCH)/opencv4 'opencv-python-headless<5'
	$(BENCH)/bin/python -m benchmarks.conformance

# do the tests notice changes in the code? a sample drawn with a seed; eight minutes of one core that has nothing else to do
mutants: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --override overrides.txt -e '.[mutants]'
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.mutants

# of the tests that need no private fixtures: FACESR_FIXTURES points nowhere; lines and branches that no test runs are in build/coverage
coverage: $(STAMP)
	OMP_NUM_THREADS=1 FACESR_FIXTURES=$(or $(FACESR_FIXTURES),none) $(BIN)/python -m pytest -n 2 -rs --cov --cov-report=term:skip-covered --cov-report=html:build/coverage

install: $(STAMP)

# warnings are errors (mkdocs.yml: strict); the pages of metrics and methods are made from the code
docs: $(STAMP)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --override overrides.txt -e '.[docs]'
	$(BIN)/mkdocs build

# uv installs in seconds what takes pip minutes; the override keeps the windowed OpenCV (which needs libGL) out.
$(STAMP): pyproject.toml overrides.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --override overrides.txt -e '.[dev,insightface]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) $(BENCH) .pytest_cache .mypy_cache .ruff_cache build dist
