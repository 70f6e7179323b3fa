#!/bin/sh
# Sees to it that the Python packages of scripts/python.txt are in .tools/python, for PYTHONPATH.
set -eu
cd "$(dirname "$0")/.."

to="$PWD/.tools/python"
if cmp -s scripts/python.txt "$to/python.txt"; then
    exit
fi
scripts/setup.sh pip
rm -rf "$to"
mkdir -p "$to"
echo "bringing Python packages into .tools/python" >&2
python3 -m pip install --quiet --disable-pip-version-check --no-input --retries 2 --no-deps --no-compile \
    --only-binary=:all: --platform any --implementation py --abi none \
    --require-hashes --requirement scripts/python.txt --target "$to" >&2
cp scripts/python.txt "$to/python.txt"
