//! What the engine emits, as data and as events of the contract.

use atlas_events::{
    CrossingDirection, RegimeTransitionEvent, ThresholdCrossedEvent, ThresholdInput, Timestamp,
};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use ulid::Ulid;

use crate::pattern::Pattern;
use crate::pattern::{Crossing, Direction};
use crate::regime::Transition;
use evaluation::machine::{InputUse, Turn};
use evaluation::series::Cause;

/// One event to emit.
#[derive(Clone, Debug)]
pub enum Emission {
    /// A pattern entered or cleared, or a revision changed that.
    Crossing(Box<Crossing>),
    /// A regime gave way to another, or a revision changed that.
    Transition(Box<Transition>),
}

impl Emission {
    /// Id of the event that reports it: the same whenever the same sequence of points is played.
    pub fn id(&self) -> Ulid {
        match self {
            Self::Crossing(crossing) => crossing.id,
            Self::Transition(transition) => transition.id,
        }
    }

    /// The point that brought it about.
    pub fn cause(&self) -> &Cause {
        match self {
            Self::Crossing(crossing) => &crossing.cause,
            Self::Transition(transition) => &transition.cause,
        }
    }

    /// False: it takes back what was emitted before.
    pub fn stands(&self) -> bool {
        match self {
            Self::Crossing(crossing) => crossing.stands,
            Self::Transition(transition) => transition.stands,
        }
    }

    /// The event that emitted the same before, if one did.
    pub fn revises(&self) -> Option<Ulid> {
        match self {
            Self::Crossing(crossing) => crossing.revises,
            Self::Transition(transition) => transition.revises,
        }
    }

    /// The observation date that it is for.
    pub fn date(&self) -> NaiveDate {
        match self {
            Self::Crossing(crossing) => crossing.date,
            Self::Transition(transition) => transition.since,
        }
    }
}

pub(crate) fn crossing_id(
    pattern: &Pattern,
    date: NaiveDate,
    turn: Turn,
    stands: bool,
    cause: &Cause,
) -> Ulid {
    let stands = if stands { "stands" } else { "fell" };
    let date = date.to_string();
    let what = [
        "crossing",
        &pattern.id,
        &pattern.version,
        &date,
        turn.name(),
        stands,
    ];
    derived_id(&what, cause)
}

/// The time of the cause, and 80 bits of a hash of what is emitted and of the cause.
pub(crate) fn derived_id(what: &[&str], cause: &Cause) -> Ulid {
    let mut hash = Sha256::new();
    for part in what.iter().chain([&cause.source.as_ref()]) {
        // With their lengths, so that no two lists of parts are the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(cause.position.to_be_bytes());
    hash.update(cause.index.to_be_bytes());
    id_at(cause.occurred_at, hash)
}

/// As [`derived_id`], of what no point has caused.
pub(crate) fn id_of(what: &[&str], occurred_at: DateTime<Utc>) -> Ulid {
    let mut hash = Sha256::new();
    for part in what {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    id_at(occurred_at, hash)
}

fn id_at(occurred_at: DateTime<Utc>, hash: Sha256) -> Ulid {
    let digest = hash.finalize();
    let mut random = [0; 16];
    random[6..].copy_from_slice(&digest[..10]);
    let milliseconds = u64::try_from(occurred_at.timestamp_millis()).unwrap_or(0);
    Ulid::from_parts(milliseconds, u128::from_be_bytes(random))
}

/// In plain notation, with the 28 significant digits that the contract has room for.
pub(crate) fn exact_text(value: Decimal) -> String {
    value.round_sf(28).unwrap_or(value).normalize().to_string()
}

fn midnight(date: NaiveDate) -> Timestamp {
    date.and_time(NaiveTime::MIN).and_utc().into()
}

impl From<&Crossing> for ThresholdCrossedEvent {
    fn from(crossing: &Crossing) -> Self {
        let direction = match crossing.direction {
            Direction::Entered => CrossingDirection::Entered,
            Direction::Cleared => CrossingDirection::Cleared,
            Direction::NoData => CrossingDirection::NoData,
            Direction::Data => CrossingDirection::Data,
            Direction::Revised => CrossingDirection::Revised,
        };
        let pattern = &crossing.pattern;
        let labels = pattern.labels.iter();
        Self {
            pattern_id: pattern.id.clone(),
            pattern_name: pattern.name.clone(),
            pattern_version: pattern.version.clone(),
            direction: direction.into(),
            severity: pattern.severity.name().into(),
            labels: labels.map(|(k, v)| (k.clone(), v.clone())).collect(),
            value: crossing.outcome.value.map(exact_text),
            threshold: crossing.outcome.threshold.map(exact_text),
            inputs: crossing.outcome.inputs.iter().map(input_of).collect(),
            previous_state: crossing.previous_state.into(),
            previous_state_since: Some(midnight(crossing.previous_since)),
            cause_event_id: crossing.cause.event_text(),
            cause_position: crossing.cause.event_position(),
            observation_date: crossing.date.to_string(),
            message: crossing.message.clone(),
            revises_event_id: crossing
                .revises
                .map_or_else(String::new, |id| id.to_string()),
            revised_direction: match (crossing.direction, crossing.turn) {
                (Direction::Revised, Turn::Entered) => CrossingDirection::Entered.into(),
                (Direction::Revised, Turn::Cleared) => CrossingDirection::Cleared.into(),
                (Direction::Revised, Turn::NoData) => CrossingDirection::NoData.into(),
                (Direction::Revised, Turn::Data) => CrossingDirection::Data.into(),
                _ => CrossingDirection::Unspecified.into(),
            },
            withdrawn: !crossing.stands,
            active: Some(crossing.active),
        }
    }
}

fn input_of(input: &InputUse) -> ThresholdInput {
    ThresholdInput {
        series_id: input.series.clone(),
        value: input.value.map(|v| v.to_string()),
        date: input.date.map_or_else(String::new, |date| date.to_string()),
        known_from: input.known_from.map(Into::into),
    }
}

impl From<&Transition> for RegimeTransitionEvent {
    fn from(transition: &Transition) -> Self {
        Self {
            model_id: transition.model.id.clone(),
            from_regime: transition.from.clone(),
            to_regime: transition.to.clone(),
            since: transition.since.to_string(),
            score: transition.score.map(exact_text),
            trigger_pattern_ids: transition.triggers.clone(),
            cause_event_id: transition.cause.event_text(),
            cause_position: transition.cause.event_position(),
            model_version: transition.model.version.clone(),
            revised: transition.revised,
            withdrawn: !transition.stands,
            revises_event_id: transition
                .revises
                .map_or_else(String::new, |id| id.to_string()),
            definition_event_id: String::new(),
            current_regime: transition.current.clone(),
        }
    }
}
