#!/bin/sh
# The tests that search for rare faults, with more tries: SOAK=4 is about an hour on two cores.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:$PWD/.tools/bin"
export PATH
scripts/setup.sh rust cc
scripts/tool.sh cargo-nextest

soak=${SOAK:-4}
IRONMASTER_SIM_SEEDS=${IRONMASTER_SIM_SEEDS:-$((soak * 10000))}
IRONMASTER_KILLS=${IRONMASTER_KILLS:-$((soak * 100))}
IRONMASTER_CUT_STEP=${IRONMASTER_CUT_STEP:-1}
export IRONMASTER_SIM_SEEDS IRONMASTER_KILLS IRONMASTER_CUT_STEP
echo "$IRONMASTER_SIM_SEEDS simulated histories, $IRONMASTER_KILLS kills"
cargo build --locked -p ironmaster -p ironmaster-worker
exec cargo nextest run --locked --profile soak -p ironmaster-engine -p ironmaster-store -p ironmaster-e2e
