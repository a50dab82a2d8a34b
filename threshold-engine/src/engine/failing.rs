//! A definition that fails does not take others, or the data, with it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::current_state::CurrentState;
use crate::definition::Kind;
use crate::pattern::Pattern;
use crate::pattern::PatternRun;
use crate::regime::{Regime, RegimeRun, Shift};
use evaluation::series::Cause;

/// A definition could not be evaluated, and was taken away by that.
#[derive(Clone, Debug)]
pub struct Failed {
    /// What it is of.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its title.
    pub name: String,
    /// Hash of it.
    pub version: String,
    /// The series that a pattern reads, each once.
    pub series: Vec<String>,
    /// Why it cannot be evaluated, for people.
    pub reason: String,
    /// What it was before; absent if it was to be evaluated for the first time.
    pub before: Option<CurrentState>,
    /// The last point of the step that it failed at; absent if it failed over what was known already.
    pub cause: Option<Cause>,
    /// The regimes that are others without it.
    pub shifts: Vec<Shift>,
}

impl Failed {
    /// A pattern that could not be deployed.
    pub(crate) fn put_pattern(pattern: &Pattern, reason: String) -> Self {
        Self {
            kind: Kind::Pattern,
            id: pattern.id.clone(),
            name: pattern.name.clone(),
            version: pattern.version.clone(),
            series: pattern.series_ids(),
            reason,
            before: None,
            cause: None,
            shifts: Vec::new(),
        }
    }

    /// A model that could not be deployed.
    pub(crate) fn put_regime(model: &Regime, reason: String) -> Self {
        Self {
            kind: Kind::Regime,
            id: model.id.clone(),
            name: model.name.clone(),
            version: model.version.clone(),
            series: Vec::new(),
            reason,
            before: None,
            cause: None,
            shifts: Vec::new(),
        }
    }

    pub(super) fn of_pattern(run: &PatternRun, reason: String, cause: Option<&Cause>) -> Self {
        Self {
            before: Some(run.settled()),
            cause: cause.cloned(),
            ..Self::put_pattern(run.pattern(), reason)
        }
    }

    pub(super) fn of_regime(run: &RegimeRun, reason: String, cause: Option<&Cause>) -> Self {
        Self {
            before: Some(run.settled()),
            cause: cause.cloned(),
            ..Self::put_regime(run.model(), reason)
        }
    }
}

/// The definitions that failed in the step at hand, by their place, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Failing(BTreeMap<(Kind, usize), String>);

impl Failing {
    /// Does some work for a definition, unless it has failed before.
    pub(super) fn guard<T>(
        &mut self,
        kind: Kind,
        place: usize,
        work: impl FnOnce() -> T,
    ) -> Option<T> {
        if !self.0.is_empty() && self.0.contains_key(&(kind, place)) {
            return None;
        }
        let done = guarded(work);
        done.map_err(|reason| self.0.insert((kind, place), reason))
            .ok()
    }

    /// Whether there is no reason why a definition fails.
    pub(super) fn accept(&mut self, kind: Kind, place: usize, reason: Option<String>) -> bool {
        match reason {
            None => true,
            Some(reason) => {
                self.0.insert((kind, place), reason);
                false
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those of a kind, the last place first, to be failing no more.
    pub(super) fn take(&mut self, kind: Kind) -> Vec<(usize, String)> {
        let mut taken = Vec::new();
        self.0.retain(|(of, place), reason| {
            if *of == kind {
                taken.push((*place, std::mem::take(reason)));
            }
            *of != kind
        });
        taken.reverse();
        taken
    }
}

/// At most this many characters of what a panic says.
const MESSAGE_CHARS_MAX: usize = 500;

/// Does some work; a panic is why it could not be done.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // Whatever it leaves half done is dropped.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message: String = message(&*panic)
            .chars()
            .filter(|c| !c.is_control())
            .take(MESSAGE_CHARS_MAX)
            .collect();
        format!("the program has a defect that shows in this definition: {message}")
    })
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_fails_one_definition_once_and_no_other() {
        let mut failing = Failing::default();
        let pattern = Kind::Pattern;
        assert_eq!(failing.guard(pattern, 1, || 7), Some(7));
        let panics: Option<()> = failing.guard(pattern, 3, || panic!("no {}", "way"));
        assert_eq!(panics, None);
        assert_eq!(failing.guard(pattern, 3, || 7), None, "it is left alone");
        assert_eq!(failing.guard(pattern, 4, || 7), Some(7));
        assert_eq!(failing.guard(Kind::Regime, 3, || 7), Some(7));
        assert!(!failing.accept(pattern, 4, Some("too costly".to_owned())));
        let taken = failing.take(pattern);
        assert_eq!(taken[0], (4, "too costly".to_owned()));
        assert_eq!(taken[1].0, 3);
        assert!(taken[1].1.ends_with("definition: no way"), "{taken:?}");
        assert!(failing.is_empty());
    }
}
