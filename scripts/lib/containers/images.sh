# shellcheck shell=bash
# The images that Dockerfile and docker-compose.yaml name, made without a registry: of files of this machine and of the
# private database's, under the same names. What cannot be had that way is a dummy.

POSTGRES_LIB=/usr/lib/postgresql/17
POSTGRES_SHARE=/usr/share/postgresql/17

# image_named SERVICE: the image that docker-compose.yaml names for it.
image_named() { docker compose config --format json | python3 -c '
import json, sys
print(json.load(sys.stdin)["services"][sys.argv[1]]["image"])' "$1"; }

# copy_tree ROOT TREE PATH...: files or folders of the root file system ROOT (empty: this machine's), as they are there.
copy_tree() {
    local root=$1 tree=$2 path
    shift 2
    for path in "$@"; do
        mkdir -p "$tree$(dirname "$path")"
        cp -a "$root$path" "$tree$(dirname "$path")/"
    done
}

# copy_programs ROOT TREE PROGRAM...: programs or libraries, with the libraries that they load.
copy_programs() {
    local root=$1 tree=$2 path
    shift 2
    {
        printf '%s\n' "$@"
        if [[ $root ]]; then chroot "$root" ldd "$@"; else ldd "$@"; fi 2>/dev/null |
            awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 { print $1 }'
    } | sed 's/:$//' | sort -u | while IFS= read -r path; do
        [[ ! -e $tree$path ]] || continue
        mkdir -p "$tree$(dirname "$path")"
        cp -L --preserve=mode "$root$path" "$tree$path"
    done
}

# found NAME...: where programs of this machine are.
found() { for name in "$@"; do command -v "$name" || return 1; done; }

# A shell and what the dummies and the builder call.
copy_shell() {
    local programs
    mapfile -t programs < <(found cat chmod cp env id install ls mkdir rm sleep test | grep '^/')
    copy_programs '' "$1" /bin/sh "${programs[@]}"
}

# import TREE NAME CHANGE...: a tree as an image.
import() {
    local tree=$1 name=$2 change changes=()
    shift 2
    for change in "$@"; do changes+=(--change "$change"); done
    tar --create --directory "$tree" --numeric-owner . |
        docker import "${changes[@]}" - "$name" >/dev/null
    rm -rf --one-file-system "$tree"
}

# What the Dockerfile starts from. The builder's `cargo` hands over what was compiled before.
images_of_the_dockerfile() {
    local folder=$1 tree=$ENGINE/tree program
    local paths=() builder runtime
    builder=$(sed -n 's/^FROM \([^ ]*\) AS build$/\1/p' Dockerfile)
    runtime=$(sed -n 's/^FROM \([^ ]*\) AS runtime$/\1/p' Dockerfile)
    for program in collector threshold-engine alert-service atlas; do paths+=("$folder/$program"); done
    mkdir -p "$tree"/{programs,tmp,usr/local/bin}
    for program in "${paths[@]}"; do strip --output-file="$tree/programs/${program##*/}" "$program"; done
    copy_shell "$tree"
    copy_programs '' "$tree" "$(found strip)"
    cat >"$tree/usr/local/bin/cargo" <<'CARGO'
#!/bin/sh
set -e
case "$*" in "build --release --locked --package "*) ;; *) exit 1 ;; esac
mkdir -p target/release
cp /programs/* target/release/
CARGO
    chmod +x "$tree/usr/local/bin/cargo"
    import "$tree" "$builder" 'ENV PATH=/usr/local/bin:/usr/bin:/bin'
    copy_programs '' "$tree" "${paths[@]}"
    rm -rf "${tree:?}${folder:?}"
    mkdir -p "$tree"/{etc/ssl/certs,home/nonroot,tmp}
    chmod 1777 "$tree/tmp"
    printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$tree/etc/passwd"
    printf 'root:x:0:\nnonroot:x:65532:\n' >"$tree/etc/group"
    [[ ! -e /etc/ssl/certs/ca-certificates.crt ]] || cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
    import "$tree" "$runtime" 'USER 65532' 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
        'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' 'WORKDIR /home/nonroot'
}

# image_database NAME: the server of scripts/db, with what the image of TimescaleDB does at its start.
image_database() {
    local root=$1 name=$2 tree=$ENGINE/tree libraries
    mapfile -t libraries < <(cd "$root/" && find ".$POSTGRES_LIB" -type f \( -path '*/bin/*' -o -name '*.so' \) \
        ! -name 'llvmjit*' | sed 's/^\.//')
    mkdir -p "$tree"/{tmp,run,etc,usr/local/bin,var/lib/postgresql}
    chmod 1777 "$tree/tmp"
    copy_tree "$root" "$tree" "$POSTGRES_LIB" "$POSTGRES_SHARE" /usr/share/zoneinfo
    rm -rf "$tree$POSTGRES_LIB/lib/bitcode"
    copy_programs "$root" "$tree" "${libraries[@]}" /bin/sh /usr/bin/{cat,chmod,chown,env,id,install,ls,mkdir,rm,setpriv,sleep}
    [[ ! -e $root/usr/share/postgresql-common ]] || copy_tree "$root" "$tree" /usr/share/postgresql-common
    printf 'root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70:postgres:/var/lib/postgresql:/bin/sh\n' >"$tree/etc/passwd"
    printf 'root:x:0:\npostgres:x:70:\n' >"$tree/etc/group"
    install -m 755 scripts/lib/containers/database-entrypoint "$tree/usr/local/bin/entrypoint"
    import "$tree" "$name" 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' 'CMD ["postgres"]' \
        "ENV PATH=$POSTGRES_LIB/bin:/usr/local/bin:/usr/bin:/bin" 'ENV PGDATA=/var/lib/postgresql/data' \
        'VOLUME /var/lib/postgresql/data' 'EXPOSE 5432'
    printf 'FROM %s\nSTOPSIGNAL SIGINT\n' "$name" | docker build --quiet --tag "$name" - >/dev/null
}

# image_prometheus NAME: Debian's. Its promtool is too old to be asked whether the server is healthy; a query shows it.
image_prometheus() {
    local tree=$ENGINE/tree directory
    directory=$(prometheus_dir)
    mkdir -p "$tree"/{bin,prometheus}
    copy_shell "$tree"
    copy_programs '' "$tree" "$directory"/{prometheus,promtool}
    mv "$tree$directory/prometheus" "$tree/bin/"
    mv "$tree$directory/promtool" "$tree/bin/promtool-of-debian"
    # shellcheck disable=SC2016 # the script's
    printf '#!/bin/sh\nexec promtool-of-debian query instant "${3#--url=}" 1\n' >"$tree/bin/promtool"
    chmod +x "$tree/bin/promtool"
    chown 65534 "$tree/prometheus"
    import "$tree" "$1" 'ENTRYPOINT ["/bin/prometheus"]' 'ENV PATH=/bin:/usr/bin' 'USER 65534'
}

# image_dummy NAME...: waits until it is stopped, and answers its health check.
image_dummy() {
    local tree=$ENGINE/tree name first=$1
    mkdir -p "$tree"/{tmp,usr/bin}
    copy_shell "$tree"
    printf '#!/bin/sh\nexit 0\n' >"$tree/usr/bin/wget"
    printf '#!/bin/sh\ntrap "exit 0" TERM INT\nwhile :; do sleep 3600 & wait; done\n' >"$tree/usr/bin/dummy"
    chmod +x "$tree"/usr/bin/{wget,dummy}
    import "$tree" "$first" 'ENTRYPOINT ["/usr/bin/dummy"]' 'ENV PATH=/usr/bin:/bin'
    for name in "${@:2}"; do docker tag "$first" "$name"; done
}
