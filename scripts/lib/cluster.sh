# shellcheck shell=bash
# The instance as a private PostgreSQL cluster: its own data, port, password and log, on 127.0.0.1 only.
# PG_BIN is where the server's programs are; PG_ROOT is the root file system they run in, empty for this machine's.

PG_START_SECONDS=120

# The newest PostgreSQL of this machine that has the extension: its bin directory.
cluster_find_local() {
    local library
    library=$(
        {
            printf '%s\n' /usr/lib/postgresql/*/lib/timescaledb.so /usr/pgsql-*/lib/timescaledb.so
            ! have pg_config || printf '%s/timescaledb.so\n' "$(pg_config --pkglibdir)"
        } | while IFS= read -r file; do [[ ! -e $file ]] || printf '%s\n' "$file"; done | sort -V | tail -n 1
    )
    [[ -n $library ]] || return 1
    if have pg_config && [[ $library == "$(pg_config --pkglibdir)/timescaledb.so" ]]; then
        pg_config --bindir
    else
        printf '%s\n' "${library%/lib/timescaledb.so}/bin"
    fi
}

# Where the instance's data lives, as the server's programs see it, and as this machine does.
cluster_home_inside() {
    if [[ -n $PG_ROOT ]]; then printf '/var/lib/atlas/%s' "$INSTANCE"; else printf '%s' "$INSTANCE_DIR"; fi
}

cluster_home() { printf '%s%s' "$PG_ROOT" "$(cluster_home_inside)"; }

# pg PROGRAM ARGUMENT...: runs a program of the server as its user, for PostgreSQL refuses to be run by root.
# The server outlives this script and must not hold its lock (9).
pg() {
    local program=$PG_BIN/$1
    shift
    if [[ -n $PG_ROOT ]]; then
        chroot --userspec="$(rootfs_ids postgres)" "$PG_ROOT" \
            /usr/bin/env --ignore-environment PATH=/usr/bin:/bin LC_ALL=C "$program" "$@" 9>&-
    elif is_root; then
        (cd / && runuser -u postgres -- env --ignore-environment PATH=/usr/bin:/bin LC_ALL=C "$program" "$@" 9>&-)
    else
        LC_ALL=C "$program" "$@" 9>&-
    fi
}

cluster_owner() {
    if [[ -n $PG_ROOT ]]; then
        rootfs_ids postgres
    elif is_root; then
        id postgres >/dev/null 2>&1 || useradd --system --user-group --shell /usr/sbin/nologin postgres
        printf 'postgres:'
    else
        id -un
    fi
}

# The process id of this instance's server; fails where it does not run. A pid file that a crash of the machine left
# may name a process of somebody else's: the working directory tells.
cluster_pid() {
    local pid data
    data=$(cluster_home)/data
    pid=$(head -n 1 "$data/postmaster.pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/cwd") == "$(readlink -f "$data")" ]] && printf '%s' "$pid"
}

# Line 8 of the pid file says whether connections are accepted.
cluster_running() {
    cluster_pid >/dev/null && [[ $(sed -n 8p "$(cluster_home)/data/postmaster.pid" 2>/dev/null) == ready* ]]
}

cluster_up() {
    cluster_running && return
    [[ -f $(cluster_home)/complete ]] || cluster_create
    cluster_start
}

cluster_create() {
    local home owner
    home=$(cluster_home)
    owner=$(cluster_owner)
    cluster_stop immediate
    say "making database cluster '$INSTANCE' in $home"
    rm -rf --one-file-system "$home/data"
    mkdir -p "$home"
    chown "$owner" "$home"
    install -m 600 -o "${owner%%:*}" /dev/null "$home/initial-password"
    instance_password >"$home/initial-password"
    pg initdb --pgdata="$(cluster_home_inside)/data" --username=atlas --pwfile="$(cluster_home_inside)/initial-password" \
        --auth=scram-sha-256 --encoding=UTF8 --no-locale >"$INSTANCE_DIR/initdb.log" 2>&1 ||
        die "initdb failed: $(tail -n 5 "$INSTANCE_DIR/initdb.log")"
    rm -f "$home/initial-password"
    cluster_settings >>"$home/data/postgresql.conf"
    cluster_start
    pg createdb "--maintenance-db=$(instance_url postgres)" atlas
    cluster_psql --quiet --command='CREATE EXTENSION IF NOT EXISTS timescaledb' 2>/dev/null
    touch "$home/complete"
}

# Connections over TCP only, so that no socket path can be too long or in a directory of somebody else's.
cluster_settings() {
    cat <<'CONF'

# ATLAS: a private cluster for development and tests; durability as in production (fsync stays on).
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 400
shared_buffers = 512MB
max_wal_size = 4GB
max_locks_per_transaction = 512
max_worker_processes = 16
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%d '
CONF
}

# Again and again, for processes of a killed server may still hold its shared memory, and the port may be taken meanwhile.
cluster_start() {
    local home deadline=$((SECONDS + PG_START_SECONDS))
    home=$(cluster_home)
    until cluster_running; do
        ((SECONDS < deadline)) || die "the server does not start; the end of $home/log: $(tail -n 10 "$home/log")"
        if cluster_pid >/dev/null; then
            sleep 0.1 # starting or stopping
        else
            cluster_start_once || sleep 0.3
        fi
    done
}

cluster_start_once() {
    local inside
    inside=$(cluster_home_inside)
    rm -f "$(cluster_home)/data/postmaster.pid"
    port_free "$(instance_port)" || instance_new_port
    pg pg_ctl start --pgdata="$inside/data" --log="$inside/log" --options="-p $(instance_port)" \
        --wait --timeout="$PG_START_SECONDS" >"$INSTANCE_DIR/start.log" 2>&1
}

cluster_down() { cluster_stop fast; }

cluster_stop() {
    cluster_pid >/dev/null || return 0
    pg pg_ctl stop --pgdata="$(cluster_home_inside)/data" --mode="$1" --wait --timeout=60 >&2
}

cluster_restart() {
    cluster_stop "$1"
    cluster_start
}

cluster_kill() {
    local pid
    pid=$(cluster_pid) || die "instance '$INSTANCE' is not running"
    kill -KILL "$pid"
    while cluster_pid >/dev/null; do sleep 0.05; done
}

cluster_destroy() {
    cluster_stop immediate
    rm -rf --one-file-system "$(cluster_home)"
}

# psql of this machine, or else the server's own.
cluster_psql() {
    if have psql; then psql "$(instance_url)" --no-psqlrc "$@"; else pg psql "$(instance_url)" --no-psqlrc "$@"; fi
}
