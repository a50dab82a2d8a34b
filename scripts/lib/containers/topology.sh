# shellcheck shell=bash
# The services of docker-compose.yaml as a user runs them, and what may befall them. CLONE is where their files are,
# PROJECT the name of the compose project.

PROJECT=${PROJECT:-atlas}
READY_SECONDS=180
# `stop_grace_period` of the services.
GRACE_SECONDS=30

# What git has of the repository, as somebody gets it whose files are for their owner only.
clone_under_a_strict_umask() {
    CLONE=$WORK/clone
    (
        umask 077
        mkdir -p "$CLONE"
        { git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
            find . -type f -not -path './target/*' -not -path './secrets/*' -print0; } |
            while IFS= read -r -d '' file; do
                [[ ! -f $file ]] || printf '%s\0' "$file"
            done | xargs -0 cp --parents --target-directory="$CLONE"
    )
    [[ $(stat -c %a "$CLONE/prometheus/prometheus.yml") == 600 ]] || die "the clone is not as strict as it should be"
}

# dc ARGUMENT...: compose, in the clone.
dc() { (cd "$CLONE" && docker compose --project-name "$PROJECT" "$@" 2>>"$WORK/compose.log"); }

# Until what is asked for holds; `--wait` gives up at once on a service that is unhealthy because of an outage just ended.
up_and_wait() {
    local deadline=$((SECONDS + READY_SECONDS))
    until dc up --detach --wait; do
        ((SECONDS < deadline)) || fail "the services do not become healthy"
        sleep 1
    done
}

fail() {
    {
        printf 'error: %s\n' "$*"
        tail -n 20 "$WORK/compose.log" || true
        dc ps --all || true
        dc logs --tail 5 timescaledb fred-collector threshold-engine grafana-reader || true
    } >&2
    exit 1
}

# eventually SECONDS COMMAND...
eventually() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "did not come: $*"
        sleep 0.2
    done
}

container() { dc ps --all --quiet "$1"; }

# inspect SERVICE FORMAT
inspect() { docker inspect --format "$2" "$(container "$1")"; }

healthy() { [[ $(inspect "$1" '{{.State.Health.Status}}') == healthy ]]; }

# atlas ARGUMENT...: the command line in a container of its own beside the services.
atlas() {
    docker run --rm ${NAME:+--name "$NAME"} --interactive --network "${PROJECT}_default" --env ATLAS_SERVER="${SERVER:-http://fred-collector:5001}" \
        "$PROJECT/atlas" "$@"
}

publish() { atlas publish --quiet --type Checked --data "{\"number\": $1}"; }

# On the server's own socket, where no password is asked for.
sql() {
    dc exec --no-TTY timescaledb psql --username=atlas --dbname=atlas --no-psqlrc --tuples-only --no-align \
        --command="$1" </dev/null
}

events() { sql "select count(*) from collector.events where event_type = 'custom:Checked'"; }

# The process of a container ends as if it had crashed: `docker kill` would count as a stop that was asked for.
crash() {
    local pid
    pid=$(inspect "$1" '{{.State.Pid}}')
    docker run --rm --pid host --user 0 --entrypoint sh "$(image_named timescaledb)" -c "kill -KILL $pid"
}

topology() {
    (cd "$CLONE" && docker build --quiet --target atlas --tag "$PROJECT/atlas" . >/dev/null)
    stage "start" topology_start
    stage "users, modes and secrets" topology_secrets
    stage "kills" topology_kills
    stage "recreated services" topology_recreated
    stage "an outage of the database" topology_outage
    stage "an upgrade" topology_upgrade
    stage "secrets that change" topology_key
    stage "stops" topology_stops
}

topology_start() {
    (cd "$CLONE" && scripts/secrets 2>>"$WORK/compose.log")
    # A password may hold anything.
    chmod 600 "$CLONE/secrets/grafana_database_password"
    printf '%s' "it's a \"pass\$word\" \\ of %s" >"$CLONE/secrets/grafana_database_password"
    chmod 444 "$CLONE/secrets/grafana_database_password"
    dc up --detach --wait || fail "docker compose up failed"
    local service
    for service in timescaledb fred-collector threshold-engine prometheus grafana; do
        healthy "$service" || fail "$service is not healthy"
    done
    [[ $(inspect grafana-reader '{{.State.ExitCode}}') == 0 ]] || fail "grafana-reader ended with an error"
    for service in fred-collector:5000 fred-collector:5001 threshold-engine:5100 timescaledb:5432; do
        [[ $(dc port "${service%:*}" "${service#*:}") == 127.0.0.1:* ]] || fail "$service is not published on loopback only"
    done
    inside curl --silent --fail --max-time 5 "http://$(dc port fred-collector 5000)/readyz" >/dev/null ||
        fail "the published port does not answer"
    publish 1
    # A file system that is read only must not take the fast path of large groups away.
    inside curl --silent --fail --max-time 5 "http://$(dc port fred-collector 5000)/metrics" >"$WORK/metrics"
    ! grep -q '^event_log_copy_path{.*kind="none"} 1' "$WORK/metrics" || fail "large groups are stored on the slow path"
}

