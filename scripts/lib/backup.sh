# shellcheck shell=bash
# Backups of the instance and their restoration. cluster.sh runs the server's programs.
# Everything is kept in the instance's own home, beside its data: wal/ (archived WAL), backups/.

# What an archive_command needs: a file appears under its name only when it is complete and on disk, and is never replaced.
backup_archive_settings() {
    local wal
    wal=$(cluster_home_inside)/wal
    cat <<CONF

# Archived WAL, from which restore_command takes it.
archive_mode = on
archive_timeout = 60s
archive_command = 'if test -e $wal/%f; then cmp -s %p $wal/%f; else cp %p $wal/%f.part && sync $wal/%f.part && mv $wal/%f.part $wal/%f; fi'
restore_command = 'cp $wal/%f %p'
CONF
}

# Turns on archiving; takes a restart of the server.
backup_archive() {
    local home
    home=$(cluster_home)
    if ! grep -q '^archive_mode = on' "$home/data/postgresql.conf"; then
        backup_folder "$home/wal"
        backup_archive_settings >>"$home/data/postgresql.conf"
        cluster_restart fast
    fi
    say "WAL is archived in $home/wal"
}

# A folder of the server's user.
backup_folder() {
    mkdir -p "$1"
    chown "$(cluster_owner)" "$1"
}

# A copy of the whole server, taken while it runs. Prints its name.
backup_base() {
    local name
    name=base-$(date -u +%Y%m%dT%H%M%SZ)
    backup_folder "$(cluster_home)/backups"
    pg pg_basebackup --dbname="$(instance_url postgres)" --pgdata="$(cluster_home_inside)/backups/$name" \
        --checkpoint=fast --wal-method=stream >&2
    printf '%s\n' "$name"
}

# A logical copy of one database, of one moment. Prints its name.
backup_dump() {
    local name
    name=$1-$(date -u +%Y%m%dT%H%M%SZ).dump
    backup_folder "$(cluster_home)/backups"
    pg pg_dump --dbname="$(instance_url "$1")" --format=custom --file="$(cluster_home_inside)/backups/$name" 2>&1 |
        backup_without_noise >&2
    printf '%s\n' "$name"
}

# TimescaleDB's own catalogue refers to itself, of which pg_dump warns each time; restoring takes care of it.
backup_without_noise() {
    grep -vE 'circular foreign-key|detail: (hypertable|chunk|continuous_agg)|hint: You might not be able|hint: Consider using a full' || true
}

# restore_base NAME [TIME [TIMELINE]]: the server as it was at a time (default: as far as its WAL reaches) of a timeline
# (default: the latest). The data that was there is kept beside it.
restore_base() {
    local name=$1 time=${2:-} timeline=${3:-latest} home owner old
    home=$(cluster_home)
    owner=$(cluster_owner)
    [[ -d $home/backups/$name ]] || die "there is no base backup $name in $home/backups"
    cluster_stop fast
    old=$home/data.before-$(date -u +%Y%m%dT%H%M%SZ)
    mv "$home/data" "$old"
    cp -a "$home/backups/$name" "$home/data"
    chown "$owner" "$home/data"
    {
        printf '\n# Recovery to where it is wanted; of no effect after it.\nrecovery_target_action = promote\n'
        printf "recovery_target_timeline = '%s'\n" "$timeline"
        [[ -z $time ]] || printf "recovery_target_time = '%s'\n" "$time"
    } >>"$home/data/postgresql.conf"
    install -m 600 -o "${owner%%:*}" /dev/null "$home/data/recovery.signal"
    : >"$home/log"
    cluster_start restore_check
    restore_wait
    say "restored $name${time:+ to $time}; the data that was there: $old"
}

# Ends a recovery that failed, as it would at each start. Reads restore_base's variables.
restore_check() {
    local reason
    reason=$(grep -oE 'FATAL: .*(recovery|timeline).*' "$home/log" | head -n 1) || return 0
    die "$name cannot be restored${time:+ to $time}: $reason
The time has to lie between the end of the base backup (its name has the beginning) and the end of the archived WAL of the
timeline ($timeline), and each restore begins a timeline. Restore again, with another time, backup or timeline. The data that was there is kept: $old"
}

# Until the server takes writes again.
restore_wait() {
    local deadline=$((SECONDS + PG_START_SECONDS))
    until [[ $(cluster_psql --tuples-only --no-align --command='select pg_is_in_recovery()' 2>/dev/null) == f ]]; do
        cluster_pid >/dev/null || restore_check
        ((SECONDS < deadline)) || die "the server does not end its recovery: $(tail -n 5 "$(cluster_home)/log")"
        sleep 0.1
    done
}

# restore_dump NAME DATABASE: a new database from a logical copy.
restore_dump() {
    local name=$1 database=$2 url
    url=$(instance_url "$database")
    [[ -f $(cluster_home)/backups/$name ]] || die "there is no dump $name in $(cluster_home)/backups"
    pg createdb --maintenance-db="$(instance_url postgres)" "$database"
    restore_sql "$database" 'create extension if not exists timescaledb; select timescaledb_pre_restore()'
    pg pg_restore --dbname="$url" --exit-on-error "$(cluster_home_inside)/backups/$name" >&2
    restore_sql "$database" 'select timescaledb_post_restore(); analyze'
    say "restored $name as the database $database"
}

restore_sql() {
    pg psql "$(instance_url "$1")" --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --output=/dev/null --command="$2" >&2
}

# These commands work on the server's files; in a container they are run by hand (docs/operations.md). Code 3 says that.
backup_require_instance() {
    provider_require
    if [[ $(provider) == docker ]]; then
        say "error: instance '$INSTANCE' runs in Docker: docs/operations.md has the commands for that"
        exit 3
    fi
}
