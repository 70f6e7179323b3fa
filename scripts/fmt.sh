#!/bin/sh
# Formats all sources.
set -eu
cd "$(dirname "$0")/.."
cargo fmt --all
scripts/web.sh run format
