#!/bin/sh
# The bundled pages: `scripts/web.sh build` makes web/dist if it is missing or older than its sources,
# `scripts/web.sh run SCRIPT…` runs scripts of web/package.json. Both install what they need first.
set -eu
cd "$(dirname "$0")/.."

node=$(scripts/node.sh)
PATH="$node:$PATH"
export PATH
cd web

# npm notes here what it has installed, last of all.
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    # Not `npm ci`: it takes a registry that lacks the binaries for other platforms for a lock file out of date. This
    # installs what the lock file says, too, and changes nothing in it.
    npm install --no-save --no-fund --no-audit --loglevel=error
    touch node_modules/.package-lock.json
fi

case "$1" in
    build)
        if [ ! -e dist/index.html ] || [ -n "$(find src public index.html package-lock.json vite.config.ts tsconfig.json \
            -newer dist/index.html -print -quit)" ]; then
            npm run --silent build
        fi
        ;;
    run)
        shift
        for script in "$@"; do
            npm run --silent "$script"
        done
        ;;
    *)
        echo "usage: scripts/web.sh build | scripts/web.sh run SCRIPT…" >&2
        exit 2
        ;;
esac
