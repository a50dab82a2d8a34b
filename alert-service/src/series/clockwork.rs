//! Rules about the clock: times that come, and series that do not.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use schedule::Schedule;

use super::condition::{SilenceDue, Watched};

/// A time that was missed by more than this is left out.
const CATCH_UP: TimeDelta = TimeDelta::hours(1);

/// When rules are to be looked at, the first of them first.
#[derive(Debug, Default)]
struct Queue {
    due: BTreeSet<(DateTime<Utc>, Arc<str>)>,
    /// Where each rule is in `due`.
    due_of: HashMap<Arc<str>, DateTime<Utc>>,
}

impl Queue {
    fn set(&mut self, rule: &Arc<str>, at: DateTime<Utc>) {
        self.remove(rule);
        self.due_of.insert(Arc::clone(rule), at);
        self.due.insert((at, Arc::clone(rule)));
    }

    fn remove(&mut self, rule: &str) {
        if let Some((id, due)) = self.due_of.remove_entry(rule) {
            self.due.remove(&(due, id));
        }
    }

    fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.due.first().is_some_and(|(at, _)| *at <= now)
    }

    fn take(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Arc<str>)> {
        if !self.is_due(now) {
            return None;
        }
        let (at, rule) = self.due.pop_first()?;
        self.due_of.remove(&rule);
        Some((at, rule))
    }
}

/// Which rules are due when.
#[derive(Debug, Default)]
pub(crate) struct Clockwork {
    times: HashMap<Arc<str>, Schedule>,
    due_times: Queue,
    silences: HashMap<Arc<str>, Silent>,
    /// A series that was heard of meanwhile is not silent when its rule is looked at.
    due_silences: Queue,
    /// When series were heard of.
    seen: HashMap<Arc<str>, DateTime<Utc>>,
    /// Rules with an open alert, by series.
    open: BTreeMap<Arc<str>, BTreeSet<Arc<str>>>,
}

#[derive(Debug)]
struct Silent {
    series: Arc<str>,
    due: SilenceDue,
    /// Before the series was heard of, silence counts from then.
    since: DateTime<Utc>,
}

/// A rule that is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) rule: Arc<str>,
    /// The time that has come, or when the series was last heard of.
    pub(crate) at: DateTime<Utc>,
}

impl SilenceDue {
    pub(crate) fn after(&self, seen: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::After(after) => seen + *after,
            Self::Expected(schedule, grace) => schedule.next_after(seen) + *grace,
        }
    }
}

impl Clockwork {
    /// Begins to watch a rule, in place of what it was. `since`: when it was last edited.
    pub(crate) fn put(
        &mut self,
        rule: &str,
        watched: &Watched,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
    ) {
        self.remove(rule);
        let id: Arc<str> = rule.into();
        match watched {
            Watched::Times(schedule) => {
                let due = schedule.next_after(since.max(now - CATCH_UP));
                self.times.insert(Arc::clone(&id), schedule.clone());
                self.due_times.set(&id, due);
            }
            Watched::Silence { series, due } => {
                let silent = Silent {
                    series: series.as_str().into(),
                    due: due.clone(),
                    since,
                };
                let at = silent.due.after(self.last_seen(&silent));
                self.silences.insert(Arc::clone(&id), silent);
                self.due_silences.set(&id, at);
            }
            Watched::Level { .. } | Watched::Expression(_) => {}
        }
    }

    /// Ends the watching of a rule.
    pub(crate) fn remove(&mut self, rule: &str) {
        self.due_times.remove(rule);
        self.due_silences.remove(rule);
        self.times.remove(rule);
        if let Some(silent) = self.silences.remove(rule)
            && let Some(open) = self.open.get_mut(&silent.series)
        {
            open.remove(rule);
        }
    }

    fn last_seen(&self, silent: &Silent) -> DateTime<Utc> {
        let seen = self.seen.get(&silent.series).copied();
        seen.map_or(silent.since, |seen| seen.max(silent.since))
    }

    /// An alert of a silence is open.
    pub(crate) fn note_open(&mut self, rule: &str) {
        if let Some((id, silent)) = self.silences.get_key_value(rule) {
            let open = self.open.entry(Arc::clone(&silent.series)).or_default();
            open.insert(Arc::clone(id));
        }
    }

