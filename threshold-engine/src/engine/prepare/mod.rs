//! Patterns that are folded beside an engine, which goes on meanwhile.

use std::sync::Arc;

use super::{Engine, failing::guarded};
use crate::{pattern::Pattern, pattern::PatternRun};
use evaluation::series::{Cause, LoadedSeries, SeriesIndex, SeriesStore, StepChanges};

/// A pattern, folded over a copy of its series.
#[derive(Clone, Debug)]
pub(crate) struct PreparedPattern {
    run: PatternRun,
    store: SeriesStore,
}

impl PreparedPattern {
    /// Folds a pattern over all that a store has. Takes its time. `None` if that fails:
    /// [`Engine::replace_pattern`] then says why.
    pub(crate) fn new(pattern: Arc<Pattern>, mut store: SeriesStore) -> Option<Self> {
        let run = guarded(|| PatternRun::new(pattern, &mut store)).ok()?;
        Some(Self { run, store })
    }

    /// The definition.
    pub(crate) fn pattern(&self) -> &Arc<Pattern> {
        self.run.pattern()
    }

    /// Folds again where the series of an engine are otherwise than those of the copy by now.
    fn bring_up(&mut self, engine: &SeriesStore) {
        let mut changes = StepChanges::default();
        let mut series: Vec<SeriesIndex> = self.run.series().to_vec();
        series.sort_unstable();
        series.dedup();
        for index in series {
            let Some(theirs) = engine.find(self.store.id(index)) else {
                continue;
            };
            let theirs = engine.shared(theirs);
            let mine = self.store.shared(index);
            if Arc::ptr_eq(&mine, &theirs) {
                continue;
            }
            for date in mine.differences(&theirs) {
                let observations = self.store.get_mut(index);
                if let Some(change) = observations.restore(date, theirs.vintage(date)) {
                    changes.add(index, change);
                    self.run.update(&self.store, index, change);
                }
            }
        }
        if changes.complete(&self.store) {
            // What is folded before the pattern runs is not emitted.
            let (store, run) = (&self.store, &mut self.run);
            run.finish_step(store, &changes, &Cause::nobody(), &mut Vec::new());
        }
        self.run.assume_all();
    }
}

impl Engine {
    /// A copy of some series, and of those that were loaded for them, as [`Engine::load_series`] would
    /// make them now. Cheap for those that the engine has: they are copied when one of the two changes.
    pub(crate) fn beside<'a>(
        &self,
        series: impl IntoIterator<Item = &'a str>,
        loaded: Vec<(Arc<str>, LoadedSeries)>,
    ) -> SeriesStore {
        let mut store = SeriesStore::default();
        for id in series {
            if let Some(index) = self.store.find(id) {
                let copy = store.keep(id);
                store.set(copy, self.store.shared(index));
            }
        }
        let reached = loaded.iter().map(|(_, series)| series.reached());
        let last = reached.max().flatten().max(self.reached);
        for (id, series) in loaded {
            let index = store.keep(&id);
            store.set(index, Arc::new(series.split(last).0));
        }
        store
    }

    /// As [`Engine::replace_pattern`] with a pattern that was folded before. The engine has its series.
    pub(crate) fn replace_by_prepared(&mut self, mut prepared: PreparedPattern) {
        let brought_up = guarded(|| prepared.bring_up(&self.store));
        if brought_up.is_err() || prepared.run.too_costly().is_some() {
            self.replace_pattern(Arc::clone(prepared.pattern()));
            return;
        }
        let PreparedPattern { mut run, store } = prepared;
        run.move_to(|index| self.store.keep(store.id(index)));
        let id = run.pattern().id.clone();
        self.put_run(run);
        self.note_readers();
        self.refold_regimes(&[id], None);
    }
}

#[cfg(test)]
mod tests;
