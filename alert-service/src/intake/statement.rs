//! What an event says about alerts, before any rule is asked.

use atlas_events::{
    CrossingDirection, DefinitionChangedEvent, DefinitionKind, RegimeTransitionEvent,
    ThresholdCrossedEvent, event::Payload,
};
use chrono::NaiveDate;

use crate::rule::Subject;

/// What an event says of one pattern or model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Statement {
    /// Something began.
    Begin(Box<Beginning>),
    /// It ended: alerts of this fingerprint do.
    End {
        fingerprint: String,
        /// For people.
        note: String,
    },
    /// What an earlier event said did not happen.
    Withdraw {
        event_id: String,
        /// For people.
        note: String,
    },
}

/// Something that began.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Beginning {
    pub(crate) fingerprint: String,
    pub(crate) subject: Subject,
    pub(crate) title: String,
    pub(crate) message: String,
    /// When it was observed, if the event says so.
    pub(crate) observed: Option<NaiveDate>,
    /// Labels of the alert.
    pub(crate) labels: Vec<(String, String)>,
    /// As the event has it.
    pub(crate) severity: String,
}

/// What a payload says, in order; nothing if it is about no pattern and no model.
pub(crate) fn read(payload: &Payload) -> Vec<Statement> {
    match payload {
        Payload::ThresholdCrossed(crossed) => of_crossing(crossed),
        Payload::RegimeTransition(transition) => of_transition(transition),
        Payload::DefinitionChanged(changed) => of_definition(changed),
        _ => Vec::new(),
    }
}

fn of_pattern(id: &str) -> String {
    format!("pattern:{id}")
}

fn of_missing_data(id: &str) -> String {
    format!("no_data:{id}")
}

fn of_model(id: &str) -> String {
    format!("regime:{id}")
}

fn end(fingerprint: String, note: &str) -> Statement {
    Statement::End {
        fingerprint,
        note: note.to_owned(),
    }
}

fn of_crossing(crossed: &ThresholdCrossedEvent) -> Vec<Statement> {
    use CrossingDirection as D;
    let id = &crossed.pattern_id;
    let has_data = || end(of_missing_data(id), "the pattern has data again");
    match crossed.direction() {
        D::Entered => vec![has_data(), begins(crossed, false)],
        D::Cleared => vec![has_data(), end(of_pattern(id), "the pattern was cleared")],
        D::NoData => vec![begins(crossed, true)],
        D::Data => vec![has_data()],
        D::Revised => of_revision(crossed),
        D::Unspecified => Vec::new(),
    }
}

/// Revised values: what is withdrawn is, and then the pattern is what the event says it is now.
fn of_revision(crossed: &ThresholdCrossedEvent) -> Vec<Statement> {
    let mut statements = Vec::new();
    if crossed.withdrawn && !crossed.revises_event_id.is_empty() {
        statements.push(Statement::Withdraw {
            event_id: crossed.revises_event_id.clone(),
            note: crossed.message.clone(),
        });
    }
    let begins_by_revision = match crossed.revised_direction() {
        CrossingDirection::Entered => !crossed.withdrawn,
        CrossingDirection::Cleared => crossed.withdrawn,
        _ => return statements,
    };
    match crossed.active {
        Some(false) => {
            let note = "the pattern is not active by revised values";
            statements.push(end(of_pattern(&crossed.pattern_id), note));
        }
        Some(true) if begins_by_revision => statements.push(begins(crossed, false)),
        Some(true) | None => {}
    }
    statements
}

fn begins(crossed: &ThresholdCrossedEvent, no_data: bool) -> Statement {
    let id = &crossed.pattern_id;
    let name = match crossed.pattern_name.as_str() {
        "" => id,
        name => name,
    };
    let (fingerprint, title) = match no_data {
        true => (of_missing_data(id), format!("No data: {name}")),
        false => (of_pattern(id), name.to_owned()),
    };
    let mut lines = Vec::new();
    if !crossed.message.is_empty() {
        lines.push(crossed.message.clone());
    }
    match (&crossed.value, &crossed.threshold) {
        (Some(value), Some(threshold)) => {
            lines.push(format!("Value {value}, threshold {threshold}."))
        }
        (Some(value), None) => lines.push(format!("Value {value}.")),
        (None, _) => {}
    }
    if !crossed.observation_date.is_empty() {
        lines.push(format!("Observed {}.", crossed.observation_date));
    }
    let own = [("pattern".to_owned(), id.clone())];
    let labels = crossed.labels.iter().map(|(k, v)| (k.clone(), v.clone()));
    Statement::Begin(Box::new(Beginning {
        fingerprint,
        subject: Subject::Crossing {
            pattern_id: id.clone(),
            severity: crossed.severity.clone(),
            labels: crossed.labels.clone().into_iter().collect(),
            no_data,
        },
        title,
        message: lines.join("\n"),
        observed: crossed.observation_date.parse().ok(),
        labels: labels.chain(own).collect(),
        severity: crossed.severity.clone(),
    }))
}

