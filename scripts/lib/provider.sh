# shellcheck shell=bash
# Which of the ways to a TimescaleDB this machine has, and which of them an instance uses.

# Where this instance runs: `docker`, `rootfs`, or `local:` and the directory of the server's programs.
provider() { cat "$INSTANCE_DIR/provider" 2>/dev/null || true; }

provider_choose() {
    local bin
    if docker_reachable; then
        printf 'docker'
    elif bin=$(provider_find_local); then
        printf 'local:%s' "$bin"
    elif package_possible; then
        apt_install "$ROOTFS_PACKAGE"
        bin=$(provider_find_local) || die "$ROOTFS_PACKAGE is installed, but the extension was not found"
        printf 'local:%s' "$bin"
    elif rootfs_possible; then
        printf 'rootfs'
    else
        provider_explain
    fi
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

# Sets what cluster.sh needs; false where the remembered provider cannot be used any more.
# shellcheck disable=SC2034
provider_use() {
    PG_ROOT=''
    case $1 in
    docker) docker_reachable ;;
    rootfs) PG_ROOT=$(rootfs_dir) PG_BIN=/usr/lib/postgresql/17/bin ;;
    local:*) PG_BIN=${1#local:} && [[ -x $PG_BIN/postgres ]] ;;
    *) false ;;
    esac
}

# Once for an instance, and again where what was decided cannot be used any more.
provider_decide() {
    local chosen
    chosen=$(provider_choose)
    printf '%s\n' "$chosen" >"$INSTANCE_DIR/provider"
    provider_use "$chosen"
}
