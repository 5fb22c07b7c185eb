# Two commands do all the set-up: `make demo` and `make test`. Each makes its own virtual environment from pinned requirements.
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
export TF_CPP_MIN_LOG_LEVEL := 3

.PHONY: demo demo-tf test test-plain-cpu test-wheel test-slow test-browser kill-test fuzz train-smoke lint links types check benchmark clean

demo: $(DEMO)/ready
	$(DEMO)/bin/stylexport demo -o demo-output

demo-tf: $(TEST)/ready
	$(TEST)/bin/python -m stylexport.reference_tf.release.build_demo checkpoints/demo --record-only --check

PYTEST := $(TEST)/bin/python -m pytest
# Two workers, each with one thread; a file's tests stay together, because its fixtures are made once for all of them.
WORKERS := -n 2 --dist loadfile
# without what has a target of its own
FAST := not slow and not browser and not wheel
test test-plain-cpu test-wheel test-slow: export OMP_NUM_THREADS := 1
test: $(TEST)/ready
	$(PYTEST) -m "$(FAST)" $(WORKERS)

# The tests of the proof and the kernels with the plainest kernels of PyTorch and oneDNN, as on a processor without AVX.
test-plain-cpu: export ATEN_CPU_CAPABILITY := default
test-plain-cpu: export ONEDNN_MAX_CPU_ISA := SSE41
test-plain-cpu: $(TEST)/ready
	$(PYTEST) -m "processor and $(FAST)" $(WORKERS)

# The wheel in a fresh environment, in a directory that has packages named like StylExport's rooms.
test-wheel: $(TEST)/ready
	$(PYTEST) -m wheel tests/packaging

test-slow: $(TEST)/ready
	$(PYTEST) -m slow $(WORKERS)

test-browser: $(TEST)/ready
	$(PYTEST) -m browser

# Commands killed at random moments must go on to the bytes of undisturbed ones; `make kill-test KILLS=500 SEED=7` does more, and others.
KILLS ?= 20
SEED ?= 0
kill-test: $(TEST)/ready
	$(TEST)/bin/python -m benchmarks.robustness.kill_test --kills $(KILLS) --seed $(SEED)

# The README's training, shortened, and what a finished run is good for. Its tensors are small: threads would only wait for each other.
SMOKE := train-smoke-output
train-smoke: export OMP_NUM_THREADS := 1
train-smoke: $(TEST)/ready
	rm -rf $(SMOKE)
	$(TEST)/bin/stylexport convert checkpoints/demo -o $(SMOKE)/converted --labels 8,9
	$(TEST)/bin/stylexport train training/configs/mnist.yaml -o $(SMOKE)/run --from $(SMOKE)/converted --device cpu \
	    run.steps=100 run.checkpoint_every=50 metrics.images=100 metrics.sufficiency_images=8
	$(TEST)/bin/stylexport attfind effects $(SMOKE)/run --latents checkpoints/demo/dlatents.pkl --limit 8 -o $(SMOKE)/effects
	$(TEST)/bin/stylexport attfind select $(SMOKE)/effects
	$(TEST)/bin/stylexport export-tf $(SMOKE)/run -o $(SMOKE)/released
	$(TEST)/bin/stylexport verify $(SMOKE)/run --release $(SMOKE)/released

# Files of every format harmed 10,000 times; with FUZZ="--seed 3 --only 417" one of them again.
FUZZ ?= --count 10000
fuzz: export OMP_NUM_THREADS := 1
fuzz: $(TEST)/ready
	$(TEST)/bin/python -m benchmarks.robustness.fuzz $(FUZZ)

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

# mypy follows folders, not setup.cfg's package_dir: these links show it the tree as it is installed.
ROOMS := converter torch_models reference_tf parity attfind training checkpoints
links:
	rm -rf .types && mkdir -p .types/stylexport
	for entry in stylexport/*; do ln -s ../../$$entry .types/stylexport/; done
	for room in $(ROOMS); do ln -s ../../$$room .types/stylexport/; done

types: $(TEST)/ready links
	$(TEST)/bin/python -m mypy

check: lint types test test-plain-cpu test-wheel

benchmark: $(TEST)/ready
	$(TEST)/bin/python -m benchmarks.agreement
	$(TEST)/bin/python -m benchmarks.convert
	$(TEST)/bin/python -m benchmarks.synthesis

$(DEMO)/ready: requirements/demo.txt requirements/core.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/python -m pip install -q -r requirements/demo.txt
	$(DEMO)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

$(TEST)/ready: requirements/test.txt requirements/core.txt setup.cfg pyproject.toml
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/python -m pip install -q -r requirements/test.txt
	$(TEST)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) .types demo-output train-smoke-output build dist *.egg-info
