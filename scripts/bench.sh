#!/bin/sh
# The measurements that exist so far. docs/performance.md says how to read them.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh rust cc

bench() {
    crate=$1
    example=$2
    shift 2
    printf '\n== %s: %s\n' "$crate" "$example"
    cargo run --locked --quiet --release -p "ironmaster-$crate" --example "$example" -- "$@"
}

bench engine decisions
bench store bench_store
bench logs throughput
bench logs long_line
cargo build --locked --quiet --release -p ironmaster-worker
bench worker throughput "${CARGO_TARGET_DIR:-target}/release/ironmaster-worker"
