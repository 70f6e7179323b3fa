#!/bin/sh
# The measurements that exist so far. docs/performance.md says how to read them.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh cc
for bench in "engine decisions" "logs throughput" "worker throughput"; do
    crate=${bench% *}
    example=${bench#* }
    printf '\n== %s: %s\n' "$crate" "$example"
    cargo run --locked --quiet --release -p "ironmaster-$crate" --example "$example"
done
