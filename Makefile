# The two commands are `make run` and `make test`; `make help` lists the rest. A thin layer over the CMake presets.
SHELL := /bin/sh
JOBS ?= $(shell nproc)
ARGS ?=
SEEDS ?= 20000
SECONDS ?= 60
MINUTES ?=
FILES ?= 20000
SEED ?= 1

.PHONY: help run build test dev soak sim-soak mutants core-mutants bench asan tsan fuzz fuzz-mutations clean-room image-test clean setup-build setup-test setup-fuzz setup-mutation configure-build configure-test

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## install packages, build, serve on http://127.0.0.1:8000 with data in ./data (ARGS="--slots 1" adds options)
	exec build/latham serve $(ARGS)

build: setup-build configure-build ## install packages, build; leaves build/latham
	@cmake --build build --target latham -j $(JOBS)

test: setup-test configure-test ## install packages, build everything, run all tests
	@cmake --build build -j $(JOBS)
	@cd build && ctest --output-on-failure --no-tests=error -j 1

dev: build ## serve with the page reloading as you edit it (page on http://127.0.0.1:5173)
	@cd http/web && npm ci --prefer-offline --no-audit --no-fund --ignore-scripts --loglevel=error
	@sh -c 'build/latham serve $(ARGS) & server=$$!; trap "kill $$server" EXIT INT TERM; cd http/web && npm run dev'

asan: setup-test ## build with address and undefined-behaviour sanitizers, run the tests that do not need a browser
	@cmake --preset asan-ubsan >/dev/null
	@cmake --build --preset asan-ubsan -j $(JOBS)
	@cd build/asan-ubsan && ctest --output-on-failure --no-tests=error -L 'unit|property|integration|sim' -j 1

tsan: setup-test ## build with the thread sanitizer, run the tests of the rooms that have threads
	@cmake --preset tsan >/dev/null
	@cmake --build --preset tsan -j $(JOBS) --target unit_net integration_net unit_store integration_store unit_http integration_http
	@cd build/tsan && ctest --output-on-failure --no-tests=error -R '^(unit|integration)_(net|store|http)$$' -j 1

soak: setup-test configure-test ## run the simulation over many seeds (SEEDS=20000, or MINUTES=90), stop at the first failure; log in build/soak.log
	@cmake --build build --target latham-sim -j $(JOBS)
	@tests/sim/soak.sh build/latham-sim $(SEEDS) "$(MINUTES)" $(JOBS) build

sim-soak: soak

mutants: setup-test ## plant bugs in copies of the tree and expect the simulation to find each (ARGS="--only NAME"); half an hour on two cores
	@tests/sim/mutants.py --jobs $(JOBS) $(ARGS)

core-mutants: setup-mutation configure-test ## change core/'s rules in 3,100 small ways and expect the tests to notice (ARGS="--sample 200"); half an hour on two cores
	@tests/mutation/core_mutants.py --jobs $(JOBS) $(ARGS)

fuzz: setup-fuzz ## run each fuzzer for SECONDS=60; needs clang, which it installs
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz --target fuzzers -j $(JOBS)
	@tests/fuzz/run.sh build/fuzz $(SECONDS)

fuzz-mutations: setup-test configure-test ## FILES=20000 damaged files of every format through real codec children (SEED=1); findings stay in build/mutations
	@cmake --build build --target latham media_mutations -j $(JOBS)
	@mkdir -p build/mutations
	@build/tests/fuzz/media_mutations --latham build/latham --files $(FILES) --seed $(SEED) --keep build/mutations

bench: setup-test configure-build ## measure against two baselines in one run: half an hour on a quiet machine (ARGS=--quick: three minutes)
	@cmake --build build --target latham latham-sim -j $(JOBS)
	@tests/bench/run.sh $(ARGS)

clean-room: ## both commands in a fresh Debian 12, a build on a fresh Debian 13 (needs root and mmdebstrap; an hour)
	@tests/clean_room/run.sh

image-test: build ## the container image and the four roles as containers (needs root, podman, runc, mmdebstrap)
	@tests/integration/deploy/compose_test.sh

clean: ## remove what was built (not ./data)
	@rm -rf build

setup-build:
	@deploy/setup/packages.sh build

setup-test:
	@deploy/setup/packages.sh test

setup-fuzz:
	@deploy/setup/packages.sh fuzz

setup-mutation:
	@deploy/setup/packages.sh mutation

# `make build` installs no GoogleTest, so a new build directory starts without the tests; `make test` adds them for good.
configure-build: CONFIGURE = $(if $(wildcard build/CMakeCache.txt),,-D LATHAM_TESTS=OFF)
configure-test: CONFIGURE = -D LATHAM_TESTS=ON
configure-build configure-test:
	@cmake --preset release $(CONFIGURE) >build-configure.log 2>&1 || { cat build-configure.log; rm -f build-configure.log; exit 1; }
	@rm -f build-configure.log
