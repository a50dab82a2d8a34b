//! Taking back points whose transaction was not committed.

use chrono::NaiveDate;

use super::Engine;
use evaluation::series::{Cause, Future, SeriesIndex, StepChanges};

/// What was before each change of an engine's state. Everything else follows from it.
#[derive(Clone, Debug)]
pub(super) struct Undo {
    reached: Option<NaiveDate>,
    observations: Vec<(SeriesIndex, NaiveDate, Option<Future>)>,
    future: Vec<(NaiveDate, SeriesIndex, Option<Future>)>,
    /// A step has begun and not ended: it panicked, and nothing is to be trusted.
    within_step: bool,
}

impl Engine {
    /// From now on steps can be taken back, until definitions change or fail, or this is called again.
    pub fn keep_undo(&mut self) {
        self.undo = Some(Undo {
            reached: self.reached,
            observations: Vec::new(),
            future: Vec::new(),
            within_step: false,
        });
        self.keep_undo_of_emitted(true);
    }

    /// What was applied since [`Self::keep_undo`] stays.
    pub fn drop_undo(&mut self) {
        self.undo = None;
        self.keep_undo_of_emitted(false);
    }

    fn keep_undo_of_emitted(&mut self, keeps: bool) {
        for run in &mut self.patterns {
            run.emitted_mut().keep_undo(keeps);
        }
        for run in &mut self.regimes {
            run.emitted_mut().keep_undo(keeps);
        }
    }

    /// Takes back all steps since [`Self::keep_undo`]: the engine is what it was then. False, and
    /// nothing is to be trusted, if that is not possible.
    pub fn undo(&mut self) -> bool {
        let Some(undo) = self.undo.take() else {
            return false;
        };
        if undo.within_step {
            return false;
        }
        let failed_before = self.failed.len();
        let mut changes = StepChanges::default();
        self.begin_refilling(undo.observations.iter().map(|(series, ..)| *series));
        for (series, date, before) in undo.observations.into_iter().rev() {
            if let Some(change) = self.store.get_mut(series).restore(date, before) {
                self.changed(series, change, &mut changes);
            }
        }
        self.refill(&changes);
        if changes.complete(&self.store) || !self.failing.is_empty() {
            // What is emitted is dropped, and the record of it is undone below.
            self.finish_step(&changes, &Cause::nobody(), &mut Vec::new());
        }
        for run in &mut self.patterns {
            run.emitted_mut().undo();
        }
        for run in &mut self.regimes {
            run.emitted_mut().undo();
        }
        for (date, series, before) in undo.future.into_iter().rev() {
            self.future.set(date, series, before);
        }
        self.reached = undo.reached;
        self.failed.len() == failed_before
    }

    pub(super) fn begin_step(&mut self) {
        if let Some(undo) = &mut self.undo {
            undo.within_step = true;
        }
    }

    pub(super) fn end_step(&mut self) {
        if let Some(undo) = &mut self.undo {
            undo.within_step = false;
        }
    }

    pub(super) fn note_observation(&mut self, series: SeriesIndex, date: NaiveDate) {
        if let Some(undo) = &mut self.undo {
            let before = self.store.get(series).vintage(date);
            undo.observations.push((series, date, before));
        }
    }

    pub(super) fn note_future(
        &mut self,
        date: NaiveDate,
        series: SeriesIndex,
        before: Option<Future>,
    ) {
        if let Some(undo) = &mut self.undo {
            undo.future.push((date, series, before));
        }
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
impl Engine {
    /// All of its state and what follows from it, for comparisons.
    pub(crate) fn facts(&self) -> String {
        use std::fmt::Write;

        let mut facts = format!("reached {:?}\n", self.reached);
        let mut future: Vec<_> = self.future.iter().collect();
        future.sort_by_key(|(date, series, _)| (*date, self.store.id(*series)));
        for (date, series, vintage) in future {
            let id = self.store.id(series);
            writeln!(facts, "future {date} {id} {vintage:?}").unwrap();
        }
        let mut ids: Vec<_> = self.store.ids().collect();
        ids.sort();
        for id in ids {
            let series = self.store.find(id).unwrap();
            let vintages = self.store.get(series).vintages();
            writeln!(facts, "series {id} {vintages:?}").unwrap();
        }
        for run in &self.patterns {
            let (pattern, emitted) = (run.pattern(), run.emitted().shared());
            let steps = run.steps();
            writeln!(
                facts,
                "{} {} {steps:?} {emitted:?}",
                pattern.id, pattern.version
            )
            .unwrap();
        }
        for run in &self.regimes {
            let (model, emitted) = (run.model(), run.emitted().shared());
            let steps = run.spells();
            writeln!(
                facts,
                "{} {} {steps:?} {emitted:?}",
                model.id, model.version
            )
            .unwrap();
        }
        facts
    }
}
