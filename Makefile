# Each target does its own set-up: see scripts/setup.sh. Nothing is installed outside this folder, apart from
# missing Debian packages (a C compiler and the like).

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench fuzz soak dist clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Build everything and run a master with one worker that builds this checkout (DEMO_PORT=8010)
	@scripts/demo.sh

test: ## Run all checks and tests: what has to pass before a commit is shared
	@scripts/test.sh

lint: ## Check formatting, lints, licences and the pages' sources, without running tests
	@scripts/test.sh lint

fmt: ## Format all sources
	@scripts/fmt.sh

bench: ## Measure, beside Buildbot (BENCH=throughput,latency BENCH_FULL=1 BENCH_ONLY=ironmaster)
	@scripts/bench.sh

fuzz: ## Throw damaged input at all parsers for some time (FUZZ_SECONDS=60)
	@scripts/fuzz.sh

soak: ## Search for rare faults: more simulated histories, more kills of the real programs (SOAK=1)
	@scripts/soak.sh

dist: ## Build the worker as static programs for x86-64 and arm64 Linux
	@scripts/dist.sh

clean: ## Remove everything that the other targets have made, the demo's history included
	@scripts/clean.sh
