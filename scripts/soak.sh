#!/bin/sh
# The tests that search for rare faults, with more tries: SOAK=1 is about half an hour on two cores, SOAK=4 two.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:$PWD/.tools/bin"
export PATH
scripts/setup.sh rust cc
scripts/tool.sh cargo-nextest

soak=${SOAK:-1}
IRONMASTER_SIM_SEEDS=${IRONMASTER_SIM_SEEDS:-$((soak * 10000))}
IRONMASTER_KILLS=${IRONMASTER_KILLS:-$((soak * 100))}
IRONMASTER_FAULT_SEEDS=${IRONMASTER_FAULT_SEEDS:-$((soak * 2))}
IRONMASTER_CUT_STEP=${IRONMASTER_CUT_STEP:-1}
export IRONMASTER_SIM_SEEDS IRONMASTER_KILLS IRONMASTER_FAULT_SEEDS IRONMASTER_CUT_STEP
cargo build --locked -p ironmaster -p ironmaster-worker
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
failed=

# Runs tests of one package that match an expression, and says how many histories they have checked in what time. Each
# such test prints "...: NUMBER histories checked ...".
search() {
    name=$1
    package=$2
    tests=$3
    printf '\n== %s\n' "$name"
    started=$(date +%s)
    if ! cargo nextest run --locked --profile soak --success-output immediate -p "$package" -E "$tests" \
        >"$results/output" 2>&1; then
        failed="$failed $name;"
        cat "$results/output"
    fi
    seconds=$(($(date +%s) - started))
    checked=$(sed -n 's/.*: \([0-9][0-9]*\) histories checked.*/\1/p' "$results/output" | awk '{ n += $1 } END { print n + 0 }')
    hourly=$(awk -v n="$checked" -v s="$seconds" 'BEGIN { printf "%d", n * 3600 / (s > 0 ? s : 1) }')
    printf '%s: %s histories checked in %s s, %s an hour\n' "$name" "$checked" "$seconds" "$hourly" |
        tee -a "$results/summary"
    echo "$checked" >>"$results/total"
}

begin=$(date +%s)
search "simulator ($IRONMASTER_SIM_SEEDS seeds)" ironmaster-engine 'all()'
search "faults of SQLite's disk ($IRONMASTER_FAULT_SEEDS seeds)" ironmaster-store 'test(/^faults::/)'
search "cuts of PostgreSQL's connection (every message of $IRONMASTER_CUT_STEP)" ironmaster-store 'test(/^cut::/)'
search "faults of the logs ($IRONMASTER_FAULT_SEEDS seeds)" ironmaster-logs 'test(/^broken::/)'
search "kills of the real programs ($IRONMASTER_KILLS)" ironmaster-e2e 'all()'

printf '\n== in total\n'
cat "$results/summary"
awk -v s=$(($(date +%s) - begin)) '{ n += $1 } END { printf "%d histories checked in %d s, %d an hour\n", n, s, n * 3600 / (s > 0 ? s : 1) }' \
    "$results/total"
[ -z "$failed" ] || {
    echo "error: failures in:$failed see above" >&2
    exit 1
}
