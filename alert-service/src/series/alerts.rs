//! From what becomes of rules over series to alerts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};

use super::{
    book::{Turn, TurnKind},
    condition::{self, Said, Watched, filled},
};
use crate::{
    alert::{Begun, Ending, Writer},
    emission::Cause,
    message::{TEXT_CHARS_MAX, TITLE_CHARS_MAX},
    store::{self, StoredRule},
};

/// Why and when alerts are begun and ended.
#[derive(Debug)]
pub(crate) struct Occasion<'a> {
    pub(crate) cause: &'a Cause,
    pub(crate) at: DateTime<Utc>,
    /// When the event was stored by its log.
    pub(crate) caused_at: Option<DateTime<Utc>>,
    /// Nothing that begins is notified: the event itself is too old.
    pub(crate) is_too_old: bool,
    /// The last date that is too old to be notified of, and one more.
    pub(crate) oldest: NaiveDate,
}

/// Begins and ends alerts.
pub(crate) async fn turn(
    writer: &mut Writer<'_>,
    turns: &[Turn],
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let ids: BTreeSet<_> = turns.iter().map(|turn| turn.rule.to_string()).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rules = store::rules_of_ids(writer.connection, &ids).await?;
    let mut rules: HashMap<_, _> = rules
        .into_iter()
        .map(|rule| (rule.id.clone(), rule))
        .collect();
    for turn in turns {
        // A rule that is deleted now has no alert open: its edit is settled first.
        let Some(rule) = rules.get_mut(&*turn.rule) else {
            continue;
        };
        let Ok(watched) = condition::watched(&rule.definition.0.condition) else {
            continue;
        };
        match turn.kind {
            TurnKind::Began => {
                let date = turn.date.to_string();
                begin(writer, rule, &watched, (turn, &date), occasion).await?;
            }
            TurnKind::Happened => {
                let date = turn.date.to_string();
                begin(writer, rule, &watched, (turn, &date), occasion).await?;
                close(writer, &turn.rule, occasion).await?;
            }
            TurnKind::Ended => end(writer, turn, &watched, occasion).await?,
            TurnKind::Withdrawn => withdraw(writer, turn, &watched, occasion).await?,
        }
    }
    Ok(())
}

fn series_text(watched: &Watched) -> String {
    let series: Vec<_> = watched.series().into_iter().collect();
    series.join(", ")
}

fn said(rule: &StoredRule, watched: &Watched, turn: &Turn, date: &str) -> Said {
    let number = |value: Option<rust_decimal::Decimal>| match value {
        Some(value) => value.round_dp(10).normalize().to_string(),
        None => "no value".to_owned(),
    };
    Said {
        rule: rule.definition.0.name.clone(),
        series: series_text(watched),
        value: number(turn.value),
        threshold: number(turn.threshold),
        date: date.to_owned(),
    }
}

/// What an alert says whose rule has no message of its own.
fn text(watched: &Watched, turn: &Turn, said: &Said) -> String {
    match watched {
        Watched::Level { series, level } => {
            format!(
                "{series} {level}: value {}.\nObserved {}.",
                said.value, said.date
            )
        }
        Watched::Expression(expression) => {
            let value = match (turn.value, turn.threshold) {
                (Some(_), Some(_)) => {
                    format!("Value {}, threshold {}.\n", said.value, said.threshold)
                }
                _ => String::new(),
            };
            format!("{}\n{value}Observed {}.", expression.when, said.date)
        }
        Watched::Times(_) => format!("Due at {}.", said.date),
        Watched::Silence { series, .. } => {
            format!("{series} has not come. Last received at {}.", said.date)
        }
    }
}

