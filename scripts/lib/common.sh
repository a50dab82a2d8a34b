# shellcheck shell=bash
# What every script here shares: messages, tool look-up, Debian packages.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [[ $(id -u) -eq 0 ]]; }

# The value of one key of /etc/os-release, empty where there is none.
os_release() {
    [[ -r /etc/os-release ]] || return 0
    # shellcheck source=/dev/null
    (. /etc/os-release && printf '%s' "${!1:-}")
}

is_debian() { [[ $(os_release ID) == debian ]] && have apt-get; }

can_install() { is_root && have apt-get; }

# Installs Debian packages; asks apt for a fresh list only when the present one does not do.
apt_install() {
    say "installing $* (apt)"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE: the command, installed from its Debian package where that is possible.
need() {
    have "$1" && return
    can_install || die "$1 is missing; install it (Debian package: $2)"
    apt_install "$2"
    have "$1" || die "$1 is still missing after installing $2"
}

# Where what takes long to make is kept. Root's home is closed to the user that PostgreSQL runs as, hence /var/cache.
cache_dir() {
    local base=/var/cache
    is_root || base=$HOME/.cache
    printf '%s' "${ATLAS_CACHE:-${XDG_CACHE_HOME:-$base}/atlas}"
}
