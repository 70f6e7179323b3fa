#!/bin/sh
# A PostgreSQL server for tests: on a free loopback port, with its data in a temporary directory, run by an ordinary user.
#
#   scripts/postgres.sh nextest   before tests: nextest calls it, see .config/nextest.toml; the server ends with them
#   eval "$(scripts/postgres.sh start)"   for this shell: it ends with it
#   scripts/postgres.sh run COMMAND …     as long as the command runs
#
# Where it is stands in IRONMASTER_TEST_POSTGRES. A server that is named there already is taken.
# POSTGRES_SYNC=on makes its commits durable, for measurements.
set -eu
cd "$(dirname "$0")/.."

keeper=$PPID
case "${1:-}" in
    nextest | start) ;;
    run) keeper=$$; shift ;;
    *) echo "usage: scripts/postgres.sh nextest | start | run COMMAND" >&2; exit 2 ;;
esac
mode=${1:-}

announce() {
    if [ -n "${NEXTEST_ENV:-}" ]; then
        echo "IRONMASTER_TEST_POSTGRES=$1" >>"$NEXTEST_ENV"
    elif [ "$mode" = start ]; then
        echo "export IRONMASTER_TEST_POSTGRES=$1"
    fi
}

bin() {
    # The newest that is installed; Debian keeps it off the PATH.
    found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$found" ] && command -v initdb >/dev/null; then
        found=$(dirname "$(readlink -f "$(command -v initdb)")")
    fi
    echo "$found"
}

# PostgreSQL refuses to run as root.
as_user() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
    else
        "$@"
    fi
}

start() {
    scripts/setup.sh postgres >&2
    bin=$(bin)
    dir=$(mktemp -d "${TMPDIR:-/tmp}/ironmaster-postgres.XXXXXX")
    [ "$(id -u)" != 0 ] || chown postgres "$dir"
    chmod 700 "$dir"
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    echo "$password" >"$dir/password"
    [ "$(id -u)" != 0 ] || chown postgres "$dir/password"
    chmod 600 "$dir/password"
    # Nothing here has to survive a loss of power, unless somebody measures.
    sync=${POSTGRES_SYNC:-off}
    as_user env -C "$dir" "$bin/initdb" -D "$dir/data" -U ironmaster -A scram-sha-256 --pwfile="$dir/password" -E UTF8 \
        --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; exit 1; }
    tries=0
    while :; do
        # Whether a port is free shows when it is taken.
        port=$(($(od -An -N2 -tu2 /dev/urandom) % 20000 + 20000))
        as_user env -C "$dir" "$bin/pg_ctl" -D "$dir/data" -l "$dir/server.log" -w -s start -o "-p $port \
            -c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -c fsync=$sync -c full_page_writes=$sync \
            -c max_connections=200 -c shared_buffers=64MB -c max_wal_size=256MB -c autovacuum_naptime=10s" </dev/null >/dev/null 2>&1 && break
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || { cat "$dir/server.log" >&2; exit 1; }
    done
    # It ends with whoever wanted it, however that ends.
    # shellcheck disable=SC2016
    setsid sh -c '
        while kill -0 "$1" 2>/dev/null; do sleep 0.5; done
        kill -QUIT "$(head -n 1 "$2/data/postmaster.pid")" 2>/dev/null
        while kill -0 "$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)" 2>/dev/null; do sleep 0.1; done
        rm -rf "$2"
    ' keeper "$keeper" "$dir" </dev/null >/dev/null 2>&1 &
    echo "postgres://ironmaster:$password@127.0.0.1:$port/postgres"
}

url=${IRONMASTER_TEST_POSTGRES:-}
[ -n "$url" ] || url=$(start)
announce "$url"
if [ "$mode" != nextest ] && [ "$mode" != start ]; then
    export IRONMASTER_TEST_POSTGRES="$url"
    "$@"
fi
