//! What becomes of rules whose condition is an expression.

use std::sync::Arc;

use chrono::NaiveDate;
use evaluation::{
    machine::{ConditionRun, Turn as MachineTurn},
    series::StepChanges,
};
use tracing::error;

use super::{Book, Turn, TurnKind};

impl Book {
    pub(super) fn turn_of_run(
        &self,
        run: &ConditionRun,
        rule: &Arc<str>,
        kind: TurnKind,
        date: NaiveDate,
        is_old: bool,
    ) -> Turn {
        let (value, threshold) = run.shown(date, &self.store);
        Turn {
            rule: Arc::clone(rule),
            kind,
            date,
            value,
            threshold,
            is_old,
        }
    }

    pub(super) fn turn_run(
        &mut self,
        place: usize,
        changes: &StepChanges,
        (oldest, first): (NaiveDate, NaiveDate),
        turns: &mut Vec<Turn>,
    ) {
        let Some(run) = &mut self.runs[place] else {
            return;
        };
        let last_date = run.run.steps().last().map(|step| step.date);
        let before = run.run.settled().copied();
        let finished = run.run.finish_step(&self.store, changes);
        if let Some(problem) = run.run.too_costly() {
            error!(problem, rules = ?run.rules, "a condition is not evaluated any more");
            return;
        }
        let Some(finished) = finished else { return };
        let mut kinds: Vec<(TurnKind, NaiveDate, bool)> = Vec::new();
        // First what revised values make of what was known, then what is new.
        let was_active = before.is_some_and(|state| state.phase.is_active());
        let known = last_date.and_then(|date| run.run.step_at(date).copied());
        let mut is_active = known.is_some_and(|step| step.state.phase.is_active());
        let entered = before.and_then(|state| state.entered);
        match (was_active, is_active) {
            (true, false) => {
                let entered = entered.unwrap_or(NaiveDate::MIN);
                let step = run.run.step_at(entered);
                let still_entered = step.is_some_and(|step| {
                    step.date == entered && step.turn == Some(MachineTurn::Entered)
                });
                // One that lies too far back was not revised.
                kinds.push(match still_entered || entered < first {
                    true => (
                        TurnKind::Ended,
                        known.map_or(entered, |step| step.date),
                        false,
                    ),
                    false => (TurnKind::Withdrawn, entered, false),
                });
            }
            (false, true) => {
                let entered = known.and_then(|step| step.state.entered);
                let date = entered.or(last_date).unwrap_or(oldest);
                kinds.push((TurnKind::Began, date, date < oldest));
            }
            _ => {}
        }
        let new = finished.differences.iter();
        let new = new.filter(|new| last_date.is_none_or(|last| new.date > last));
        let mut old: Option<(bool, NaiveDate)> = None;
        let mut young = Vec::new();
        for difference in new {
            let active = match difference.after {
                Some(MachineTurn::Entered) => true,
                Some(MachineTurn::Cleared) => false,
                _ => continue,
            };
            match difference.date < oldest {
                true => old = Some((active, difference.date)),
                false => young.push((active, difference.date)),
            }
        }
        let all = old.into_iter().map(|(active, date)| (active, date, true));
        for (active, date, is_old) in all.chain(young.into_iter().map(|(a, d)| (a, d, false))) {
            if active != is_active {
                is_active = active;
                let kind = match active {
                    true => TurnKind::Began,
                    false => TurnKind::Ended,
                };
                kinds.push((kind, date, is_old));
            }
        }
        let Some(run) = &self.runs[place] else { return };
        for (kind, date, is_old) in kinds {
            let turned = run
                .rules
                .iter()
                .map(|rule| self.turn_of_run(&run.run, rule, kind, date, is_old));
            turns.extend(turned);
        }
    }
}
