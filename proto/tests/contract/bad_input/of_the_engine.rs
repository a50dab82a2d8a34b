//! Events of the threshold engine that break a rule.

use super::*;

#[test]
fn crossings_and_transitions() {
    check(
        with_crossed(|c| c.pattern_id.clear()),
        "threshold_crossed.pattern_id",
        "is required",
    );
    check(
        with_crossed(|c| c.severity = "\0".to_owned()),
        "threshold_crossed.severity",
        "NUL",
    );
    let unlabelled = with_crossed(|c| drop(c.labels.insert(String::new(), "x".to_owned())));
    check(unlabelled, "threshold_crossed.labels", "is required");
    let since = with_crossed(|c| c.previous_state_since = no_time());
    check(
        since,
        "threshold_crossed.previous_state_since",
        "is not a time",
    );
    let known = with_crossed(|c| c.inputs[0].known_from = no_time());
    check(
        known,
        "threshold_crossed.inputs[0].known_from",
        "is not a time",
    );
    // A direction of a later version of the contract.
    check(with_crossed(|c| c.direction = 99), "payload", "99");
    check(
        with_transition(|t| t.model_id.clear()),
        "regime_transition.model_id",
        "is required",
    );
    check(
        with_transition(|t| t.to_regime.clear()),
        "regime_transition.to_regime",
        "is required",
    );
    let unnamed = with_transition(|t| t.trigger_pattern_ids = vec![String::new()]);
    check(
        unnamed,
        "regime_transition.trigger_pattern_ids[0]",
        "is required",
    );
    check(
        with_definition(|d| d.definition_id.clear()),
        "definition_changed.definition_id",
        "is required",
    );
    check(
        with_definition(|d| d.series_ids[1].push('\n')),
        "definition_changed.series_ids[1]",
        "control character",
    );
    check(
        with_definition(|d| d.after.as_mut().unwrap().state = "x".repeat(101)),
        "definition_changed.after.state",
        "100",
    );
    check(with_definition(|d| d.change = 99), "payload", "99");
}
