#!/bin/sh
# The measurements that exist so far. docs/performance.md says how to read them.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh cc
exec cargo run --locked --release -p ironmaster-logs --example throughput -- "$@"
