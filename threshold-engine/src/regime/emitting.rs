//! What a model of regimes is, and what it emits.

use std::sync::Arc;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::decide::World;
use super::run::{Key, Place, RegimeRun};
use super::{Regime, Transition};
use crate::current_state::CurrentState;
use crate::emission::{Emission, derived_id};
use evaluation::series::Cause;

/// A model is in another regime because of a definition.
#[derive(Clone, Debug)]
pub struct Shift {
    /// Which model.
    pub model: Arc<Regime>,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
    /// From which evaluated date on that holds; absent before the first.
    pub since: Option<NaiveDate>,
    /// Score of the state after, if it has signals.
    pub score: Option<Decimal>,
    /// The active ones of the patterns that the state after asks for.
    pub triggers: Vec<String>,
}

impl RegimeRun {
    /// What it is as of its newest evaluated date.
    pub(crate) fn current_state(&self) -> CurrentState {
        self.current_state_at(self.last().map(|(_, now)| now))
    }

    /// What it was after the last step that was evaluated completely.
    pub(crate) fn settled(&self) -> CurrentState {
        self.current_state_at(self.settled)
    }

    fn current_state_at(&self, place: Option<Place>) -> CurrentState {
        let state = place.map_or(self.model.initial, |place| place.state);
        let since = place.map(|place| place.since);
        CurrentState::of_regime(&self.model.states[state].id, since)
    }

    /// How it differs from what the model was in before; `None` if the regime is the same.
    pub(crate) fn shift_from(&self, before: &CurrentState, world: World<'_>) -> Option<Shift> {
        let now = self.current_state();
        if now.state == before.state {
            return None;
        }
        let state = self.last().map(|(_, now)| &self.model.states[now.state]);
        let triggers = state.zip(now.since);
        Some(Shift {
            model: self.model.clone(),
            from: before.state.clone(),
            to: now.state,
            since: now.since,
            score: self.score_now(world),
            triggers: triggers.map_or_else(Vec::new, |(state, since)| {
                self.triggers(state, since, world)
            }),
        })
    }

    /// Score of the state that holds at the newest date, if it has signals.
    pub(crate) fn score_now(&self, world: World<'_>) -> Option<Decimal> {
        let (date, now) = self.last()?;
        let state = &self.model.states[now.state];
        (!state.signals.is_empty()).then(|| self.score(state, date, world))
    }

    pub(super) fn emit(
        &mut self,
        key: Key,
        revised: bool,
        stands: bool,
        world: World<'_>,
        cause: &Cause,
        out: &mut Vec<Emission>,
    ) {
        let (since, from, to) = key;
        let state = &self.model.states[to];
        let from = self.model.states[from].id.clone();
        let date = since.to_string();
        let verdict = if stands { "stands" } else { "fell" };
        let model = &self.model;
        let what = [
            "transition",
            &model.id,
            &model.version,
            &date,
            &from,
            &state.id,
            verdict,
        ];
        let id = derived_id(&what, cause);
        let transition = Transition {
            id,
            model: model.clone(),
            from,
            to: state.id.clone(),
            since,
            score: (!state.signals.is_empty()).then(|| self.score(state, since, world)),
            triggers: self.triggers(state, since, world),
            revised,
            stands,
            current: self.current_state().state,
            revises: self.emitted.last_event(&key),
            cause: cause.clone(),
        };
        self.emitted.emit(key, id, stands);
        out.push(Emission::Transition(Box::new(transition)));
    }
}
