# make demo   six stages on generated scenes, nothing downloaded but packages
# make test   every test
# make quick  the tests that do not take long, in a minute
# make lint   ruff and mypy
# make bench  the measuring programs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test quick lint bench clean

# A stamp a requirements file; numba's kernels are compiled here, so that no run waits for them.
$(VENV)/%.stamp: $(wildcard requirements*.txt requirements/*.txt)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $*.txt
	$(BIN)/python -m higherhrnet.decode
	touch $@

demo: $(VENV)/requirements.stamp
	PYTHON="$(abspath $(BIN)/python)" bash demo/run.sh

test: $(VENV)/requirements-dev.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: $(VENV)/requirements-dev.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: $(VENV)/requirements-dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/requirements-dev.stamp
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.network --bs 1,4
	$(BIN)/python -m benchmarks.quantization

clean:
	rm -rf $(VENV) build
