#!/bin/sh
# All checks and tests, in stages; the first that fails ends it. `scripts/test.sh lint` stops before the tests.
set -eu
cd "$(dirname "$0")/.."

PATH="$PATH:$PWD/.tools/bin"
export PATH
# A test that finds another master's variables must not talk to that master.
unset IRONMASTER_CRASH_AT IRONMASTER_LOG IRONMASTER_WORKER_TOKEN
# The random cases of tests with properties are the same in every run here, so that a run fails for what has changed;
# `make soak` and runs of single crates try others each time.
export PROPTEST_RNG_SEED=1
begin=$(date +%s)

stage() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    started=$(date +%s)
    if "$@"; then
        printf -- '-- %s: %d s\n' "$name" $(($(date +%s) - started))
    else
        printf '\nerror: the stage "%s" failed, after %d s\n' "$name" $(($(date +%s) - started)) >&2
        printf 'hint: to run it alone: %s\n' "$*" >&2
        exit 1
    fi
}

stage "compilers and version control" scripts/setup.sh rust cc hg svn
stage "cargo-nextest" scripts/tool.sh cargo-nextest
stage "cargo-deny" scripts/tool.sh cargo-deny
stage "Python packages" scripts/python.sh
stage "stock Buildbot" scripts/buildbot.sh
stage "formatting" cargo fmt --all --check
stage "dependencies" cargo deny --locked --log-level error check --hide-inclusion-graph bans licenses sources
stage "pages: lint, types" scripts/web.sh run lint check
stage "pages: build" scripts/web.sh build
stage "lints" cargo clippy --locked --workspace --all-targets -- -D warnings
[ "${1:-}" != lint ] || exit 0

stage "pages: tests" scripts/web.sh run test
# The end-to-end tests start these programs.
stage "programs" cargo build --locked -p ironmaster -p ironmaster-worker
[ -n "${CHROMIUM:-}" ] || stage "browser" scripts/setup.sh chromium
stage "pages: tests in a browser" scripts/web.sh run test:browser test:e2e
[ -n "${IRONMASTER_TEST_POSTGRES:-}" ] || stage "PostgreSQL" scripts/setup.sh postgres
stage "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items
stage "examples in the documentation" cargo test --locked --workspace --doc --quiet
printf '\nall but the tests: %d s\n' $(($(date +%s) - begin))

# Last, and silent after it: its summary is the end of the output.
printf '\n== tests\n'
exec cargo nextest run --locked --workspace
