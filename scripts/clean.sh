#!/bin/sh
# Removes what the other targets have made.
set -eu
cd "$(dirname "$0")/.."
if [ -e demo-state/demo.pid ] && kill -0 "$(cat demo-state/demo.pid)" 2>/dev/null; then
    echo "error: the demo is running (process $(cat demo-state/demo.pid)); stop it first, with Ctrl-C" >&2
    exit 1
fi
rm -rf target web/dist web/node_modules .tools demo-state
