//! What keeps messages back, and what readers of messages do: silences, preferences, links.

pub(super) mod links;
mod page;
pub(super) mod preferences;
pub(super) mod silences;
pub(super) mod snooze;
pub(super) mod unsubscribe;

use chrono::{DateTime, Utc};

/// A year and a day.
const DAYS_AHEAD_MAX: i64 = 366;
const REASON_CHARS_MAX: usize = 2_000;

/// What is wrong with the end of something that begins at `start`.
fn end_problem(start: DateTime<Utc>, end: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let latest = now + chrono::TimeDelta::days(DAYS_AHEAD_MAX);
    match end {
        end if end <= now => Some("is in the past".to_owned()),
        end if end <= start => Some("is not after its start".to_owned()),
        end if end > latest => Some(format!("is more than {DAYS_AHEAD_MAX} days ahead")),
        _ => None,
    }
}

/// What is wrong with a text for people.
fn text_problem(text: &str, least: usize) -> Option<String> {
    let is_allowed = |c: char| !c.is_control() || c == '\n' || c == '\t';
    let fits = (least..=REASON_CHARS_MAX).contains(&text.chars().count());
    (!fits || !text.chars().all(is_allowed))
        .then(|| format!("is to have {least} to {REASON_CHARS_MAX} characters"))
}
