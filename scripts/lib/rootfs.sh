# shellcheck shell=bash
# A Debian 13 root file system with TimescaleDB, for machines whose own packages lack it (Debian 12).
# Made once with debootstrap, kept in the cache directory, used by chroot.

ROOTFS_PACKAGE=postgresql-17-timescaledb

rootfs_dir() { printf '%s/debian-13-timescaledb' "$(cache_dir)"; }

rootfs_possible() { is_debian && is_root && [[ $(os_release VERSION_ID) == 12 ]]; }

# Under a temporary name until complete: an interrupted run is thrown away and made anew.
rootfs_ensure() {
    local root part
    root=$(rootfs_dir)
    part=$root.part
    [[ -d $root ]] && return
    say "making a Debian 13 root file system with TimescaleDB in $root (once; about a minute, 700 MB)"
    rootfs_remove "$part"
    mkdir -p "$part"
    rootfs_bootstrap "$part"
    rootfs_unmount "$part"
    rootfs_trim "$part"
    mv -T "$part" "$root"
}

rootfs_bootstrap() {
    local part=$1 mirror log=$1.log
    mirror=$(rootfs_mirror)
    [[ -n $mirror ]] || die "apt's configuration names no Debian mirror to make the root file system from"
    # The keyring of a Debian 12 without its point releases does not know Debian 13's keys.
    apt_install debootstrap debian-archive-keyring
    if ! debootstrap --variant=minbase --include="$ROOTFS_PACKAGE" trixie "$part" "$mirror" 2>&1 |
        tee "$log" | rootfs_progress; then
        rootfs_unmount "$part"
        tail -n 20 "$log" >&2
        die "debootstrap failed; its output is in $log"
    fi
    rm -f "$log"
}

# The mirror of this machine's own release, as apt itself reads its .list and .sources files.
rootfs_mirror() {
    local codename
    codename=$(os_release VERSION_CODENAME)
    # shellcheck disable=SC2016 # the format's words are apt's
    apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
        awk -v release="$codename" '($1 == release || $1 == "stable") && $2 == "main" { print $3; exit }'
}

# debootstrap's many lines as one moving line (a terminal) or one line in fifty (a log).
rootfs_progress() {
    local line count=0
    while IFS= read -r line; do
        count=$((count + 1))
        if [[ -t 2 ]]; then
            printf '\r\033[K  %.76s' "$line" >&2
        elif ((count % 50 == 0)); then
            say "  $line"
        fi
    done
    [[ ! -t 2 ]] || printf '\r\033[K' >&2
}

rootfs_trim() {
    rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/* "$1"/usr/share/{doc,man,locale}
    # PostgreSQL keeps its dynamic shared memory there.
    mkdir -p "$1/dev/shm"
    chmod 1777 "$1/dev/shm" "$1/tmp"
    mkdir -p "$1/var/lib/atlas"
}

# debootstrap mounts /proc and /sys meanwhile; none may stay, or removing the tree would reach into the host.
rootfs_unmount() {
    local mount
    while read -r mount; do
        umount "$mount" || die "cannot unmount $mount"
    done < <(awk -v under="$1/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r)
}

rootfs_remove() {
    rootfs_unmount "$1"
    rm -rf --one-file-system "$1"
}

# rootfs_ids NAME: its uid:gid inside the root file system.
rootfs_ids() { awk -F: -v name="$1" '$1 == name { print $3 ":" $4 }' "$(rootfs_dir)/etc/passwd"; }