    /// A series is heard of. Gives the rules whose alerts end by that.
    pub(crate) fn hear(&mut self, series: &str, at: DateTime<Utc>) -> BTreeSet<Arc<str>> {
        match self.seen.get_mut(series) {
            Some(seen) => *seen = at.max(*seen),
            None => drop(self.seen.insert(series.into(), at)),
        }
        let Some(ended) = self.open.remove(series) else {
            return BTreeSet::new();
        };
        // They may fall silent again.
        for rule in &ended {
            if let Some(silent) = self.silences.get(rule) {
                let due = silent.due.after(self.last_seen(silent));
                self.due_silences.set(rule, due);
            }
        }
        ended
    }

    /// Rules about silences.
    pub(crate) fn silences(&self) -> Vec<String> {
        self.silences.keys().map(|rule| rule.to_string()).collect()
    }

    /// Whether a time has come.
    pub(crate) fn has_due_times(&self, now: DateTime<Utc>) -> bool {
        self.due_times.is_due(now)
    }

    /// Whether a silence may have lasted for too long.
    pub(crate) fn has_due_silences(&self, now: DateTime<Utc>) -> bool {
        self.due_silences.is_due(now)
    }

    /// The next rule whose time has come. Of several times that were missed the last is given.
    pub(crate) fn take_time(&mut self, now: DateTime<Utc>) -> Option<Due> {
        let (first, rule) = self.due_times.take(now)?;
        let schedule = self.times.get(&rule)?;
        let at = schedule.last_between(first, now).unwrap_or(first);
        let next = schedule.next_after(at);
        self.due_times.set(&rule, next);
        Some(Due { rule, at })
    }

    /// The next rule whose series has been silent for too long. It is given once, until its series is heard of again.
    pub(crate) fn take_silence(&mut self, now: DateTime<Utc>) -> Option<Due> {
        loop {
            let (_, rule) = self.due_silences.take(now)?;
            let Some(silent) = self.silences.get(&rule) else {
                continue;
            };
            let at = self.last_seen(silent);
            let due = silent.due.after(at);
            if due > now {
                self.due_silences.set(&rule, due);
                continue;
            }
            self.note_open(&rule);
            return Some(Due { rule, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-03-02T{text}Z").parse().unwrap()
    }

    fn silence(after_seconds: i64) -> Watched {
        Watched::Silence {
            series: "A".to_owned(),
            due: SilenceDue::After(TimeDelta::seconds(after_seconds)),
        }
    }

    #[test]
    fn a_silence_is_given_once_until_the_series_is_heard_of_again() {
        let mut clock = Clockwork::default();
        clock.put("r", &silence(600), at("10:00:00"), at("10:00:00"));
        assert_eq!(clock.take_silence(at("10:09:59")), None);
        assert!(clock.hear("A", at("10:05:00")).is_empty());
        assert!(clock.has_due_silences(at("10:10:00")));
        assert_eq!(clock.take_silence(at("10:10:00")), None);
        let due = clock.take_silence(at("10:15:00")).unwrap();
        assert_eq!((&*due.rule, due.at), ("r", at("10:05:00")));
        assert_eq!(clock.take_silence(at("12:00:00")), None);
        let ended = clock.hear("A", at("12:00:00"));
        assert_eq!(ended.len(), 1);
        assert!(clock.hear("A", at("12:00:01")).is_empty());
        assert!(clock.take_silence(at("12:10:01")).is_some());
        clock.remove("r");
        assert!(clock.hear("A", at("13:00:00")).is_empty());
    }

    #[test]
    fn of_missed_times_the_last_is_given_and_none_from_before_the_rule() {
        let watched = Watched::Times("*/10 * * * *".parse().unwrap());
        let mut clock = Clockwork::default();
        clock.put("r", &watched, at("10:05:00"), at("10:06:00"));
        assert_eq!(clock.take_time(at("10:09:00")), None);
        let due = clock.take_time(at("10:35:00")).unwrap();
        assert_eq!(due.at, at("10:30:00"));
        assert_eq!(clock.take_time(at("10:39:00")), None);
        // After a long time away: an hour is caught up with.
        clock.put("r", &watched, at("01:00:00"), at("23:00:00"));
        let due = clock.take_time(at("23:00:00")).unwrap();
        assert_eq!(due.at, at("23:00:00"));
    }
}