topology_secrets() {
    local service
    for service in fred-collector threshold-engine; do
        [[ $(inspect "$service" '{{.Config.User}}') == 65532 ]] || fail "$service runs as $(inspect "$service" '{{.Config.User}}')"
        [[ $(inspect "$service" '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}') == 'true [ALL]' ]] ||
            fail "$service may write or has capabilities"
    done
    [[ $(stat -c %a "$CLONE/secrets") == 700 ]] || fail "others may enter the folder of secrets"
    local secret
    { dc ps --all --quiet | xargs docker inspect; dc logs; } >"$WORK/shown"
    for secret in "$CLONE"/secrets/*; do
        [[ ! -s $secret ]] || ! grep -qF "$(<"$secret")" "$WORK/shown" || fail "${secret##*/} is in a log or what docker inspect shows"
    done
    # As Grafana would, by the password with everything in it.
    dc exec --no-TTY --env PGPASSWORD="$(<"$CLONE/secrets/grafana_database_password")" timescaledb \
        psql --host=timescaledb --username=atlas_reader --dbname=atlas --no-psqlrc --quiet --output=/dev/null \
        --command='select count(*) from collector.events' </dev/null || fail "Grafana's role cannot log in"
    # Every line of a service's log is JSON.
    for service in fred-collector threshold-engine; do
        docker logs "$(container "$service")" 2>&1 | python3 -c '
import json, sys
for line in sys.stdin: json.loads(line)' 2>>"$WORK/compose.log" || fail "a line of the log of $service is not JSON"
    done
}

# Each is started again by its policy, and what was stored is there.
topology_kills() {
    local service before
    for service in fred-collector threshold-engine timescaledb; do
        before=$(inspect "$service" '{{.State.StartedAt}}')
        crash "$service"
        eventually 60 restarted "$service" "$before"
        eventually 90 healthy "$service"
    done
    eventually 60 publish 2
    [[ $(events) == 2 ]] || fail "$(events) events are there in place of 2"
}

restarted() { [[ $(inspect "$1" '{{.State.Running}} {{.State.StartedAt}}') == true\ * && $(inspect "$1" '{{.State.StartedAt}}') != "$2" ]]; }

topology_recreated() {
    dc up --detach --wait --force-recreate --no-deps timescaledb || fail "the database cannot be recreated"
    eventually 60 healthy fred-collector
    dc up --detach --wait --force-recreate --no-deps fred-collector threshold-engine || fail "the services cannot be recreated"
    eventually 60 publish 3
    [[ $(events) == 3 ]] || fail "$(events) events are there in place of 3"
}

# Long enough for the services to be found unhealthy.
topology_outage() {
    dc stop timescaledb
    eventually 90 unhealthy fred-collector
    up_and_wait
    eventually 60 publish 4
    [[ $(events) == 4 ]] || fail "$(events) events are there in place of 4"
}

unhealthy() { [[ $(inspect "$1" '{{.State.Health.Status}}') == unhealthy ]]; }

# What the guide says about a key that is had only later, and about one that changes.
topology_key() {
    [[ ! -s $CLONE/secrets/fred_api_key ]] || fail "there is a key already"
    (cd "$CLONE" && FRED_API_KEY=0123456789abcdef0123456789abcdef scripts/secrets 2>>"$WORK/compose.log")
    [[ $(<"$CLONE/secrets/fred_api_key") == 0123456789abcdef0123456789abcdef ]] || fail "the key was not taken"
    # And about a password that was lost while the volume was not.
    rm -f "$CLONE/secrets/postgres_password"
    (cd "$CLONE" && scripts/secrets 2>>"$WORK/compose.log")
    sql "alter role atlas password '$(<"$CLONE/secrets/postgres_password")'" >/dev/null
    dc restart fred-collector threshold-engine
    eventually 60 healthy fred-collector
    eventually 60 healthy threshold-engine
    collecting || fail "the collector does not know the key"
    (cd "$CLONE" && FRED_API_KEY=fedcba9876543210fedcba9876543210 scripts/secrets 2>>"$WORK/compose.log")
    [[ $(<"$CLONE/secrets/fred_api_key") == fedcba9876543210fedcba9876543210 ]] || fail "the changed key was not taken"
}

collecting() {
    ! docker logs --since "$(inspect fred-collector '{{.State.StartedAt}}')" "$(container fred-collector)" 2>&1 |
        grep -q 'FRED_API_KEY is not set'
}

# Everything ends by itself within its grace period: code 137 would be the engine's patience.
topology_stops() {
    local service began=$SECONDS
    dc stop fred-collector threshold-engine
    ((SECONDS - began <= GRACE_SECONDS)) || fail "stopping took $((SECONDS - began)) s"
    dc stop
    for service in fred-collector threshold-engine timescaledb; do
        [[ $(inspect "$service" '{{.State.ExitCode}}') == 0 ]] ||
            fail "$service ended with $(inspect "$service" '{{.State.ExitCode}}')"
    done
}

topology_end() {
    docker rm --force "$PROJECT-reader" >/dev/null 2>&1 || true
    [[ ! ${CLONE:-} || ! -d $CLONE ]] || timeout 60 docker compose --project-name "$PROJECT" \
        --file "$CLONE/docker-compose.yaml" --profile upgrade down --volumes --timeout 5 >/dev/null 2>&1 || true
    # On the machine's engine; one of our own ends with all that it has.
    [[ $PROJECT == atlas ]] || docker rmi "$PROJECT"/{atlas,fred-collector,threshold-engine} >/dev/null 2>&1 || true
}
