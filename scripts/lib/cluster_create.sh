# shellcheck shell=bash
# Making a private PostgreSQL cluster; cluster.sh runs it.

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
    cluster_start true
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
