# shellcheck shell=bash
# A Docker engine of our own: Debian's package, unpacked into the cache and not installed, in namespaces of its own
# (processes, mounts, network). It shares neither data, sockets, bridges nor firewall rules with an engine of the
# machine, and all of it ends with its first process.

ENGINE_START_SECONDS=60
ENGINE_LOCK_SECONDS=900

# engine_start: starts the engine and points `docker` and `compose` at it. Fails with one line where that cannot work.
engine_start() {
    is_root || { say "an engine of our own needs root" && return 1; }
    local program
    for program in unshare nsenter setpriv taskset ip; do
        have "$program" || { say "an engine of our own needs $program (Linux; util-linux, iproute2)" && return 1; }
    done
    mkdir -p "$(cache_dir)/engine"
    # The engine inherits the lock, so that what a killed run left cannot meet the next run.
    exec 8>"$(cache_dir)/engine/lock"
    flock --timeout "$ENGINE_LOCK_SECONDS" 8 || { say "another engine of ours runs" && return 1; }
    ENGINE=$(cache_dir)/engine/run
    rm -rf --one-file-system "$ENGINE"
    mkdir -p "$ENGINE"
    engine_programs && engine_clients && engine_launch
}

# engine_programs: sets ENGINE_PROGRAMS to the folder of the engine's package, unpacked where it is missing.
engine_programs() {
    local version part
    is_debian || { say "an engine of our own is unpacked from Debian's packages" && return 1; }
    version=$(apt-cache policy docker.io 2>/dev/null | sed -n 's/^ *Candidate: *//p')
    [[ $version && $version != '(none)' ]] || { apt-get update -qq >&2 || true; }
    version=$(apt-cache policy docker.io 2>/dev/null | sed -n 's/^ *Candidate: *//p')
    [[ $version && $version != '(none)' ]] || { say "Debian's package docker.io cannot be had" && return 1; }
    ENGINE_PROGRAMS=$(cache_dir)/engine/docker.io-${version//[^a-zA-Z0-9.+-]/_}
    [[ ! -d $ENGINE_PROGRAMS ]] || return 0
    say "unpacking Debian's Docker engine $version"
    part=$ENGINE_PROGRAMS.part
    rm -rf "$part"
    mkdir -p "$part/packages/partial"
    chmod 777 "$part/packages" "$part/packages/partial"
    engine_download "$part/packages" || { apt-get update -qq >&2 && engine_download "$part/packages"; } ||
        { say "Debian's package docker.io cannot be downloaded" && return 1; }
    engine_unpack "$part" && mv -T "$part" "$ENGINE_PROGRAMS"
}

# The package and what it needs that this machine lacks; since Debian 13 the clients are packages of their own.
engine_download() {
    local package packages=(docker.io)
    for package in docker-cli docker-buildx; do
        ! apt-cache show "$package" >/dev/null 2>&1 || packages+=("$package")
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends --download-only --reinstall \
        -o Dir::Cache::archives="$1" "${packages[@]}" >/dev/null 2>&1
}

engine_unpack() {
    local package name
    for package in "$1"/packages/*.deb; do dpkg-deb --extract "$package" "$1" || return 1; done
    rm -rf "$1/packages"
    mkdir -p "$1/bin"
    # What Debian makes as alternatives when it installs.
    [[ ! -x $1/usr/sbin/xtables-nft-multi ]] ||
        for name in {ip,ip6}tables{,-save,-restore}; do ln -s ../usr/sbin/xtables-nft-multi "$1/bin/$name"; done
}

# The clients: `docker` of the same package, with compose and, where it is a program of its own, buildx as plugins.
engine_clients() {
    local libraries
    libraries=$(dirname "$(find "$ENGINE_PROGRAMS/usr/lib" -name 'lib*.so.*' 2>/dev/null | head -n 1)" 2>/dev/null || true)
    export PATH=$ENGINE_PROGRAMS/bin:$ENGINE_PROGRAMS/usr/bin:$ENGINE_PROGRAMS/usr/sbin:$PATH
    ENGINE_ENVIRONMENT=(LD_LIBRARY_PATH="$libraries" XTABLES_LIBDIR="$libraries/xtables")
    export DOCKER_CONFIG=$ENGINE/config
    mkdir -p "$DOCKER_CONFIG/cli-plugins"
    unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    compose_program && ln -s "$COMPOSE_PROGRAM" "$DOCKER_CONFIG/cli-plugins/docker-compose" || return 1
    local buildx=$ENGINE_PROGRAMS/usr/libexec/docker/cli-plugins/docker-buildx
    [[ ! -x $buildx ]] || ln -s "$buildx" "$DOCKER_CONFIG/cli-plugins/"
}

# On one processor: what docker-compose.yaml asks for is to be had on the smallest machine. A short path, for a socket's
# is limited.
engine_launch() {
    local deadline=$((SECONDS + ENGINE_START_SECONDS))
    ENGINE_SOCKETS=$(mktemp -d)
    ENGINE_CGROUP=/atlas-containers-$$
    export DOCKER_HOST=unix://$ENGINE_SOCKETS/docker.sock
    # shellcheck disable=SC2016 # the inner shell's
    env "${ENGINE_ENVIRONMENT[@]}" setpriv --pdeathsig KILL \
        unshare --net --mount --pid --fork --mount-proc --kill-child \
        taskset --cpu-list "$(engine_processor)" bash -c 'ip link set lo up && exec dockerd "$@"' dockerd \
        --data-root "$ENGINE/data" --exec-root "$ENGINE_SOCKETS/exec" --pidfile "$ENGINE_SOCKETS/pid" \
        --host "$DOCKER_HOST" --group root --cgroup-parent "$ENGINE_CGROUP" \
        --exec-opt native.cgroupdriver=cgroupfs >"$ENGINE/log" 2>&1 &
    ENGINE_UNSHARE=$!
    until docker version >/dev/null 2>&1; do
        if ((SECONDS > deadline)) || ! kill -0 "$ENGINE_UNSHARE" 2>/dev/null; then
            say "Debian's dockerd does not start here: $(grep -v 'level=info' "$ENGINE/log" | tail -n 1 | cut -c 1-300)"
            return 1
        fi
        sleep 0.1
    done
    ENGINE_PID=$(pgrep --parent "$ENGINE_UNSHARE")
    say "an engine of our own runs: Docker $(docker version --format '{{.Server.Version}}'), one processor"
}

# The first processor that this process may use.
engine_processor() { taskset --cpu-list --pid $$ | sed 's/.*: *//;s/[,-].*//'; }

# inside COMMAND...: where the published ports are: in the network of our own engine, else here.
inside() { if [[ ${ENGINE_PID:-} ]]; then nsenter --target "$ENGINE_PID" --net -- "$@"; else "$@"; fi; }

# Nothing of it stays: its first process takes all others and their mounts with it.
engine_stop() {
    local first=${ENGINE_PID:-}
    if [[ ${ENGINE_UNSHARE:-} ]]; then
        # `unshare` ends once the first process has, and that once all others have.
        [[ $first ]] || first=$(pgrep --parent "$ENGINE_UNSHARE" || true)
        kill -KILL "${first:-$ENGINE_UNSHARE}" 2>/dev/null || true
        wait "$ENGINE_UNSHARE" 2>/dev/null || true
    fi
    if [[ ${ENGINE_CGROUP:-} ]]; then
        for _ in {1..50}; do
            find /sys/fs/cgroup -depth -type d -path "*$ENGINE_CGROUP*" -exec rmdir {} + 2>/dev/null || true
            [[ $(find /sys/fs/cgroup -type d -path "*$ENGINE_CGROUP" -print -quit) ]] || break
            sleep 0.1
        done
    fi
    [[ ! ${ENGINE_SOCKETS:-} ]] || rm -rf --one-file-system "$ENGINE_SOCKETS"
    [[ ! ${ENGINE:-} ]] || rm -rf --one-file-system "$ENGINE"
}
