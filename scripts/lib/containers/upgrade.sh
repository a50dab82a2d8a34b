# shellcheck shell=bash
# Upgrading without downtime, with the commands of docs/operations.md.

# While both services are replaced somebody publishes one event after the other and somebody reads them: all are stored
# and read, in order.
topology_upgrade() {
    local publisher reader before
    before=$(container fred-collector)$(container threshold-engine)
    NAME=$PROJECT-reader atlas tail --type custom:Upgraded --from-beginning --format json >"$WORK/read" 2>"$WORK/read.log" </dev/null &
    reader=$!
    upgrade_events | atlas publish --file - --batch 1 --attempts 20 --quiet 2>"$WORK/published.log" &
    publisher=$!
    upgrade_service fred-collector
    upgrade_service threshold-engine
    touch "$WORK/replaced"
    wait "$publisher" || fail "publishing failed: $(tail -n 3 "$WORK/published.log")"
    eventually 60 all_read
    kill -0 "$reader" || fail "the reader ended: $(tail -n 3 "$WORK/read.log")"
    docker rm --force "$PROJECT-reader" >/dev/null
    wait "$reader" || true
    [[ $(container fred-collector)$(container threshold-engine) != "$before" ]] || fail "nothing was replaced"
    python3 - "$WORK/read" "$(<"$WORK/sent")" <<'PYTHON' || fail "what was read is not what was published"
import json, sys
read = [json.loads(line)["custom"]["data"]["number"] for line in open(sys.argv[1])]
assert read == list(range(1, int(sys.argv[2]) + 1)), read
PYTHON
    say "   $(<"$WORK/sent") events meanwhile, each read once and in order"
}

# One after the other, until all is replaced.
upgrade_events() {
    local number=0
    until [[ -e $WORK/replaced ]]; do
        number=$((number + 1))
        printf '{"sourceService": "check", "custom": {"type": "Upgraded", "data": {"number": %d}}}\n' "$number"
        sleep 0.1
    done
    printf '%d' "$number" >"$WORK/sent"
}

all_read() { (($(wc -l <"$WORK/read") >= $(<"$WORK/sent"))); }

# `--force-recreate`, since the image is the one that ran before.
upgrade_service() {
    dc --profile upgrade up --detach --wait "$1-next" || fail "$1-next does not start"
    dc up --detach --wait --no-deps --force-recreate "$1" || fail "$1 cannot be replaced"
    dc --profile upgrade rm --stop --force "$1-next" >/dev/null
}
