//! Putting definitions to work and taking them away.

use std::sync::Arc;

use super::Engine;
use super::failing::{Failed, guarded};
use crate::pattern::Pattern;
use crate::pattern::PatternRun;
use crate::regime::{Regime, RegimeRun, Shift};
use evaluation::series::Cause;

impl Engine {
    /// Deploys a pattern, or a new version of one. It is evaluated over everything held without
    /// emitting anything; from the next point on it emits. A disabled one is taken away. One that cannot be
    /// evaluated changes nothing ([`Self::failed`]).
    pub fn replace_pattern(&mut self, pattern: Arc<Pattern>) {
        if !pattern.enabled {
            self.remove_pattern(&pattern.id);
            return;
        }
        let id = pattern.id.clone();
        self.put_pattern(pattern);
        self.note_readers();
        self.refold_regimes(&[id], None);
    }

    /// Takes a pattern away. False if there is none of that id.
    pub fn remove_pattern(&mut self, id: &str) -> bool {
        let Ok(place) = self.place_of_pattern(id) else {
            return false;
        };
        self.undo = None;
        self.patterns.remove(place);
        self.note_readers();
        self.refold_regimes(&[id.to_owned()], None);
        true
    }

    /// Puts a model of regimes, or a new version of one, to work, silently as with patterns.
    pub fn replace_regime(&mut self, regime: Arc<Regime>) {
        self.put_regime(regime);
        self.note_readers();
    }

    /// Takes a model away. False if there is none of that id.
    pub fn remove_regime(&mut self, id: &str) -> bool {
        self.undo = None;
        let before = self.regimes.len();
        self.regimes.retain(|run| run.model().id != id);
        before > self.regimes.len()
    }

    pub(super) fn place_of_pattern(&self, id: &str) -> Result<usize, usize> {
        self.patterns
            .binary_search_by(|run| run.pattern().id.as_str().cmp(id))
    }

    pub(super) fn put_pattern(&mut self, pattern: Arc<Pattern>) {
        let put = Arc::clone(&pattern);
        match guarded(|| PatternRun::new(put, &mut self.store)) {
            Ok(run) => self.put_run(run),
            Err(reason) => self.failed.push(Failed::put_pattern(&pattern, reason)),
        }
    }

    pub(super) fn put_run(&mut self, mut run: PatternRun) {
        self.undo = None;
        match self.place_of_pattern(&run.pattern().id) {
            Ok(place) => {
                run.take_over_from(&self.patterns[place]);
                self.patterns[place] = run;
            }
            Err(place) => self.patterns.insert(place, run),
        }
    }

    pub(super) fn put_regime(&mut self, regime: Arc<Regime>) {
        let place = self.place_of_regime(&regime.id);
        let put = Arc::clone(&regime);
        let fold = || RegimeRun::new(put, &mut self.store, &self.patterns);
        let mut run = match guarded(fold) {
            Ok(run) => run,
            Err(reason) => {
                self.failed.push(Failed::put_regime(&regime, reason));
                return;
            }
        };
        self.undo = None;
        match place {
            Ok(place) => {
                run.take_over_from(&self.regimes[place]);
                self.regimes[place] = run;
            }
            Err(place) => self.regimes.insert(place, run),
        }
    }

    /// Folds the models anew that ask for any of some patterns. One that fails by that is taken away.
    pub(super) fn refold_regimes(
        &mut self,
        pattern_ids: &[String],
        cause: Option<&Cause>,
    ) -> Vec<Shift> {
        let asks = |run: &RegimeRun| {
            let asked = &run.model().patterns;
            pattern_ids.iter().any(|id| asked.contains(id))
        };
        let mut shifts = Vec::new();
        for place in (0..self.regimes.len()).rev() {
            if !asks(&self.regimes[place]) {
                continue;
            }
            self.undo = None;
            let model = self.regimes[place].model().clone();
            let fold = || RegimeRun::new(model, &mut self.store, &self.patterns);
            match guarded(fold) {
                Ok(mut run) => {
                    let before = &self.regimes[place];
                    run.take_over_from(before);
                    shifts.extend(run.shift_from(&before.settled(), self.world()));
                    self.regimes[place] = run;
                }
                Err(reason) => {
                    let run = self.regimes.remove(place);
                    self.failed.push(Failed::of_regime(&run, reason, cause));
                }
            }
        }
        shifts.reverse();
        shifts
    }

    pub(super) fn note_readers(&mut self) {
        self.readers = vec![Vec::new(); self.store.ids().count()];
        for (place, run) in self.patterns.iter().enumerate() {
            for series in run.series() {
                let readers = &mut self.readers[series.0];
                if readers.last() != Some(&place) {
                    readers.push(place);
                }
            }
        }
    }
}
