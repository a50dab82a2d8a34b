//! What a definition is now, as its events say.

use chrono::NaiveDate;

use evaluation::machine::{Phase, State};

/// The state of a pattern or a model of regimes as of its newest evaluated date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentState {
    /// The phase of a pattern, also while there is no data; the id of a model's state, which is the initial one
    /// before the first evaluation.
    pub state: String,
    /// From which evaluated date on it holds; absent before the first.
    pub since: Option<NaiveDate>,
    /// Of a pattern: whether it counts as active.
    pub active: Option<bool>,
}

impl CurrentState {
    /// Of a pattern with the state of its newest evaluated date.
    pub(crate) fn of_pattern(state: Option<&State>) -> Self {
        let phase = state.map_or(Phase::Normal, |state| state.phase);
        Self {
            state: phase.name().to_owned(),
            since: state.map(|state| state.since),
            active: Some(phase.is_active()),
        }
    }

    /// Of a model.
    pub(crate) fn of_regime(state: &str, since: Option<NaiveDate>) -> Self {
        Self {
            state: state.to_owned(),
            since,
            active: None,
        }
    }
}