/// Begins an alert of a rule. With a date, or a time, that tells it from others.
pub(super) async fn begin(
    writer: &mut Writer<'_>,
    rule: &mut StoredRule,
    watched: &Watched,
    (turn, date): (&Turn, &str),
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let said = said(rule, watched, turn, date);
    let message = match &rule.definition.0.message {
        Some(template) => filled(template, &said),
        None => text(watched, turn, &said),
    };
    let mut labels: BTreeMap<String, String> = [("date".to_owned(), said.date)].into();
    if !said.series.is_empty() {
        labels.insert("series".to_owned(), said.series);
    }
    let title = rule.definition.0.name.clone();
    let begun = Begun {
        fingerprint: &watched.fingerprint(),
        severity: "",
        title: &atlas_events::clip(&title, TITLE_CHARS_MAX),
        message: &atlas_events::clip(&message, TEXT_CHARS_MAX),
        labels: &labels,
        started_at: occasion.at,
        caused_at: occasion.caused_at,
        is_too_old: occasion.is_too_old || turn.is_old || turn.date < occasion.oldest,
        cause: occasion.cause,
    };
    writer.begin(rule, &begun).await
}

/// Ends what has no duration: whoever is notified of it is not notified of its end.
pub(super) async fn close(
    writer: &mut Writer<'_>,
    rule: &str,
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let open = store::open_alerts_of_rules(writer.connection, &[rule.to_owned()]).await?;
    for mut alert in open {
        store::set_alert_state(writer.connection, &alert.id, "resolved", Some(occasion.at)).await?;
        let before = std::mem::replace(&mut alert.state, "resolved".to_owned());
        alert.ended_at = Some(occasion.at);
        writer.emissions.alert(&alert, &before, occasion.cause);
        writer.done.alerts.push("resolved");
        writer.record(&alert, "resolved", occasion.cause).await?;
    }
    Ok(())
}

async fn end(
    writer: &mut Writer<'_>,
    turn: &Turn,
    watched: &Watched,
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let value = turn
        .value
        .map(|value| format!("value {} ", value.normalize()));
    let note = format!(
        "the condition does not hold any more, {}of {}",
        value.unwrap_or_default(),
        turn.date
    );
    let fingerprint = watched.fingerprint();
    end_open(writer, &turn.rule, &note, occasion, |of| of == fingerprint).await
}

/// Ends the open alerts of a rule whose fingerprint is wanted.
pub(super) async fn end_open(
    writer: &mut Writer<'_>,
    rule: &str,
    note: &str,
    occasion: &Occasion<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), sqlx::Error> {
    let cause = Cause {
        note: note.to_owned(),
        ..occasion.cause.clone()
    };
    let open = store::open_alerts_of_rules(writer.connection, &[rule.to_owned()]).await?;
    for alert in open
        .into_iter()
        .filter(|alert| is_wanted(&alert.fingerprint))
    {
        let ending = Ending {
            is_withdrawn: false,
            at: occasion.at,
            caused_at: occasion.caused_at,
            cause: &cause,
        };
        writer.end(alert, &ending).await?;
    }
    Ok(())
}

/// Corrects the alert that began for a date, and ends another one that is open.
async fn withdraw(
    writer: &mut Writer<'_>,
    turn: &Turn,
    watched: &Watched,
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    let fingerprint = watched.fingerprint();
    let cause = Cause {
        note: match turn.value {
            Some(value) => format!("The value of {} is {} now.", turn.date, value.normalize()),
            None => format!("There is no value of {} any more.", turn.date),
        },
        ..occasion.cause.clone()
    };
    let key = (&*turn.rule, &*fingerprint);
    let alerts = store::alerts_of_date(writer.connection, key, &turn.date.to_string()).await?;
    // The last episode of that date: earlier ones ended by what was true then.
    if let Some(alert) = alerts.into_iter().next_back() {
        let ending = Ending {
            is_withdrawn: true,
            at: occasion.at,
            caused_at: occasion.caused_at,
            cause: &cause,
        };
        writer.end(alert, &ending).await?;
    }
    end(writer, turn, watched, occasion).await
}

/// Ends the alerts of rules whose series is not silent any more.
pub(crate) async fn end_silences(
    writer: &mut Writer<'_>,
    rules: &BTreeSet<std::sync::Arc<str>>,
    occasion: &Occasion<'_>,
) -> Result<(), sqlx::Error> {
    for rule in rules {
        end_open(writer, rule, "the series has come", occasion, |_| true).await?;
    }
    Ok(())
}
