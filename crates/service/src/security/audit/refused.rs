//! How many refused administrative calls are recorded: whoever is refused without end must not fill the
//! audit log.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long the numbers below hold.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);
/// So many refused calls of one caller are recorded in a window.
const RECORDED_OF_ONE_MAX: u64 = 60;
/// So many of all callers together.
const RECORDED_MAX: u64 = 600;
/// So many callers are counted apart; the others count as one.
const CALLERS_MAX: usize = 1_024;
const OTHERS: &str = "others";

/// Counts the refused calls of a window.
#[derive(Debug, Default)]
pub(crate) struct Refused(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    recorded: u64,
    by_caller: HashMap<String, Count>,
}

#[derive(Debug, Default)]
struct Count {
    recorded: u64,
    left_out: u64,
}

/// What was left out in a window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// How many calls.
    pub(crate) calls: u64,
    /// Of how many callers.
    pub(crate) callers: usize,
    /// Whose were the most.
    pub(crate) most_of: String,
}

impl Refused {
    /// Whether a refused call of a caller is to be recorded. If not, it is counted.
    pub(crate) fn admit(&self, caller: &str) -> bool {
        let mut window = self.window();
        let is_known = window.by_caller.contains_key(caller);
        let caller = match !is_known && window.by_caller.len() >= CALLERS_MAX {
            true => OTHERS,
            false => caller,
        };
        let is_room = window.recorded < RECORDED_MAX;
        let count = window.by_caller.entry(caller.to_owned()).or_default();
        let is_admitted = is_room && count.recorded < RECORDED_OF_ONE_MAX;
        match is_admitted {
            true => count.recorded += 1,
            false => count.left_out += 1,
        }
        window.recorded += u64::from(is_admitted);
        is_admitted
    }

    /// Begins another window. What was left out in the one before, if anything.
    pub(crate) fn begin_window(&self) -> Option<LeftOut> {
        let ended = std::mem::take(&mut *self.window());
        let left_out = ended.by_caller.into_iter();
        let mut left_out: Vec<_> = left_out
            .map(|(caller, count)| (count.left_out, caller))
            .filter(|(left_out, _)| *left_out > 0)
            .collect();
        let calls = left_out.iter().map(|(left_out, _)| left_out).sum();
        let callers = left_out.len();
        left_out.sort();
        let (_, most_of) = left_out.pop()?;
        Some(LeftOut {
            calls,
            callers,
            most_of,
        })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(refused: &Refused, caller: &str, calls: u64) -> u64 {
        (0..calls).map(|_| u64::from(refused.admit(caller))).sum()
    }

    #[test]
    fn a_caller_has_a_rate_and_all_have_one() {
        let refused = Refused::default();
        assert_eq!(admitted(&refused, "a", 100), RECORDED_OF_ONE_MAX);
        assert_eq!(admitted(&refused, "b", 70), RECORDED_OF_ONE_MAX);
        assert_eq!(admitted(&refused, "c", 7), 7);
        let left_out = LeftOut {
            calls: 50,
            callers: 2,
            most_of: "a".to_owned(),
        };
        assert_eq!(refused.begin_window(), Some(left_out));
        assert_eq!(refused.begin_window(), None);
        assert!(refused.admit("a"));
        // Many callers.
        let each = (0..5_000).map(|n| admitted(&refused, &n.to_string(), 2));
        assert_eq!(each.sum::<u64>(), RECORDED_MAX - 1);
        assert!(refused.window().by_caller.len() <= CALLERS_MAX + 1);
        let left_out = refused.begin_window().unwrap();
        assert_eq!(left_out.calls, 10_000 - (RECORDED_MAX - 1));
        assert_eq!(left_out.most_of, OTHERS);
    }
}
