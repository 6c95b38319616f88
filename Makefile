# Seawall's commands. `make` alone lists them; each says what it does before it does it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test check fmt bench fuzz install clean

# The data directory of `make run`.
DATA ?= ./data
# Extra arguments for `seawall run` (for example ARGS="--http :80") and for `bench/run`.
ARGS ?=
# The target of `make fuzz` (all of them if empty), and for how many seconds each.
T ?=
S ?= 60

# rust-toolchain.toml pins the compiler. Where rustup has that very version under the name `stable` only, use it.
PINNED := $(shell sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
ifeq ($(shell rustup toolchain list 2>/dev/null | grep -c '^$(PINNED)'),0)
ifneq ($(findstring rustc $(PINNED) ,$(shell rustc +stable --version 2>/dev/null)),)
export RUSTUP_TOOLCHAIN := stable
endif
endif

help: ## list these commands
	@echo "Seawall: an edge you own. Commands:"
	@echo
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo
	@echo "New here? README.md shows what it is, CONTRIBUTING.md how to work on it."

run: ## build it and start everything with a built-in demo site
	@scripts/install build
	@echo "Building Seawall, optimised: some minutes the first time, seconds after that."
	cargo build --release --locked --package seawall
	@echo "Starting it with the demo site; data in $(DATA). Ctrl-C stops it."
	exec target/release/seawall run --demo --data-dir "$(DATA)" $(ARGS)

test: ## everything CI runs: format, lints, documentation, every test
	@scripts/test

check: ## the quick part of that: format and lints
	@scripts/test check

fmt: ## format the sources
	cargo fmt --all

bench: ## measure Seawall beside its peers on this machine (bench/README.md)
	@scripts/install bench
	@echo "Building Seawall, optimised; then some 65 minutes (ARGS=\"--rounds 3 --seconds 2\": 30) with nothing else running, please."
	cargo build --release --locked --package seawall
	bench/run $(ARGS)

fuzz: ## fuzz the parsers: T=name for one target, S=seconds for each
	@scripts/install fuzz
	@scripts/fuzz "$(S)" $(T)

install: ## install what building and testing need, and say what
	@scripts/install

clean: ## remove what was built; data and caches stay
	cargo clean
