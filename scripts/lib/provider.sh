# shellcheck shell=bash
# Which of the ways to a TimescaleDB this machine has, and which of them an instance uses.

# Where this instance runs: `docker`, `rootfs`, or `local:` and the directory of the server's programs; empty where it has
# not been decided. It is remembered once it has worked.
provider() {
    local remembered
    remembered=$(cat "$INSTANCE_DIR/provider" 2>/dev/null) || return 0
    # Earlier versions remembered it before.
    [[ $remembered == docker && ! -s $INSTANCE_DIR/project ]] || printf '%s' "$remembered"
}

# Starts the instance where it was, or else by the first way that works.
provider_start() {
    local remembered way
    remembered=$(provider)
    if [[ $remembered ]]; then
        provider_require
        [[ $remembered != rootfs ]] || rootfs_ensure
        say "starting database instance '$INSTANCE' ($remembered)"
        runs up
        return
    fi
    for way in docker local package rootfs; do
        ! "provider_may_$way" || ! provider_try "$way" || return 0
    done
    provider_explain
}

# provider_try WAY: whether it starts a database here. A process of its own, so that whatever fails ends only the try.
provider_try() {
    docker_discard
    if "$REPO/scripts/db" try "$1"; then
        provider_use "$(provider)"
    else
        say "   '$1' gives no database here (see above): trying the next way"
        docker_discard
        return 1
    fi
}

# Remembered at the end, as what works is the instance's.
provider_attempt() {
    local chosen
    shopt -s inherit_errexit
    chosen=$("provider_of_$1")
    provider_use "$chosen"
    say "starting database instance '$INSTANCE' ($chosen)"
    PROVIDER=$chosen runs up
    printf '%s\n' "$chosen" >"$INSTANCE_DIR/provider"
}

provider_may_docker() { docker_reachable; }

provider_may_local() { provider_find_local >/dev/null; }

provider_may_package() { package_possible; }

provider_may_rootfs() { rootfs_possible; }

provider_of_docker() {
    docker_prepare
    printf 'docker'
}

provider_of_local() { printf 'local:%s' "$(provider_find_local)"; }

provider_of_package() {
    apt_install "$ROOTFS_PACKAGE"
    provider_find_local >/dev/null || die "$ROOTFS_PACKAGE is installed, but the extension was not found"
    provider_of_local
}

provider_of_rootfs() {
    rootfs_ensure
    printf 'rootfs'
}

# A Debian whose own packages have the extension: 13 or later, testing included.
package_possible() { is_debian && is_root && [[ $(os_release VERSION_ID) != @([1-9]|1[0-2]) ]]; }

# The newest PostgreSQL of this machine that has the extension: its bin directory.
provider_find_local() {
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

provider_explain() {
    die "no TimescaleDB on this machine. One of these gives one:
  - a running Docker engine with the compose plugin, which this user may use
  - DATABASE_URL set to a PostgreSQL 15 or later with the extension timescaledb (role: superuser)
  - PostgreSQL with the package of the extension installed here (Debian 13: apt-get install $ROOTFS_PACKAGE;
    others: the packages of TimescaleDB's own site)
  - Debian 12 or 13 and this command run as root: it then installs what it needs"
}

# Sets what cluster.sh needs; false where that provider cannot be used now.
# shellcheck disable=SC2034
provider_use() {
    PG_ROOT=''
    case $1 in
    docker) docker_usable ;;
    rootfs) PG_ROOT=$(rootfs_dir) PG_BIN=/usr/lib/postgresql/17/bin ;;
    local:*) PG_BIN=${1#local:} && [[ -x $PG_BIN/postgres ]] ;;
    *) false ;;
    esac
}

# Ends with the reason where the instance cannot be used. Another way would be another, empty database.
provider_require() {
    local remembered
    remembered=$(provider)
    [[ $remembered ]] || die "there is no instance '$INSTANCE' (scripts/db up)"
    provider_use "$remembered" && return
    case $remembered in
    docker) die "instance '$INSTANCE' is $(docker_project) on a Docker engine that does not answer, or another one answers \
(docker context ls): start or choose that one. Nothing was changed; to give the data up, remove $INSTANCE_DIR" ;;
    *) die "instance '$INSTANCE' was made by the server in ${remembered#local:}, which is gone: install it again. \
Nothing was changed; to give the data up: scripts/db destroy" ;;
    esac
}
