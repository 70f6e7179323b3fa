#!/bin/sh
# Sees to it that stock Buildbot (master, worker, clients) is in .tools/buildbot-VERSION, from PyPI: what our tests and benchmarks
# talk to. Prints the folder of its programs.
set -eu
cd "$(dirname "$0")/.."

version=${1:-4.3.0}
to="$PWD/.tools/buildbot-$version"
if [ ! -e "$to/complete" ]; then
    scripts/setup.sh venv >&2
    echo "bringing Buildbot $version into .tools/buildbot-$version" >&2
    rm -rf "$to"
    python3 -m venv "$to"
    constraints="scripts/buildbot-$version.txt"
    [ -e "$constraints" ] || constraints=/dev/null
    "$to/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 2 --constraint "$constraints" \
        "buildbot==$version" "buildbot-www==$version" "buildbot-worker==$version" >&2
    : >"$to/complete"
fi
echo "$to/bin"
