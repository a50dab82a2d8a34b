# shellcheck shell=bash
# Instances of scripts/db on a Docker engine: of several users, restarted, without their engine, without their image.

# db CACHE ARGUMENT...: scripts/db as a user with a cache of that name.
db() {
    inside env --unset=DATABASE_URL ATLAS_CACHE="$WORK/$1" ATLAS_DB_INSTANCE=check "$REPO/scripts/db" "${@:2}" \
        2>>"$WORK/db.log" </dev/null
}

db_fails() {
    tail -n 12 "$WORK/db.log" >&2
    die "scripts/db: $*"
}

db_sql() { db "$1" psql --quiet --tuples-only --no-align --command="$2"; }

instances() {
    stage "two users of one engine" instances_apart
    stage "instances that are restarted" instances_restarted
    stage "instances without their engine" instances_engine_away
    stage "instances without their image" instances_image_missing
}

instances_apart() {
    local folder=$WORK/first/instances/check project
    db first up >/dev/null || db_fails "up failed"
    db_sql first 'create table mine as select 1 as number'
    [[ $(stat -c %a "$folder/secrets" "$folder/secrets/postgres_password" | xargs) == '700 600' ]] ||
        db_fails "others can read the database's password"
    db second up >/dev/null || db_fails "up of a second user failed"
    [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "a second user took the first one's database"
    db second destroy || db_fails "destroy failed"
    [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "a second user destroyed the first one's database"
    # Whoever comes by the name of a project does not own it.
    project=$(<"$folder/project")
    mkdir -p "$WORK/third"
    cp -a "$WORK/first/instances" "$WORK/third/"
    ! db third restart || db_fails "an instance of somebody else was restarted"
    ! db third destroy || db_fails "an instance of somebody else was destroyed"
    [[ -d $WORK/third/instances/check ]] || db_fails "what cannot be destroyed was forgotten"
    docker volume inspect "${project}_timescale_data" >/dev/null || db_fails "a volume of somebody else was removed"
    [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "an instance of somebody else was changed"
}

instances_restarted() {
    local mode
    for mode in immediate smart immediate; do
        db first restart -m "$mode" || db_fails "restart -m $mode failed"
        [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "nothing answers after restart -m $mode"
    done
    db first kill || db_fails "kill failed"
    db first up >/dev/null || db_fails "up after kill failed"
    db first down || db_fails "down failed"
    db first up >/dev/null || db_fails "up after down failed"
    [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "nothing answers after kill and down"
}

instances_engine_away() {
    local action
    for action in destroy up down restart url; do
        ! DOCKER_HOST=unix://$WORK/nowhere db first "$action" >/dev/null || db_fails "$action succeeds without the engine"
    done
    [[ $(db_sql first 'select number from mine') == 1 ]] || db_fails "the instance is not what it was"
    db first destroy || db_fails "destroy failed"
    [[ ! $(docker volume ls --quiet --filter label=atlas.owner) ]] || db_fails "a volume was left"
}

# An engine that answers and has no image, and no registry to pull it from: the next way, now and from then on.
instances_image_missing() {
    local image
    image=$(image_named timescaledb)
    if [[ ! ${ENGINE_PID:-} || ! $DATABASE_ROOT ]]; then
        say "   left out: needs an engine of its own, and Debian 12"
        return
    fi
    docker tag "$image" atlas/kept
    docker rmi --force "$image" >/dev/null
    mkdir -p "$WORK/fourth"
    ln -s "$DATABASE_ROOT" "$WORK/fourth/"
    db fourth up >/dev/null || db_fails "no other way was tried"
    [[ $(db_sql fourth 'select 1') == 1 && $(<"$WORK/fourth/instances/check/provider") == rootfs ]] ||
        db_fails "the next way does not answer"
    db fourth down
    db fourth up >/dev/null || db_fails "a later up failed"
    db fourth destroy || db_fails "destroy failed"
    docker tag atlas/kept "$image"
}

# What a run that ended early may have left outside of the engine.
instances_end() {
    [[ ! ${WORK:-} || ! -d $WORK/fourth/instances/check ]] || db fourth destroy || true
}
