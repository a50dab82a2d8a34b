//! What patterns, regimes and inputs are now, for showing.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::definition::Severity;
use crate::engine::Engine;
use crate::pattern::PatternRun;
use crate::regime::RegimeSpell;
use evaluation::machine::Outcome;

const NEVER_SENT: &str = "no event of this series has been received";

/// A pattern now.
#[derive(Clone, Debug, Serialize)]
pub struct PatternStatus {
    /// Id of the pattern.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Hash of its definition.
    pub version: String,
    /// How grave it is.
    pub severity: Severity,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// "normal", "pending", "active", "recovering" or, where the condition has no data, "no_data".
    pub state: &'static str,
    /// Since which evaluated date; absent before the first.
    pub since: Option<NaiveDate>,
    /// Whether it counts as active, also while there is no data.
    pub active: bool,
    /// The newest evaluated date.
    pub evaluated_to: Option<NaiveDate>,
    /// The condition as of the date asked for, with its inputs and why there is no data.
    pub outcome: Outcome,
    /// Before this date it cannot change; absent: it can with the next observation.
    pub earliest_change: Option<NaiveDate>,
}

/// A regime now.
#[derive(Clone, Debug, Serialize)]
pub struct RegimeStatus {
    /// Id of the model.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Hash of its definition.
    pub version: String,
    /// The state that holds; absent before the first evaluation.
    pub state: Option<String>,
    /// Since which evaluated date.
    pub since: Option<NaiveDate>,
    /// Score of the state, if it has signals.
    pub score: Option<Decimal>,
    /// Every state that held, oldest first, as known now.
    pub history: Vec<RegimeSpell>,
}

/// How fresh a series is.
#[derive(Clone, Debug, Serialize)]
pub struct InputStatus {
    /// Id of the series.
    pub series: String,
    /// Date of the latest observation; absent if there is none.
    pub date: Option<NaiveDate>,
    /// Its value.
    pub value: Option<Decimal>,
    /// Its vintage.
    pub known_from: Option<DateTime<Utc>>,
    /// Days from that date to the one asked for.
    pub age_days: Option<i64>,
    /// The patterns that read it, and whether it is too old for each.
    pub readers: BTreeMap<String, bool>,
}

impl Engine {
    /// Every pattern as of a date: today, to show inputs that have become too old since.
    pub fn status(&self, at: NaiveDate) -> Vec<PatternStatus> {
        let patterns = self.patterns().iter();
        patterns.map(|run| self.status_of(run, at)).collect()
    }

    /// One pattern as of a date.
    pub fn pattern_status(&self, id: &str, at: NaiveDate) -> Option<PatternStatus> {
        Some(self.status_of(self.pattern(id)?, at))
    }

    fn status_of(&self, run: &PatternRun, at: NaiveDate) -> PatternStatus {
        let pattern = run.pattern();
        let outcome = self.explained(run, run.outcome(at, self.store()));
        let step = run.step_at(at);
        let (state, since) = match (step, run.shown_at(at)) {
            // Too old since the last evaluation: no data from today on.
            (Some(step), _) if outcome.holds.is_none() && !step.state.no_data => {
                ("no_data", Some(at))
            }
            (_, Some((state, since))) => (state, Some(since)),
            _ => ("no_data", None),
        };
        PatternStatus {
            id: pattern.id.clone(),
            name: pattern.name.clone(),
            version: pattern.version.clone(),
            severity: pattern.severity,
            labels: pattern.labels.clone(),
            state,
            since,
            active: step.is_some_and(|step| step.state.phase.is_active()),
            evaluated_to: step.map(|step| step.date),
            outcome,
            earliest_change: step
                .and_then(|step| step.state.earliest_change(&pattern.condition.rule)),
        }
    }

    /// Says of series that were never seen that this is what is the matter.
    fn explained(&self, run: &PatternRun, mut outcome: Outcome) -> Outcome {
        for (input, series) in outcome.inputs.iter_mut().zip(run.series()) {
            let is_empty = self.store().get(*series).dates().is_empty();
            if !is_empty || input.no_data.is_none() {
                continue;
            }
            input.no_data = Some(NEVER_SENT.to_owned());
            if outcome.no_data.is_some() {
                outcome.no_data = Some(format!("{}: {NEVER_SENT}", input.name));
            }
        }
        outcome
    }

    /// Every regime now.
    pub fn regime_status(&self) -> Vec<RegimeStatus> {
        let status = |run: &crate::regime::RegimeRun| {
            let model = run.model();
            let now = run.last_date().and_then(|date| run.state_at(date));
            RegimeStatus {
                id: model.id.clone(),
                name: model.name.clone(),
                version: model.version.clone(),
                state: now.map(|(state, _)| state.to_owned()),
                since: now.map(|(_, since)| since),
                score: run.score_now(self.world()),
                history: run.spells(),
            }
        };
        self.regimes().iter().map(status).collect()
    }

    /// Every series that a pattern reads, as of a date.
    pub fn inputs(&self, at: NaiveDate) -> Vec<InputStatus> {
        let mut by_series = BTreeMap::new();
        for run in self.patterns() {
            let inputs = run.pattern().program().inputs();
            for (input, index) in inputs.iter().zip(run.series()) {
                let latest = self.store().get(*index).at(at);
                let age_days = latest.map(|o| (at - o.date).num_days());
                let too_old = latest.is_none_or(|o| !input.counts_at(o.date, at));
                let status = by_series
                    .entry(input.series.clone())
                    .or_insert_with(|| InputStatus {
                        series: input.series.clone(),
                        date: latest.map(|o| o.date),
                        value: latest.map(|o| o.value),
                        known_from: latest.map(|o| o.known_from),
                        age_days,
                        readers: BTreeMap::new(),
                    });
                status.readers.insert(run.pattern().id.clone(), too_old);
            }
        }
        by_series.into_values().collect()
    }
}