fn of_transition(transition: &RegimeTransitionEvent) -> Vec<Statement> {
    let RegimeTransitionEvent {
        model_id,
        from_regime,
        to_regime,
        since,
        ..
    } = transition;
    if transition.withdrawn {
        let event_id = transition.revises_event_id.clone();
        let note = format!("{model_id} did not change from {from_regime} to {to_regime}");
        return match event_id.is_empty() {
            true => Vec::new(),
            false => vec![Statement::Withdraw { event_id, note }],
        };
    }
    // Of the past, as only revised values show.
    if transition.revised && transition.current_regime != *to_regime {
        return Vec::new();
    }
    let ended = end(
        of_model(model_id),
        &format!("the model is in {to_regime} now"),
    );
    let began = Statement::Begin(Box::new(Beginning {
        fingerprint: of_model(model_id),
        subject: Subject::Transition {
            model_id: model_id.clone(),
            from: from_regime.clone(),
            to: to_regime.clone(),
        },
        title: format!("{model_id}: {to_regime}"),
        message: format!("{model_id} changed from {from_regime} to {to_regime} as of {since}."),
        observed: since.parse().ok(),
        labels: vec![
            ("model".to_owned(), model_id.clone()),
            ("regime".to_owned(), to_regime.clone()),
        ],
        severity: String::new(),
    }));
    vec![ended, began]
}

/// A definition that is not evaluated any more, or whose pattern is not active, holds no alert open.
fn of_definition(changed: &DefinitionChangedEvent) -> Vec<Statement> {
    let id = &changed.definition_id;
    let is_evaluated = changed.after.is_some();
    let is_active = changed.after.as_ref().and_then(|after| after.active);
    match changed.kind() {
        DefinitionKind::Pattern if !is_evaluated => {
            let note = "the pattern is not evaluated any more";
            vec![end(of_pattern(id), note), end(of_missing_data(id), note)]
        }
        DefinitionKind::Pattern if is_active == Some(false) => {
            let note = "the pattern is not active by its definition";
            vec![end(of_pattern(id), note)]
        }
        DefinitionKind::Regime if !is_evaluated => {
            vec![end(of_model(id), "the model is not evaluated any more")]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossed(direction: CrossingDirection) -> ThresholdCrossedEvent {
        ThresholdCrossedEvent {
            pattern_id: "p".to_owned(),
            direction: direction.into(),
            ..ThresholdCrossedEvent::default()
        }
    }

    /// `+` begins, `-` ends, `!` withdraws.
    fn said(payload: Payload) -> Vec<String> {
        let said = |statement: &Statement| match statement {
            Statement::Begin(beginning) => format!("+{}", beginning.fingerprint),
            Statement::End { fingerprint, .. } => format!("-{fingerprint}"),
            Statement::Withdraw { event_id, .. } => format!("!{event_id}"),
        };
        read(&payload).iter().map(said).collect()
    }

    #[test]
    fn crossings() {
        use CrossingDirection as D;
        let plain = |direction| said(Payload::ThresholdCrossed(crossed(direction)));
        assert_eq!(plain(D::Entered), ["-no_data:p", "+pattern:p"]);
        assert_eq!(plain(D::Cleared), ["-no_data:p", "-pattern:p"]);
        assert_eq!(plain(D::NoData), ["+no_data:p"]);
        assert_eq!(plain(D::Data), ["-no_data:p"]);
        let revised = |of: D, withdrawn, active| {
            said(Payload::ThresholdCrossed(ThresholdCrossedEvent {
                revised_direction: of.into(),
                revises_event_id: if withdrawn {
                    "e".to_owned()
                } else {
                    String::new()
                },
                withdrawn,
                active,
                ..crossed(D::Revised)
            }))
        };
        assert_eq!(revised(D::Entered, true, Some(false)), ["!e", "-pattern:p"]);
        assert_eq!(revised(D::Entered, true, Some(true)), ["!e"]);
        assert_eq!(revised(D::Entered, false, Some(true)), ["+pattern:p"]);
        assert_eq!(revised(D::Entered, false, Some(false)), ["-pattern:p"]);
        assert_eq!(revised(D::Cleared, true, Some(true)), ["!e", "+pattern:p"]);
        assert_eq!(revised(D::Cleared, false, Some(false)), ["-pattern:p"]);
        assert_eq!(revised(D::NoData, true, Some(true)), ["!e"]);
    }

    #[test]
    fn transitions_and_definitions() {
        let transition = |withdrawn, revised, current: &str| {
            said(Payload::RegimeTransition(RegimeTransitionEvent {
                model_id: "m".to_owned(),
                to_regime: "b".to_owned(),
                withdrawn,
                revised,
                revises_event_id: "e".to_owned(),
                current_regime: current.to_owned(),
                ..RegimeTransitionEvent::default()
            }))
        };
        assert_eq!(transition(false, false, ""), ["-regime:m", "+regime:m"]);
        assert_eq!(transition(false, true, "b"), ["-regime:m", "+regime:m"]);
        assert!(transition(false, true, "c").is_empty());
        assert_eq!(transition(true, true, "a"), ["!e"]);
        let definition = |after: Option<Option<bool>>| {
            said(Payload::DefinitionChanged(DefinitionChangedEvent {
                kind: DefinitionKind::Pattern.into(),
                definition_id: "p".to_owned(),
                after: after.map(|active| atlas_events::DefinitionState {
                    active,
                    ..Default::default()
                }),
                ..DefinitionChangedEvent::default()
            }))
        };
        assert_eq!(definition(None), ["-pattern:p", "-no_data:p"]);
        assert_eq!(definition(Some(Some(false))), ["-pattern:p"]);
        assert!(definition(Some(Some(true))).is_empty());
    }
}
