//! Alerts that other programs send: what they are, and what becomes of them.
//!
//! Source and fingerprint say which alert it is, and `started_at` which episode of it. So what is sent again changes
//! nothing, also after a restart, and also if somebody has resolved the alert here in the meantime.

pub(crate) mod alertmanager;

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, SubsecRound, TimeDelta, Utc};
use ring::digest::{Context as Digest, SHA256};

use crate::{
    alert::{Begun, Ending, Writer},
    emission::Cause,
    message::{TEXT_CHARS_MAX, TITLE_CHARS_MAX},
    rule::Subject,
    store::{self, StoredRule},
};

pub(crate) const LABELS_MAX: usize = 64;
pub(crate) const NAME_CHARS_MAX: usize = 100;
pub(crate) const VALUE_CHARS_MAX: usize = 1_000;
pub(crate) const FINGERPRINT_CHARS_MAX: usize = 100;
/// How far ahead the clock of whoever sends may be.
const AHEAD_MAX: TimeDelta = TimeDelta::days(1);

/// An alert as another program describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct External {
    /// Who sends it, such as `alertmanager`.
    pub(crate) source: String,
    /// Which alert it is, within its source.
    pub(crate) fingerprint: String,
    /// As it is sent; rules compare it.
    pub(crate) severity: String,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) is_firing: bool,
    /// Absent: when it arrives.
    pub(crate) started_at: Option<DateTime<Utc>>,
    /// Of one that does not fire. Absent: when it arrives.
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many alerts began.
    Begun(usize),
    /// So many alerts ended.
    Ended(usize),
    /// It changed nothing.
    Repeated,
    /// No rule wants to know of it.
    Unmatched,
}

impl Taken {
    /// As it is counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Begun(_) => "begun",
            Self::Ended(_) => "ended",
            Self::Repeated => "repeated",
            Self::Unmatched => "unmatched",
        }
    }
}

/// The fingerprint of an alert that was sent without one: 16 hexadecimal digits.
pub(crate) fn fingerprint_of(labels: &BTreeMap<String, String>) -> String {
    let mut digest = Digest::new(&SHA256);
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    let digest = digest.finish();
    let hex = |byte: &u8| format!("{byte:02x}");
    digest.as_ref().iter().take(8).map(hex).collect()
}

impl External {
    /// Everything that is wrong with it: fields and problems.
    pub(crate) fn problems(&self, now: DateTime<Utc>) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut refuse = |field: String, problem: String| problems.push((field, problem));
        for (field, text, most) in [
            ("source", &self.source, NAME_CHARS_MAX),
            ("fingerprint", &self.fingerprint, FINGERPRINT_CHARS_MAX),
            ("severity", &self.severity, NAME_CHARS_MAX),
        ] {
            if !is_name(text, most) {
                let problem =
                    format!("is to have 1 to {most} characters, none of them a control character");
                refuse(field.to_owned(), problem);
            }
        }
        for (field, text) in [("title", &self.title), ("message", &self.message)] {
            if text.contains('\0') {
                refuse(field.to_owned(), "holds a NUL character".to_owned());
            }
        }
        if self.labels.len() > LABELS_MAX {
            let problem = format!("has more than {LABELS_MAX} entries");
            refuse("labels".to_owned(), problem);
        }
        for (name, value) in &self.labels {
            if !is_name(name, NAME_CHARS_MAX) {
                let problem = format!(
                    "has the name {:?}; names have 1 to {NAME_CHARS_MAX} characters, none of them a control \
                     character",
                    atlas_events::clip(name, NAME_CHARS_MAX)
                );
                refuse("labels".to_owned(), problem);
            } else if value.chars().count() > VALUE_CHARS_MAX || value.contains('\0') {
                let problem = format!("is to have at most {VALUE_CHARS_MAX} characters");
                refuse(format!("labels.{name}"), problem);
            }
        }
        for (field, at) in [("starts_at", self.started_at), ("ends_at", self.ended_at)] {
            let Some(at) = at else { continue };
            if at.year() < 1970 || at > now + AHEAD_MAX {
                let problem = "lies before 1970 or more than a day ahead";
                refuse(field.to_owned(), problem.to_owned());
            }
        }
        problems
    }

    /// Which alert it is, among all of a rule.
    fn key(&self) -> String {
        format!("external:{}:{}", self.source, self.fingerprint)
    }

    fn subject(&self) -> Subject {
        Subject::External {
            source: self.source.clone(),
            severity: self.severity.clone(),
            labels: self.labels.clone(),
        }
    }

    /// Begins or ends alerts of a tenant, in the transaction that has its rules locked. `by` is who sends it.
    pub(crate) async fn take_in(
        &self,
        writer: &mut Writer<'_>,
        (tenant, by): (&str, &str),
        rules: &mut [StoredRule],
    ) -> Result<Taken, sqlx::Error> {
        let cause = Cause {
            by: by.to_owned(),
            ..Cause::default()
        };
        match self.is_firing {
            true => self.begin(writer, &cause, rules).await,
            false => self.end(writer, &cause, tenant).await,
        }
    }

    async fn begin(
        &self,
        writer: &mut Writer<'_>,
        cause: &Cause,
        rules: &mut [StoredRule],
    ) -> Result<Taken, sqlx::Error> {
        let (key, subject) = (self.key(), self.subject());
        // As the database keeps it, so that it can be compared.
        let started_at = self.started_at.unwrap_or(writer.now).trunc_subsecs(6);
        let begun = Begun {
            fingerprint: &key,
            severity: &self.severity,
            title: &atlas_events::clip(&self.title, TITLE_CHARS_MAX),
            message: &atlas_events::clip(&self.message, TEXT_CHARS_MAX),
            labels: &self.labels,
            started_at,
            caused_at: Some(writer.now),
            // It fires now, whenever it began.
            is_too_old: false,
            cause,
        };
        let before = writer.done.alerts.len();
        let mut is_wanted = false;
        let matching = rules
            .iter_mut()
            .filter(|rule| rule.definition.0.condition.matches(&subject));
        for rule in matching {
            is_wanted = true;
            let since = started_at;
            if !store::has_begun_since(writer.connection, &rule.id, &key, since).await? {
                writer.begin(rule, &begun).await?;
            }
        }
        Ok(match (is_wanted, writer.done.alerts.len() - before) {
            (false, _) => Taken::Unmatched,
            (true, 0) => Taken::Repeated,
            (true, count) => Taken::Begun(count),
        })
    }

    async fn end(
        &self,
        writer: &mut Writer<'_>,
        cause: &Cause,
        tenant: &str,
    ) -> Result<Taken, sqlx::Error> {
        let at = self.ended_at.unwrap_or(writer.now);
        let ending = Ending {
            is_withdrawn: false,
            at,
            caused_at: Some(writer.now),
            cause,
        };
        let key = self.key();
        let open = store::open_alerts_of_tenant(writer.connection, tenant, &key, at).await?;
        let count = open.len();
        for alert in open {
            writer.end(alert, &ending).await?;
        }
        Ok(match count {
            0 => Taken::Repeated,
            count => Taken::Ended(count),
        })
    }
}

fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn labels_that_differ_anywhere_have_other_fingerprints() {
        let all = [
            labels(&[]),
            labels(&[("a", "b")]),
            labels(&[("ab", "")]),
            labels(&[("", "ab")]),
            labels(&[("a", "b"), ("c", "d")]),
            labels(&[("a", "bcd")]),
        ];
        let found: std::collections::BTreeSet<_> = all.iter().map(fingerprint_of).collect();
        assert_eq!(found.len(), all.len(), "{found:?}");
        // SHA-256 of nothing.
        assert_eq!(fingerprint_of(&all[0]), "e3b0c44298fc1c14");
    }

    #[test]
    fn every_bound_is_refused_one_beyond_it() {
        let now: DateTime<Utc> = "2026-01-02T00:00:00Z".parse().unwrap();
        let good = External {
            source: "api".to_owned(),
            fingerprint: "f".repeat(FINGERPRINT_CHARS_MAX),
            severity: "warning".to_owned(),
            title: String::new(),
            message: String::new(),
            labels: labels(&[(&"n".repeat(NAME_CHARS_MAX), &"v".repeat(VALUE_CHARS_MAX))]),
            is_firing: true,
            started_at: Some(now + AHEAD_MAX),
            ended_at: None,
        };
        assert!(good.problems(now).is_empty(), "{:?}", good.problems(now));
        let fields = |change: fn(&mut External)| {
            let mut bad = good.clone();
            change(&mut bad);
            let problems = bad.problems(now).into_iter();
            problems.map(|(field, _)| field).collect::<Vec<_>>()
        };
        assert_eq!(fields(|bad| bad.source.clear()), ["source"]);
        assert_eq!(fields(|bad| bad.fingerprint.push('f')), ["fingerprint"]);
        assert_eq!(fields(|bad| bad.severity.push('\n')), ["severity"]);
        assert_eq!(fields(|bad| bad.title.push('\0')), ["title"]);
        let long_name = |bad: &mut External| {
            let name = "n".repeat(NAME_CHARS_MAX + 1);
            bad.labels.insert(name, String::new());
        };
        assert_eq!(fields(long_name), ["labels"]);
        let long_value = |bad: &mut External| {
            let value = "v".repeat(VALUE_CHARS_MAX + 1);
            bad.labels.insert("long".to_owned(), value);
        };
        assert_eq!(fields(long_value), ["labels.long"]);
        let many = |bad: &mut External| {
            bad.labels = (0..=LABELS_MAX)
                .map(|number| (format!("l{number}"), String::new()))
                .collect();
        };
        assert_eq!(fields(many), ["labels"]);
        let ahead = |bad: &mut External| {
            bad.started_at = bad.started_at.map(|at| at + TimeDelta::seconds(1));
        };
        assert_eq!(fields(ahead), ["starts_at"]);
        let ancient = |bad: &mut External| bad.ended_at = "1969-12-31T23:59:59Z".parse().ok();
        assert_eq!(fields(ancient), ["ends_at"]);
    }
}
