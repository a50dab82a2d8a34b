# shellcheck shell=bash
# What is remembered of one database instance: its provider, port and password. The password is for its owner only.

instance_init() {
    INSTANCE=${ATLAS_DB_INSTANCE:-main}
    [[ $INSTANCE =~ ^[a-z0-9][a-z0-9_-]{0,30}$ ]] ||
        die "ATLAS_DB_INSTANCE '$INSTANCE': at most 31 of a-z, 0-9, '-' and '_', beginning with a letter or digit"
    INSTANCES=$(cache_dir)/instances
    INSTANCE_DIR=$INSTANCES/$INSTANCE
}

# One command at a time changes instances and the root file system.
instance_lock() {
    mkdir -p "$INSTANCES"
    exec 9>"$(cache_dir)/lock"
    flock --nonblock 9 || { say "waiting for another 'scripts/db'" && flock 9; }
    mkdir -p "$INSTANCE_DIR"
}

instance_password() {
    local file=$INSTANCE_DIR/password
    [[ -s $file ]] || (umask 077 && od --address-radix=n --format=x1 --read-bytes=20 /dev/urandom | tr -d ' \n' >"$file")
    cat "$file"
}

instance_port() {
    [[ -s $INSTANCE_DIR/port ]] || instance_new_port
    cat "$INSTANCE_DIR/port"
}

# A free port below those that the kernel hands to outgoing connections, and of no other instance.
instance_new_port() {
    local port
    for _ in {1..200}; do
        port=$((20000 + RANDOM % 10000))
        grep -qsx "$port" "$INSTANCES"/*/port && continue
        port_free "$port" || continue
        printf '%s\n' "$port" >"$INSTANCE_DIR/port"
        return
    done
    die "no free port found between 20000 and 29999"
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# instance_url [DATABASE]
instance_url() {
    printf 'postgres://atlas:%s@127.0.0.1:%s/%s\n' "$(instance_password)" "$(instance_port)" "${1:-atlas}"
}
