# Two commands do it all on a fresh machine with Python 3.11+ and make: `make run`, `make test`.
#
#   make run      set up, then run the main job on the embedded default (preset quickstart)
#   make test     set up, then run the tests
#   make serve    the UI, schedules and a worker, until Ctrl-C
#   make setup    the virtual environment; TORCH=cpu (default), gpu, or a tag such as cu130;
#                 EXTRAS=dask,s3,onnx adds a Dask cluster's client and workers, stores on S3,
#                 `roberta export --onnx`;
#                 EXTRAS=dask,s3,dev-s3 what the tests of real servers need
#   make sizes    what takes how much of the disk in the virtual environment
#   make lint     ruff and strict mypy (like the tests, it installs its tools when first called)
#   make chaos    hundreds of real faults on a served pipeline, hours; SEED=7 COUNT=200 OUT=build/chaos
#   make mutants  faults planted one at a time: the tests must catch each; half an hour
#   make fuzz     damaged files for every reader, in search of one that fails; SEED=7 MINUTES=5
#   make bench    our speed beside our peers', in one run
#   make pins     after a stage's version was raised: pin what it writes now (tests/pinned/)
#   make lock     the lock files, after a change of pyproject.toml; UPGRADE=1 for newer versions
#   make test-slow, make docs, make clean

PYTHON ?= python3
TORCH ?= cpu
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# pip would compile on one core, and all the tests and compilers that nobody imports here. Where
# PYTHONDONTWRITEBYTECODE is set, what is not compiled now would be at every start.
UNUSED := /(tests?|testing|torchgen|sympy|_inductor|_dynamo|onnx|pip|mypy|transformers/models|caffe2)/
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' $(VENV)/lib || true
OWN := $(BIN)/python -m compileall -qq flows tasks roberta_model || true
# Stock transformers needs some of what is left out (sympy, torch._dynamo, a few of its models): who
# imports it once has compiled just these, and each check of a model folder is sooner done.
STOCK := import transformers; transformers.AutoTokenizer, transformers.RobertaForMaskedLM
IMPORT_STOCK := PYTHONDONTWRITEBYTECODE= $(BIN)/python -c '$(STOCK)' || true
READY := $(VENV)/ready-$(TORCH)
EXTRAS ?=
comma := ,
EXTRAS_READY := $(patsubst %,$(VENV)/extra-%,$(subst $(comma), ,$(EXTRAS)))
DEV_READY := $(VENV)/extra-dev
# One more than the cores there should be: many tests wait for servers.
PYTEST_WORKERS ?= 3
SEED ?= 7
COUNT ?= 200
MINUTES ?= 5
OUT ?= build/chaos

.PHONY: run serve test test-slow setup sizes lint chaos mutants fuzz bench lock docs pins clean

run: $(READY) $(EXTRAS_READY)
	@$(BIN)/roberta run quickstart

serve: $(READY) $(EXTRAS_READY)
	@$(BIN)/roberta serve quickstart

test: $(READY) $(DEV_READY) $(EXTRAS_READY)
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadscope

test-slow: $(READY) $(DEV_READY) $(EXTRAS_READY)
	@$(BIN)/python -m pytest -m slow

setup: $(READY) $(EXTRAS_READY)

$(READY): deployments/requirements.lock deployments/install_torch.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; use make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV) (once; about a minute)"
	@$(BIN)/python deployments/install_torch.py $(TORCH)
	@$(PIP) install --no-compile --no-deps --require-hashes -r deployments/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(PIP) check >/dev/null || $(BIN)/python -m pip check
	@$(COMPILE)
	@$(OWN)
	@$(IMPORT_STOCK)
	@rm -f $(VENV)/ready-* $(VENV)/extra-*
	@touch $@

$(VENV)/extra-%: deployments/requirements-%.lock $(READY)
	@$(PIP) install --no-compile --no-deps --require-hashes -r $<
	@$(COMPILE)
	@touch $@

sizes: $(READY)
	@du -sh $(VENV); du -sm $(VENV)/lib/python*/site-packages/* | sort -rn | head -n 16

lint: $(READY) $(DEV_READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

chaos: $(READY) $(DEV_READY) $(EXTRAS_READY)
	@PYTHONPATH=. $(BIN)/python tests/chaos/chaos.py --seed $(SEED) --count $(COUNT) --out $(OUT)

mutants: $(READY) $(DEV_READY) $(EXTRAS_READY)
	@$(BIN)/python tests/mutants/mutants.py

fuzz: $(READY) $(DEV_READY)
	@$(BIN)/python tests/fuzz/fuzz.py --seed $(SEED) --minutes $(MINUTES)

bench: $(READY) $(DEV_READY) $(EXTRAS_READY)
	@for bench in engine dask refresh training starts masking packing reading cleaning scoring finetuning; do \
	  echo; $(BIN)/python tests/benchmarks/bench_$$bench.py || exit 1; done

lock: $(READY) $(VENV)/extra-dev-lock
	@$(BIN)/python deployments/lock.py

docs: $(READY) $(DEV_READY)
	@$(BIN)/python tests/support/config_reference.py

pins: $(READY) $(DEV_READY)
	@$(BIN)/python tests/support/pins.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
