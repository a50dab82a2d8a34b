# shellcheck shell=bash
# The instance as a private PostgreSQL cluster: its own data, port, password and log, on 127.0.0.1 only.
# PG_BIN is where the server's programs are; PG_ROOT is the root file system they run in, empty for this machine's.

PG_START_SECONDS=120

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

# The process id of this instance's server; fails where it does not run. A pid file that a crash of the machine left
# may name a process of another program: the working directory shows which it is.
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
    cluster_start true
}

# Again and again, for processes of a killed server may still hold its shared memory, and the port may be taken meanwhile.
# cluster_start CHECK: CHECK is called before each attempt, and ends what cannot succeed; `true` ends nothing.
cluster_start() {
    local home deadline=$((SECONDS + PG_START_SECONDS))
    home=$(cluster_home)
    until cluster_running; do
        ((SECONDS < deadline)) || die "the server does not start; the end of $home/log: $(tail -n 10 "$home/log")"
        if cluster_pid >/dev/null; then
            sleep 0.1 # starting or stopping
        else
            "$1"
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
    cluster_start true
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
