#!/bin/sh
# Sees to it that the programs named as arguments are there, and installs the Debian packages of those that are
# missing. Known names: make, cc, cc-x86_64 and cc-aarch64 (compilers for another processor), pip, venv, npm, chromium,
# postgres, hg, svn; and rust, which is only looked for.
set -eu

package_of() {
    case "$1" in
        make) echo make ;;
        cc) echo gcc libc6-dev ;;
        cc-x86_64) echo gcc-x86-64-linux-gnu libc6-dev-amd64-cross ;;
        cc-aarch64) echo gcc-aarch64-linux-gnu libc6-dev-arm64-cross ;;
        pip) echo python3 python3-pip ;;
        venv) echo python3 python3-venv ;;
        npm) echo nodejs npm ;;
        hg) echo mercurial ;;
        svn) echo subversion ;;
        # A browser without a font shows nothing.
        chromium) echo chromium fonts-dejavu-core ;;
        postgres) echo postgresql ;;
        *) echo "scripts/setup.sh: no package is known for '$1'" >&2; exit 2 ;;
    esac
}

is_there() {
    case "$1" in
        # A compiler without the C library's headers compiles nothing.
        cc) command -v cc >/dev/null && echo '#include <stdlib.h>' | cc -E -x c - >/dev/null 2>&1 ;;
        cc-*) echo '#include <stdlib.h>' | "${1#cc-}-linux-gnu-gcc" -E -x c - >/dev/null 2>&1 ;;
        pip) python3 -m pip --version >/dev/null 2>&1 ;;
        venv) python3 -c 'import ensurepip, venv' >/dev/null 2>&1 ;;
        # The server, wherever Debian keeps it.
        postgres) ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

if [ "${1:-}" = rust ]; then
    shift
    command -v cargo >/dev/null || {
        echo "error: there is no Rust toolchain (cargo) on the PATH" >&2
        echo "hint: install Rust 1.95 or newer with rustup; Debian's own is too old" >&2
        exit 1
    }
fi

missing=
for name in "$@"; do
    packages=$(package_of "$name")
    is_there "$name" || missing="$missing $packages"
done
[ -n "$missing" ] || exit 0

fail() {
    echo "error: these programs are needed and missing; their Debian packages are:$missing" >&2
    echo "hint: $1" >&2
    exit 1
}

command -v apt-get >/dev/null ||
    fail "this is not Debian; install what corresponds to them and try again"
if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
    root=sudo
else
    fail "as root: apt-get update && apt-get install$missing"
fi

echo "installing the Debian packages:$missing" >&2
# A machine that has just started may be at its own upgrades, and a mirror may be slow.
patient="-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3"
# Only names of packages and these options are split here, none of which has a blank.
# shellcheck disable=SC2086
{
    $root apt-get $patient update -q >&2 &&
        $root env DEBIAN_FRONTEND=noninteractive apt-get $patient install -q -y --no-install-recommends $missing >&2
} </dev/null || fail "apt-get failed, see above; install them by hand and try again"
for name in "$@"; do
    is_there "$name" || fail "'$name' is still missing after that"
done
