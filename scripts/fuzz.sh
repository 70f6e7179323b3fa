#!/bin/sh
# Throws damaged input at everything that reads bytes from outside, for FUZZ_SECONDS in all.
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh rust cc
# Quick, but with checks of overflow and the like.
cargo build --locked -p ironmaster-fuzz --profile fuzz
exec "${CARGO_TARGET_DIR:-target}/fuzz/ironmaster-fuzz" "${FUZZ_SECONDS:-60}" ${FUZZ_TARGET:+"$FUZZ_TARGET"}
