//! The life of definitions as events: deployed, replaced, suspended, removed, and the regimes that are others by it.

use atlas_events::{
    DefinitionChange, DefinitionChangedEvent, DefinitionKind, DefinitionState, Event,
    RegimeTransitionEvent, Timestamp, event::Payload,
};
use chrono::{DateTime, Utc};
use ulid::Ulid;

use crate::{
    CurrentState, Engine, Failed,
    definition::Kind,
    emission::{derived_id, exact_text, id_of},
    handler::SERVICE,
    regime::Shift,
};
use evaluation::series::Cause;

/// What happened to a definition.
#[derive(Clone, Debug)]
pub(crate) struct Turned {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) change: DefinitionChange,
    /// The one that is evaluated from now on, or else was evaluated last.
    pub(crate) version: String,
    /// The one that was replaced.
    pub(crate) previous_version: Option<String>,
    /// That a pattern reads.
    pub(crate) series: Vec<String>,
    pub(crate) before: Option<CurrentState>,
    pub(crate) after: Option<CurrentState>,
    /// For people; may be empty.
    pub(crate) reason: String,
}

impl Turned {
    /// What a running definition is; `None` if it is not running.
    pub(crate) fn stated(engine: &Engine, kind: Kind, id: &str) -> Option<Self> {
        let (name, version, series) = match kind {
            Kind::Pattern => {
                let pattern = engine.pattern(id)?.pattern();
                (&pattern.name, &pattern.version, pattern.series_ids())
            }
            Kind::Regime => {
                let model = engine.regime(id)?.model();
                (&model.name, &model.version, Vec::new())
            }
        };
        Some(Self {
            kind,
            id: id.to_owned(),
            name: name.clone(),
            change: DefinitionChange::Stated,
            version: version.clone(),
            previous_version: None,
            series,
            before: None,
            after: engine.current_state(kind, id),
            reason: String::new(),
        })
    }
}

impl From<&Failed> for Turned {
    fn from(failed: &Failed) -> Self {
        Self {
            kind: failed.kind,
            id: failed.id.clone(),
            name: failed.name.clone(),
            change: DefinitionChange::Suspended,
            version: failed.version.clone(),
            previous_version: None,
            series: failed.series.clone(),
            before: failed.before.clone(),
            after: None,
            reason: failed.reason.clone(),
        }
    }
}

/// The identity of the event that reports it, and by what it came about.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) event_id: Ulid,
    pub(crate) occurred_at: DateTime<Utc>,
    cause: Option<Cause>,
}

impl Origin {
    /// By the change of a number that was recorded for the log. Numbers are not used again.
    pub(crate) fn of_change(log_id: &str, change: i64, occurred_at: DateTime<Utc>) -> Self {
        let what = ["definition", log_id, &change.to_string()];
        Self {
            event_id: id_of(&what, occurred_at),
            occurred_at,
            cause: None,
        }
    }

    /// By nothing that happened to it: its state after a point is emitted anew.
    pub(crate) fn of_state(
        log_id: &str,
        (kind, id): (Kind, &str),
        sequence: i64,
        occurred_at: DateTime<Utc>,
    ) -> Self {
        let what = ["stated", log_id, kind.name(), id, &sequence.to_string()];
        Self {
            event_id: id_of(&what, occurred_at),
            occurred_at,
            cause: None,
        }
    }

    /// By a point at which it failed: the same whenever the same points are played.
    pub(crate) fn of_failure(failed: &Failed, cause: &Cause) -> Self {
        let what = [
            "definition",
            failed.kind.name(),
            &failed.id,
            &failed.version,
            "failed",
        ];
        Self {
            event_id: derived_id(&what, cause),
            occurred_at: cause.occurred_at,
            cause: Some(cause.clone()),
        }
    }

    /// The event that reports what happened to a definition.
    pub(crate) fn turned(&self, turned: &Turned) -> Event {
        let cause = self.cause.as_ref();
        let changed = DefinitionChangedEvent {
            kind: match turned.kind {
                Kind::Pattern => DefinitionKind::Pattern.into(),
                Kind::Regime => DefinitionKind::Regime.into(),
            },
            definition_id: turned.id.clone(),
            name: turned.name.clone(),
            change: turned.change.into(),
            version: turned.version.clone(),
            previous_version: turned.previous_version.clone().unwrap_or_default(),
            before: turned.before.as_ref().map(Into::into),
            after: turned.after.as_ref().map(Into::into),
            reason: turned.reason.clone(),
            series_ids: turned.series.clone(),
            cause_event_id: cause.map_or_else(String::new, Cause::event_text),
            cause_position: cause.map_or(0, Cause::event_position),
        };
        self.event(self.event_id, Payload::DefinitionChanged(changed))
    }

    /// The event that reports a changed regime.
    pub(crate) fn shifted(&self, shift: &Shift) -> Event {
        let own = self.event_id.to_string();
        let what = ["transition", &shift.model.id, &shift.model.version, &own];
        let transition = RegimeTransitionEvent {
            model_id: shift.model.id.clone(),
            from_regime: shift.from.clone(),
            to_regime: shift.to.clone(),
            since: shift
                .since
                .map_or_else(String::new, |date| date.to_string()),
            score: shift.score.map(exact_text),
            trigger_pattern_ids: shift.triggers.clone(),
            model_version: shift.model.version.clone(),
            definition_event_id: own.clone(),
            current_regime: shift.to.clone(),
            ..RegimeTransitionEvent::default()
        };
        let id = id_of(&what, self.occurred_at);
        self.event(id, Payload::RegimeTransition(transition))
    }

    fn event(&self, event_id: Ulid, payload: Payload) -> Event {
        Event {
            event_id: event_id.to_string(),
            occurred_at: Some(Timestamp::from(self.occurred_at)),
            source_service: SERVICE.to_owned(),
            payload: Some(payload),
            ..Event::default()
        }
    }
}

impl From<&CurrentState> for DefinitionState {
    fn from(current_state: &CurrentState) -> Self {
        Self {
            state: current_state.state.clone(),
            since: current_state
                .since
                .map_or_else(String::new, |date| date.to_string()),
            active: current_state.active,
        }
    }
}
