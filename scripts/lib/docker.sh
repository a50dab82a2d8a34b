# shellcheck shell=bash
# The instance as the service `timescaledb` of docker-compose.yaml, where a Docker engine answers.

docker_reachable() { have docker && docker compose version >/dev/null 2>&1 && docker info >/dev/null 2>&1; }

# Of the secrets that the file names only the password of the database is used here; it is the instance's.
docker_compose() {
    local secrets=$INSTANCE_DIR/secrets
    mkdir -p "$secrets"
    instance_password >"$secrets/postgres_password"
    ATLAS_SECRETS=$secrets ATLAS_DB_PORT=$(instance_port) \
        docker compose --project-name "atlas-$INSTANCE" --file "$REPO/docker-compose.yaml" "$@" >&2
}

docker_running() {
    docker ps --quiet --filter "label=com.docker.compose.project=atlas-$INSTANCE" \
        --filter label=com.docker.compose.service=timescaledb --filter health=healthy 2>/dev/null | grep -q .
}

docker_up() { docker_compose up --detach --wait timescaledb; }

docker_down() { docker_compose stop timescaledb; }

# SIGQUIT is PostgreSQL's immediate shutdown.
docker_restart() {
    [[ $1 != immediate ]] || docker_compose kill --signal SIGQUIT timescaledb
    [[ $1 == immediate ]] || docker_compose stop timescaledb
    docker_up
}

docker_kill() { docker_compose kill --signal SIGKILL timescaledb; }

docker_destroy() { docker_compose down --volumes; }
