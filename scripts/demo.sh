#!/bin/sh
# Builds the programs with their pages, then starts the demo. What it builds and keeps is in target/ and demo-state/.
set -eu
cd "$(dirname "$0")/.."

scripts/setup.sh rust cc
node=$(scripts/node.sh)
echo "building the pages and the two programs; the first time takes some minutes"
scripts/web.sh build
cargo build --locked --profile demo -p ironmaster -p ironmaster-worker
programs=${CARGO_TARGET_DIR:-target}/demo
exec "$node/node" scripts/demo.mjs "$programs"
