//! Patterns as REST shows them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    pattern::Pattern,
    status::PatternStatus,
    store::{Kind, Suspension, Switch},
};
use evaluation::machine::{InputUse, Outcome, Spell};

/// All patterns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PatternList {
    pub(super) patterns: Vec<PatternView>,
}

/// A pattern now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PatternView {
    #[schema(example = "sahm-rule")]
    pub(super) id: String,
    pub(super) name: String,
    /// Hash of its definition.
    pub(super) version: String,
    /// `info`, `warning` or `critical`.
    pub(super) severity: &'static str,
    pub(super) labels: BTreeMap<String, String>,
    /// Whether it is evaluated.
    pub(super) enabled: bool,
    /// `normal`, `pending`, `active`, `recovering`, `no_data`; `off` if it is not evaluated, `suspended` if that is
    /// because its evaluation failed.
    pub(super) state: &'static str,
    /// Since which observation date.
    pub(super) since: Option<NaiveDate>,
    /// Whether it counts as active, also while there is no data.
    pub(super) active: bool,
    /// The newest evaluated date.
    pub(super) evaluated_to: Option<NaiveDate>,
    /// Before this date it cannot change; absent: it can with the next observation.
    pub(super) earliest_change: Option<NaiveDate>,
    /// The condition today; absent if it is not evaluated.
    pub(super) outcome: Option<OutcomeView>,
    /// Which version of it is not evaluated because that failed; absent if none is.
    pub(super) suspension: Option<SuspensionView>,
}

/// A version of a definition that is not evaluated because that failed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SuspensionView {
    /// `pattern` or `regime`.
    kind: &'static str,
    #[schema(example = "sahm-rule")]
    pub(super) id: String,
    /// Hash of the definition.
    version: String,
    /// What failed, for people.
    reason: String,
    /// When.
    suspended_at: DateTime<Utc>,
    /// The event at which it failed; absent if it failed over what was known already.
    event: Option<SuspendedAtView>,
}

/// The event at which the evaluation of a definition failed.
#[derive(Debug, Serialize, ToSchema)]
struct SuspendedAtView {
    #[schema(example = "collector")]
    source: String,
    event_id: String,
    /// In the log of the source.
    position: u64,
}

impl From<Suspension> for SuspensionView {
    fn from(suspension: Suspension) -> Self {
        Self {
            kind: suspension.kind.name(),
            id: suspension.id,
            version: suspension.version,
            reason: suspension.reason,
            suspended_at: suspension.suspended_at,
            event: suspension.at.map(|at| SuspendedAtView {
                source: at.source,
                event_id: at.event_id,
                position: at.position,
            }),
        }
    }
}

impl PatternView {
    /// With its suspension, if there is one.
    pub(super) fn suspended(mut self, suspensions: &[Suspension]) -> Self {
        let mut all = suspensions.iter();
        let own = all.find(|s| s.kind == Kind::Pattern && s.id == self.id);
        if own.is_some() && !self.enabled {
            self.state = "suspended";
        }
        self.suspension = own.cloned().map(Into::into);
        self
    }
}

/// A condition at a date, with everything that it was computed from.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomeView {
    /// Whether it holds; absent: no data.
    pub(super) holds: Option<bool>,
    /// Left side of its first comparison.
    pub(super) value: Option<Decimal>,
    /// Right side of it.
    pub(super) threshold: Option<Decimal>,
    /// Why there is no data, where there is none.
    pub(super) no_data: Option<String>,
    pub(super) inputs: Vec<InputView>,
}

/// An input of a condition.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InputView {
    #[schema(example = "UNRATE")]
    series: String,
    unit: String,
    /// Absent if there is none, or none that is young enough.
    value: Option<Decimal>,
    /// Date of the latest observation, also if it is too old.
    date: Option<NaiveDate>,
    /// From when that was known.
    known_from: Option<DateTime<Utc>>,
    /// Why there is no value, where there is none.
    no_data: Option<String>,
}

/// A pattern with its definition and its past.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PatternDetail {
    #[serde(flatten)]
    pub(super) now: PatternView,
    /// Definition and source, for people.
    pub(super) description: String,
    /// The condition.
    #[schema(example = "VIXCLS > 30")]
    pub(super) when: String,
    /// The condition for clearing, if it has one of its own.
    pub(super) clear_when: Option<String>,
    /// Path of its file within the folder of definitions.
    pub(super) file: String,
    /// Every time for which it was active, as known now.
    pub(super) spells: Vec<SpellView>,
    /// Who switched it on and off, the last first.
    pub(super) switches: Vec<Switch>,
}

/// A time for which a pattern was active.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SpellView {
    entered: NaiveDate,
    /// Absent: it lasts.
    cleared: Option<NaiveDate>,
}

impl From<PatternStatus> for PatternView {
    fn from(status: PatternStatus) -> Self {
        Self {
            id: status.id,
            name: status.name,
            version: status.version,
            severity: status.severity.name(),
            labels: status.labels,
            enabled: true,
            state: status.state,
            since: status.since,
            active: status.active,
            evaluated_to: status.evaluated_to,
            earliest_change: status.earliest_change,
            outcome: Some(status.outcome.into()),
            suspension: None,
        }
    }
}

/// One that is not evaluated.
impl From<&Pattern> for PatternView {
    fn from(pattern: &Pattern) -> Self {
        Self {
            id: pattern.id.clone(),
            name: pattern.name.clone(),
            version: pattern.version.clone(),
            severity: pattern.severity.name(),
            labels: pattern.labels.clone(),
            enabled: false,
            state: "off",
            since: None,
            active: false,
            evaluated_to: None,
            earliest_change: None,
            outcome: None,
            suspension: None,
        }
    }
}

impl PatternDetail {
    pub(super) fn new(
        pattern: &Pattern,
        now: PatternView,
        spells: Vec<Spell>,
        switches: Vec<Switch>,
    ) -> Self {
        Self {
            now,
            description: pattern.description.clone(),
            when: pattern.when_text.clone(),
            clear_when: pattern.clear_when_text.clone(),
            file: pattern.file.display().to_string(),
            spells: spells.into_iter().map(Into::into).collect(),
            switches,
        }
    }
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        Self {
            holds: outcome.holds,
            value: outcome.value,
            threshold: outcome.threshold,
            no_data: outcome.no_data,
            inputs: outcome.inputs.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<InputUse> for InputView {
    fn from(input: InputUse) -> Self {
        Self {
            series: input.series,
            unit: input.unit,
            value: input.value,
            date: input.date,
            known_from: input.known_from,
            no_data: input.no_data,
        }
    }
}

impl From<Spell> for SpellView {
    fn from(spell: Spell) -> Self {
        Self {
            entered: spell.entered,
            cleared: spell.cleared,
        }
    }
}
