# shellcheck shell=bash
# The instance as the service `timescaledb` of docker-compose.yaml, where a Docker engine answers. An engine may have
# several users, and a user several caches: the project's name has a random part, what is made carries a label of its
# owner, and what carries another one is not touched.

DOCKER_ANSWER_SECONDS=20
DOCKER_PULL_SECONDS=600
DOCKER_STOP_SECONDS=60

docker_reachable() {
    have docker && timeout "$DOCKER_ANSWER_SECONDS" docker compose version >/dev/null 2>&1 && docker_engine >/dev/null
}

# The id of the engine that answers: another context or host is another engine.
docker_engine() { timeout "$DOCKER_ANSWER_SECONDS" docker info --format '{{.ID}}' 2>/dev/null | grep .; }

# True where the engine answers that the instance is on.
docker_usable() { docker_reachable && [[ $(docker_engine) == "$(cat "$INSTANCE_DIR/engine" 2>/dev/null)" ]]; }

docker_project() { cat "$INSTANCE_DIR/project"; }

docker_owner() { printf '%s:%s' "$(id -un)" "$(realpath "$INSTANCE_DIR")"; }

# Before the first `up`. Remembered at once, so that whatever it makes can be found and removed again.
docker_prepare() {
    docker_image
    docker_engine >"$INSTANCE_DIR/engine"
    printf 'atlas-%s-%s\n' "$INSTANCE" "$(od --address-radix=n --format=x1 --read-bytes=5 /dev/urandom | tr -d ' \n')" \
        >"$INSTANCE_DIR/project"
}

# Removes what a try that did not succeed may have made.
docker_discard() {
    [[ ! -s $INSTANCE_DIR/project ]] || (docker_usable && docker_destroy) ||
        say "   what $(docker_project) may have made in Docker is left there"
    rm -f "$INSTANCE_DIR"/{provider,project,engine}
}

docker_image() {
    local image
    image=$(sed -n '/^  timescaledb:/,/^ *image:/s/^ *image: *//p' "$REPO/docker-compose.yaml")
    docker image inspect "$image" >/dev/null 2>&1 && return
    say "pulling $image"
    timeout "$DOCKER_PULL_SECONDS" docker pull --quiet "$image" >&2 || die "the image $image cannot be pulled"
}

# Of the secrets that the file names only the password of the database is used here; it is the instance's.
docker_compose() {
    local secrets=$INSTANCE_DIR/secrets
    mkdir -p "$secrets"
    chmod 700 "$secrets"
    (umask 077 && rm -f "$secrets/postgres_password" && instance_password >"$secrets/postgres_password")
    docker_labels >"$INSTANCE_DIR/compose.yaml"
    ATLAS_SECRETS=$secrets ATLAS_DB_PORT=$(instance_port) docker compose --project-name "$(docker_project)" \
        --file "$REPO/docker-compose.yaml" --file "$INSTANCE_DIR/compose.yaml" "$@" >&2
}

docker_labels() {
    local owner
    owner=$(docker_owner)
    printf "services: { timescaledb: { labels: { atlas.owner: '%s' } } }\n" "${owner//\'/\'\'}"
    printf "volumes: { timescale_data: { labels: { atlas.owner: '%s' } } }\n" "${owner//\'/\'\'}"
}

# Ends where something under the project's name is somebody else's.
docker_ours() {
    local project owner
    project=$(docker_project)
    while IFS= read -r owner; do
        [[ $owner == "$(docker_owner)" ]] ||
            die "$project on this Docker engine belongs to ${owner:-somebody else}: it is left as it is"
    done < <(
        docker ps --all --filter "label=com.docker.compose.project=$project" --format '{{.Label "atlas.owner"}}'
        docker volume ls --filter "label=com.docker.compose.project=$project" --format '{{.Label "atlas.owner"}}'
    )
}

docker_container() {
    docker ps --quiet "$@" --filter "label=com.docker.compose.project=$(docker_project)" \
        --filter label=com.docker.compose.service=timescaledb
}

docker_running() { docker_container --filter health=healthy 2>/dev/null | grep -q .; }

docker_up() {
    docker_ours
    [[ $(docker_container) ]] || port_free "$(instance_port)" || instance_new_port
    docker_compose up --detach --wait timescaledb
}

docker_down() {
    docker_ours
    docker_compose stop timescaledb
}

# The signals are those that pg_ctl sends. Without waiting the next `up` would meet a container that is about to end.
docker_restart() {
    docker_ours
    case $1 in
    smart) docker_signal SIGTERM ;;
    fast) docker_compose stop timescaledb ;;
    immediate) docker_signal SIGQUIT ;;
    *) die "there is no mode '$1': smart, fast or immediate" ;;
    esac
    docker_up
}

docker_kill() {
    docker_ours
    docker_signal SIGKILL
}

# docker_signal SIGNAL: until the server has ended; its policy of restarts may have started it again by then.
docker_signal() {
    local container began deadline=$((SECONDS + DOCKER_STOP_SECONDS))
    container=$(docker_container)
    [[ $container ]] || return 0
    began=$(docker inspect --format '{{.State.StartedAt}}' "$container")
    docker kill --signal "$1" "$container" >/dev/null
    while [[ $(docker inspect --format '{{.State.Running}} {{.State.StartedAt}}' "$container") == "true $began" ]]; do
        ((SECONDS < deadline)) || die "the server does not end within $DOCKER_STOP_SECONDS s after $1"
        sleep 0.1
    done
}

docker_destroy() {
    docker_ours
    docker_compose down --volumes
}
