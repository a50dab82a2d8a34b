use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::calendar::{BusinessCalendar, Hold, Term};

/// At most this many dates in an "n of m".
pub const RECENT_MAX: u8 = 64;

/// When a pattern enters and clears, given at which dates its condition holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The condition has to have held for so long before the pattern is active.
    #[serde(rename = "for")]
    pub hold: Option<Hold>,
    /// The clear condition has to have held for so long before the pattern is normal again.
    pub keep_for: Option<Hold>,
    /// After a clear the pattern does not become active for so long.
    pub cooldown: Option<Term>,
    /// The condition counts as holding if it held at n of the last m observations.
    pub n_of_m: Option<[u8; 2]>,
    /// What becomes of the pattern at a date without data.
    #[serde(skip_serializing_if = "OnNoData::is_keep")]
    pub on_no_data: OnNoData,
    /// Which days are business days. Present if one of the times above counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business: Option<BusinessCalendar>,
}

/// What becomes of a pattern at a date for which its condition has no data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnNoData {
    /// It stays what it was.
    #[default]
    Keep,
    /// It clears if it is active, and is no longer pending.
    Clear,
    /// It stays what it was, and it is emitted that there are no data, and when there are again.
    Emit,
}

impl OnNoData {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    fn is_keep(&self) -> bool {
        *self == Self::Keep
    }
}

/// Where a pattern stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The condition does not hold.
    Normal,
    /// It holds, but not for long enough, or within the cooldown.
    Pending,
    /// It held for long enough.
    Active,
    /// Active still; the clear condition holds, but not for long enough.
    Recovering,
}

impl Phase {
    /// Whether the pattern counts as active.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Active | Self::Recovering)
    }

    /// "normal", "pending", "active", "recovering".
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Recovering => "recovering",
        }
    }
}

/// A crossing as the fold makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The pattern became active.
    Entered,
    /// It became normal.
    Cleared,
    /// There are no data any more. Of patterns for which that is emitted.
    NoData,
    /// There are data again, and it neither entered nor cleared.
    Data,
}

impl Turn {
    /// "entered", "cleared", "no_data", "data".
    pub fn name(self) -> &'static str {
        match self {
            Self::Entered => "entered",
            Self::Cleared => "cleared",
            Self::NoData => "no_data",
            Self::Data => "data",
        }
    }
}

/// A time for which a pattern was active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spell {
    /// First date.
    pub entered: NaiveDate,
    /// The date at which it was normal again; absent: it lasts.
    pub cleared: Option<NaiveDate>,
}

/// Everything that the fold carries from one evaluated date to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Where the pattern stands.
    pub phase: Phase,
    /// The evaluated date from which on it has stood there.
    pub since: NaiveDate,
    /// Since when it has been active, while it is.
    pub entered: Option<NaiveDate>,
    /// When it last cleared.
    pub cleared: Option<NaiveDate>,
    /// There is no data. The phase stays what it was.
    pub no_data: bool,
    /// There were data before. Only of a pattern that emits when they end.
    had_data: bool,
    /// Observations in a pending or recovering phase.
    count: u32,
    /// Whether the condition held at the last observations, the latest in the lowest bit.
    recent: u64,
    recent_count: u8,
}

/// What the conditions are at a date; `None` is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signals {
    pub(crate) when: Option<bool>,
    /// Absent if the pattern has no clear condition of its own.
    pub(crate) clear: Option<Option<bool>>,
    /// Whether the date is an observation for numbers of observations that `when` is to hold at.
    pub(crate) when_counts: bool,
    /// Likewise for the condition that clears.
    pub(crate) clear_counts: bool,
}

impl Signals {
    /// Before anything was looked at.
    pub(crate) const NONE: Self = Self {
        when: None,
        clear: None,
        when_counts: false,
        clear_counts: false,
    };
}

impl State {
    /// Before anything was evaluated.
    pub fn initial(date: NaiveDate) -> Self {
        Self {
            phase: Phase::Normal,
            since: date,
            entered: None,
            cleared: None,
            no_data: false,
            had_data: false,
            count: 0,
            recent: 0,
            recent_count: 0,
        }
    }

    /// The first date at which time alone can end the phase: the end of `for`, `keep_for` or the
    /// cooldown where it is by the calendar. `None`: whenever the next observation comes.
    pub fn earliest_change(&self, rule: &Rule) -> Option<NaiveDate> {
        let held = |hold: Option<Hold>| match hold {
            Some(Hold::Term(term)) => Some(rule.after(term, self.since)),
            _ => None,
        };
        match self.phase {
            Phase::Normal => self.cooled(rule),
            Phase::Pending => held(rule.hold).max(self.cooled(rule)),
            Phase::Active => None,
            Phase::Recovering => held(rule.keep_for),
        }
    }

    fn cooled(&self, rule: &Rule) -> Option<NaiveDate> {
        Some(rule.after(rule.cooldown?, self.cleared?))
    }
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// `for` has no length.
    #[error("nothing lasts for no time: leave it out")]
    NoHold,
    /// `keep_for` has no length.
    #[error("nothing lasts for no time: leave it out")]
    NoKeepFor,
    /// `n_of_m` is out of range.
    #[error("n_of_m = [{0}, {1}] is not 1 <= n <= m <= {RECENT_MAX}")]
    NOfM(u8, u8),
}

