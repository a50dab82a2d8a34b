//! What a rule and its owner's preferences do, minute by minute, written down once more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub(super) const PATTERNS: [&str; 3] = ["p", "q", "r"];
const HOUR: i64 = 60;
const DAY: i64 = 24 * HOUR;
/// Of each day, in minutes after that in which the sequence begins. Time goes in steps of 25 minutes, so that it is
/// never within minutes of these bounds although the clock of the machine goes on.
const QUIET: std::ops::Range<i64> = 64..174;

/// What becomes of messages in quiet hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    Never,
    Wait,
    Drop,
}

/// What somebody wants.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) once: bool,
    cooldown_minutes: i64,
    daily_max: usize,
    quiet: Quiet,
    hourly_max_of_channel: usize,
    daily_max_of_user: usize,
    inhibits: bool,
}

/// What a silence matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Matched {
    Pattern(&'static str),
    Warnings,
}

#[derive(Debug)]
struct Silence {
    id: String,
    matched: Matched,
    until: i64,
}

/// What is expected of the message of a beginning.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) reason: Option<&'static str>,
    pub(super) is_critical: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) settings: Settings,
    pub(super) minute: i64,
    pub(super) is_paused: bool,
    pub(super) snoozed_until: i64,
    silences: Vec<Silence>,
    /// Minutes at which it notified, by pattern.
    notified: Vec<(i64, &'static str)>,
    /// Open alerts, and whether each is critical.
    open: BTreeMap<&'static str, bool>,
    /// By pattern and episode.
    pub(super) firing: BTreeMap<(String, i64), Expected>,
    episodes: BTreeMap<&'static str, i64>,
}

impl Settings {
    /// Those of a sequence. Each of six shows something that the others do not.
    fn of(seed: u64) -> Self {
        let plain = Self {
            once: false,
            cooldown_minutes: 0,
            daily_max: usize::MAX,
            quiet: Quiet::Never,
            hourly_max_of_channel: usize::MAX,
            daily_max_of_user: usize::MAX,
            inhibits: false,
        };
        match seed % 6 {
            0 => Self {
                cooldown_minutes: HOUR,
                hourly_max_of_channel: 2,
                inhibits: true,
                ..plain
            },
            1 => Self {
                once: true,
                ..plain
            },
            2 => Self {
                quiet: Quiet::Drop,
                ..plain
            },
            3 => Self {
                daily_max: 3,
                cooldown_minutes: HOUR,
                ..plain
            },
            4 => Self {
                quiet: Quiet::Wait,
                daily_max_of_user: 4,
                ..plain
            },
            _ => Self {
                quiet: Quiet::Wait,
                hourly_max_of_channel: 3,
                inhibits: true,
                ..plain
            },
        }
    }

    pub(super) fn rule(&self) -> Value {
        let mut rule = json!({"cooldown_seconds": self.cooldown_minutes * 60, "once": self.once});
        if self.daily_max != usize::MAX {
            rule["daily_max"] = self.daily_max.into();
        }
        rule
    }

    /// Where `at` gives the time of the day of a minute.
    pub(super) fn preferences(&self, channel: &str, at: impl Fn(i64) -> String) -> Value {
        let mut preferences = json!({});
        if self.quiet != Quiet::Never {
            let choice = if self.quiet == Quiet::Wait {
                "wait"
            } else {
                "drop"
            };
            let period = json!({"from": at(QUIET.start), "to": at(QUIET.end)});
            preferences["quiet_hours"] =
                json!({"zone": "UTC", "periods": [period], "choice": choice});
        }
        if self.hourly_max_of_channel != usize::MAX {
            let limits = json!({"hourly_max": self.hourly_max_of_channel});
            preferences["channel_limits"] = json!({channel: limits});
        }
        if self.daily_max_of_user != usize::MAX {
            preferences["limits"] = json!({"daily_max": self.daily_max_of_user});
        }
        if self.inhibits {
            let one = json!({"source": ["severity=critical"], "target": ["severity=warning"]});
            preferences["inhibitions"] = json!([one]);
        }
        preferences
    }
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            settings: Settings::of(seed),
            minute: 0,
            is_paused: false,
            snoozed_until: 0,
            silences: Vec::new(),
            notified: Vec::new(),
            open: BTreeMap::new(),
            firing: BTreeMap::new(),
            episodes: BTreeMap::new(),
        }
    }

    pub(super) fn is_quiet(&self, minute: i64) -> bool {
        self.settings.quiet != Quiet::Never && QUIET.contains(&minute.rem_euclid(DAY))
    }

    pub(super) fn is_open(&self, pattern: &str) -> bool {
        self.open.contains_key(pattern)
    }

    pub(super) fn begin(&mut self, pattern: &'static str, is_critical: bool) {
        if self.open.contains_key(pattern) {
            return;
        }
        let reason = self.reason(pattern, is_critical);
        self.open.insert(pattern, is_critical);
        if reason.is_none() {
            self.notified.push((self.minute, pattern));
        }
        let episode = self.episodes.entry(pattern).or_default();
        *episode += 1;
        let expected = Expected {
            reason,
            is_critical,
        };
        self.firing.insert((pattern.to_owned(), *episode), expected);
    }

    pub(super) fn end(&mut self, pattern: &str) {
        self.open.remove(pattern);
    }

    pub(super) fn silence(&mut self, id: String, matched: Matched, until: i64) {
        let silence = Silence { id, matched, until };
        self.silences.push(silence);
    }

    /// One that holds, which does not any more.
    pub(super) fn end_silence(&mut self) -> Option<String> {
        let now = self.minute;
        let place = self.silences.iter().position(|one| now < one.until)?;
        Some(self.silences.remove(place).id)
    }

    /// The first reason that holds, in the order of the documentation.
    fn reason(&self, pattern: &'static str, is_critical: bool) -> Option<&'static str> {
        let (now, settings) = (self.minute, &self.settings);
        let since = |minutes: i64| {
            let recent = self.notified.iter();
            recent.filter(|(at, _)| *at > now - minutes).count()
        };
        let same = self.notified.iter().filter(|(_, of)| *of == pattern);
        let is_cooling = same
            .clone()
            .any(|(at, _)| now < at + settings.cooldown_minutes);
        let silenced = self.silences.iter().any(|silence| {
            now < silence.until
                && match silence.matched {
                    Matched::Pattern(of) => of == pattern,
                    Matched::Warnings => !is_critical,
                }
        });
        let explained = self.open.values().any(|is_critical| *is_critical);
        if self.is_paused {
            return Some("paused");
        }
        if settings.once && !self.notified.is_empty() {
            return Some("once");
        }
        if now < self.snoozed_until {
            return Some("snoozed");
        }
        if is_cooling {
            return Some("cooldown");
        }
        if since(DAY) >= settings.daily_max && !is_critical {
            return Some("daily_limit");
        }
        if silenced {
            return Some("silenced");
        }
        if is_critical {
            return None;
        }
        if settings.inhibits && explained {
            return Some("inhibited");
        }
        if settings.quiet == Quiet::Drop && self.is_quiet(now) {
            return Some("quiet_hours");
        }
        if since(DAY) >= settings.daily_max_of_user {
            return Some("user_limit");
        }
        if since(HOUR) >= settings.hourly_max_of_channel {
            return Some("channel_limit");
        }
        None
    }
}
