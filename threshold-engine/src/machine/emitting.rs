//! What a pattern emits for a step.

use chrono::NaiveDate;

use super::crossing::{Crossing, Direction};
use super::outcome::shown;
use super::run::{Difference, PatternRun};
use super::state::{Phase, Turn};
use crate::emission::{Emission, crossing_id};
use crate::expression::View;
use crate::pattern::Facts;
use crate::series::{Cause, SeriesStore};

impl PatternRun {
    /// What was emitted and is no more comes first, then what is new.
    pub(super) fn emit(
        &mut self,
        difference: &Difference,
        news_from: Option<NaiveDate>,
        store: &SeriesStore,
        cause: &Cause,
        out: &mut Vec<Emission>,
    ) {
        let date = difference.date;
        if let Some(turn) = difference.before {
            let crossing = self.crossing(date, turn, Direction::Revised, false, store, cause);
            self.emitted.emit((date, turn), crossing.id, false);
            out.push(Emission::Crossing(Box::new(crossing)));
        }
        if let Some(turn) = difference.after {
            let is_news = news_from.is_some_and(|first| date >= first);
            let direction = match turn {
                _ if !is_news || self.emitted.knows(&(date, turn)) => Direction::Revised,
                Turn::Entered => Direction::Entered,
                Turn::Cleared => Direction::Cleared,
                Turn::NoData => Direction::NoData,
                Turn::Data => Direction::Data,
            };
            let crossing = self.crossing(date, turn, direction, true, store, cause);
            self.emitted.emit((date, turn), crossing.id, true);
            out.push(Emission::Crossing(Box::new(crossing)));
        }
    }

    fn crossing(
        &self,
        date: NaiveDate,
        turn: Turn,
        direction: Direction,
        stands: bool,
        store: &SeriesStore,
        cause: &Cause,
    ) -> Crossing {
        let mut outcome = self.outcome(date, store);
        if let (Turn::Cleared, Some(clear)) = (turn, self.pattern.clear_when) {
            // What decided is what is shown; a condition that compares nothing shows that of `when`.
            let (value, threshold) = shown(&self.graph, clear, date, View::of(store));
            outcome.value = value.or(outcome.value);
            outcome.threshold = threshold.or(outcome.threshold);
        }
        let before = date.pred_opt().and_then(|before| self.shown_at(before));
        let (previous_state, previous_since) = before.unwrap_or((Phase::Normal.name(), date));
        let facts = Facts {
            direction,
            turn,
            stands,
            date,
            outcome: &outcome,
        };
        Crossing {
            id: crossing_id(&self.pattern, date, turn, stands, cause),
            message: self.pattern.render(&facts),
            pattern: self.pattern.clone(),
            direction,
            turn,
            stands,
            date,
            outcome,
            previous_state,
            previous_since,
            active: self.standing().active.unwrap_or_default(),
            cause: cause.clone(),
            revises: self.emitted.last_event(&(date, turn)),
        }
    }
}
