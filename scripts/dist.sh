#!/bin/sh
# Builds the worker as it is copied to other machines: one static, stripped file for each processor, in target/dist-worker.
# `scripts/dist.sh aarch64` builds one of them.
set -eu
cd "$(dirname "$0")/.."

# What a worker's program may weigh, in bytes.
limit=10000000
out=${CARGO_TARGET_DIR:-target}/dist-worker

scripts/setup.sh rust
mkdir -p "$out"
for processor in ${*:-x86_64 aarch64}; do
    target=$processor-unknown-linux-musl
    if [ ! -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
        command -v rustup >/dev/null && rustup target add "$target" >&2 || {
            echo "error: this Rust toolchain has no standard library for $target" >&2
            echo "hint: rustup target add $target" >&2
            exit 1
        }
    fi
    # Rust brings a linker and the C library's start files for these targets. The cryptography of TLS has some C in it, which needs
    # a compiler for the processor and headers that any C library has; with checks of its own, glibc's would ask for more.
    if [ "$processor" = "$(uname -m)" ]; then
        scripts/setup.sh cc >&2
        compiler=cc archiver=ar
    else
        scripts/setup.sh "cc-$processor" >&2
        compiler=$processor-linux-gnu-gcc archiver=$processor-linux-gnu-ar
    fi
    linker=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER
    env "$linker=rust-lld" "CC_$target=$compiler" "AR_$target=$archiver" "CFLAGS_$target=-U_FORTIFY_SOURCE" \
        cargo build --locked --package ironmaster-worker --bin ironmaster-worker --profile dist --target "$target"
    file=$out/ironmaster-worker-$processor-linux
    cp "${CARGO_TARGET_DIR:-target}/$target/dist/ironmaster-worker" "$file"
    size=$(wc -c <"$file")
    printf '%s: %d kB\n' "$file" $((size / 1000))
    if [ "$size" -gt "$limit" ]; then
        echo "error: that is more than $((limit / 1000)) kB; what made it so large?" >&2
        exit 1
    fi
done