impl Rule {
    /// Whether all times and numbers are within their bounds.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn check(&self) -> Result<(), RuleError> {
        let is_zero = |hold: Option<Hold>| match hold {
            None => false,
            Some(Hold::Count(count)) => count == 0,
            Some(Hold::Term(term)) => term.is_zero(),
        };
        if is_zero(self.hold) {
            return Err(RuleError::NoHold);
        }
        if is_zero(self.keep_for) {
            return Err(RuleError::NoKeepFor);
        }
        match self.n_of_m {
            Some([n, m]) if n == 0 || n > m || m > RECENT_MAX => Err(RuleError::NOfM(n, m)),
            _ => Ok(()),
        }
    }

    /// With the business days that its times are counted in, if any is.
    pub fn with_business(mut self, calendar: BusinessCalendar) -> Self {
        let cooldown = self.cooldown.map(Hold::Term);
        let mut holds = [self.hold, self.keep_for, cooldown].into_iter().flatten();
        let counts_business = holds.any(|hold| matches!(hold, Hold::Term(Term::Business(_))));
        self.business = counts_business.then_some(calendar);
        self
    }

    /// The first date at which a time that begins at `date` is over.
    fn after(&self, term: Term, date: NaiveDate) -> NaiveDate {
        match &self.business {
            Some(calendar) => term.after(date, calendar),
            None => term.after(date, &BusinessCalendar::default()),
        }
    }

    fn reached(&self, needed: Option<Hold>, state: &State, date: NaiveDate) -> bool {
        match needed {
            None => true,
            Some(Hold::Count(count)) => state.count >= count,
            Some(Hold::Term(term)) => self.after(term, state.since) <= date,
        }
    }

    /// One evaluated date.
    pub(crate) fn step(
        &self,
        before: State,
        date: NaiveDate,
        signals: Signals,
    ) -> (State, Option<Turn>) {
        let mut state = before;
        let when = signals.when.map(|holds| match self.n_of_m {
            Some(n_of_m) => recently(n_of_m, &mut state, holds, signals.when_counts),
            None => holds,
        });
        let moved = if state.phase.is_active() {
            let clear = signals.clear.unwrap_or(when.map(|holds| !holds));
            let counts = signals.clear_counts;
            clear.map(|clear| self.while_active(&mut state, date, clear, counts))
        } else {
            let counts = signals.when_counts;
            when.map(|holds| self.while_normal(&mut state, date, holds, counts))
        };
        state.no_data = moved.is_none();
        let turn = match moved {
            Some(turn) => {
                let is_back = before.no_data && before.had_data;
                state.had_data = self.on_no_data == OnNoData::Emit;
                turn.or(is_back.then_some(Turn::Data))
            }
            None => self.without_data(before, &mut state, date),
        };
        (state, turn)
    }

    fn without_data(&self, before: State, state: &mut State, date: NaiveDate) -> Option<Turn> {
        match self.on_no_data {
            OnNoData::Keep => None,
            OnNoData::Emit => (before.had_data && !before.no_data).then_some(Turn::NoData),
            OnNoData::Clear if state.phase.is_active() => {
                self.clear(state, date);
                Some(Turn::Cleared)
            }
            OnNoData::Clear => {
                if state.phase == Phase::Pending {
                    state.enter(Phase::Normal, date);
                }
                None
            }
        }
    }

    fn clear(&self, state: &mut State, date: NaiveDate) {
        state.enter(Phase::Normal, date);
        state.entered = None;
        state.cleared = self.cooldown.map(|_| date);
    }

    fn while_normal(
        &self,
        state: &mut State,
        date: NaiveDate,
        holds: bool,
        counts: bool,
    ) -> Option<Turn> {
        if !holds {
            if state.phase != Phase::Normal {
                state.enter(Phase::Normal, date);
            }
            return None;
        }
        let mut next = *state;
        if next.phase == Phase::Normal {
            next.enter(Phase::Pending, date);
        }
        next.count = next.count.saturating_add(u32::from(counts));
        let cooled = next.cooled(self).is_none_or(|end| date >= end);
        *state = next;
        if !cooled || !self.reached(self.hold, &next, date) {
            return None;
        }
        state.enter(Phase::Active, date);
        state.entered = Some(date);
        Some(Turn::Entered)
    }

    fn while_active(
        &self,
        state: &mut State,
        date: NaiveDate,
        clear: bool,
        counts: bool,
    ) -> Option<Turn> {
        if !clear {
            if state.phase == Phase::Recovering {
                state.enter(Phase::Active, state.entered.unwrap_or(date));
            }
            return None;
        }
        if state.phase == Phase::Active {
            state.enter(Phase::Recovering, date);
        }
        state.count = state.count.saturating_add(u32::from(counts));
        if !self.reached(self.keep_for, state, date) {
            return None;
        }
        self.clear(state, date);
        Some(Turn::Cleared)
    }
}

impl State {
    fn enter(&mut self, phase: Phase, since: NaiveDate) {
        self.phase = phase;
        self.since = since;
        self.count = 0;
    }
}

/// Whether the condition held at n of the last m observations; one that does not count is none of them.
fn recently([n, m]: [u8; 2], state: &mut State, holds: bool, counts: bool) -> bool {
    if counts {
        let kept = u64::MAX >> (64 - u32::from(m.clamp(1, RECENT_MAX)));
        state.recent = (state.recent << 1 | u64::from(holds)) & kept;
        state.recent_count = (state.recent_count + 1).min(m);
    }
    state.recent.count_ones() >= u32::from(n)
}

#[cfg(test)]
mod tests;
