#!/bin/sh
# Measures. docs/performance.md says what, and how to read it.
#   BENCH=throughput,latency  only these scenarios; `rooms` is the crates' own programs   (all)
#   BENCH_FULL=1              all sizes and repetitions: more than an hour                  (about half an hour)
#   BENCH_CROSSED=worker      Buildbot's master with our worker, or (master) ours with its worker, beside all of Buildbot
#   BENCH_ONLY=ironmaster     not beside Buildbot, which is else installed into .tools/
set -eu
cd "$(dirname "$0")/.."
scripts/setup.sh rust cc venv

room() {
    crate=$1
    example=$2
    shift 2
    printf '\n== %s: %s\n' "$crate" "$example"
    cargo run --locked --quiet --release -p "ironmaster-$crate" --example "$example" -- "$@"
}

rooms() {
    room engine decisions
    room store bench_store
    room logs throughput
    room logs long_line
    cargo build --locked --quiet --release -p ironmaster-worker
    room worker output "${CARGO_TARGET_DIR:-target}/release/ironmaster-worker"
}

systems() {
    set -- "$@" --build --limits --keep-going
    [ "${BENCH_FULL:-0}" = 0 ] || set -- "$@" --full
    [ -z "${BENCH_CROSSED:-}" ] || set -- "$@" --crossed "$BENCH_CROSSED"
    [ -z "${BENCH_ONLY:-}" ] || set -- "$@" --only "$BENCH_ONLY"
    PYTHONDONTWRITEBYTECODE=1 python3 -m bench "$@"
}

case ",${BENCH:-all}," in
    ,all,) systems && rooms ;;
    ,rooms,) rooms ;;
    *,rooms,*)
        # shellcheck disable=SC2046
        systems $(printf '%s' "$BENCH" | tr ',' '\n' | grep -vx rooms)
        rooms
        ;;
    *)
        # shellcheck disable=SC2046
        systems $(printf '%s' "$BENCH" | tr ',' ' ')
        ;;
esac
