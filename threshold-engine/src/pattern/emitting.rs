//! What a pattern emits for a step.

use chrono::NaiveDate;
use evaluation::{
    machine::{Difference, Phase, Turn},
    series::{Cause, SeriesStore},
};

use super::{Crossing, Direction, Facts, PatternRun};
use crate::emission::{Emission, crossing_id};

impl PatternRun {
    /// What was emitted and is no more comes first, then what is new.
    pub(super) fn emit(
        &mut self,
        difference: &Difference,
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
            let direction = match turn {
                _ if !difference.is_news || self.emitted.knows(&(date, turn)) => Direction::Revised,
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
        let outcome = self.run.outcome_of(turn, date, store);
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
            active: self.current_state().active.unwrap_or_default(),
            cause: cause.clone(),
            revises: self.emitted.last_event(&(date, turn)),
        }
    }
}
