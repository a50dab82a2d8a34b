//! Rules that combine other rules: they are looked at again when an alert of one of these has begun or ended.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SecondsFormat;

use super::{
    alerts::{Occasion, end_open},
    watch::{Watch, WatchError},
};
use crate::{
    alert::{Begun, Done, Writer},
    emission::{Cause, Emissions},
    message::{TEXT_CHARS_MAX, TITLE_CHARS_MAX},
    rule::{COMBINATION, Combination, Condition},
    store::{self, StoredRule},
};

/// So many turns of rules are looked at in one transaction.
const TURNS_MAX: i64 = 1_000;

impl Watch {
    /// Looks at rules that combine others. Gives whether there may be more.
    pub(super) async fn combine(&self) -> Result<bool, WatchError> {
        if !store::has_rule_turns(&self.pool).await? {
            return Ok(false);
        }
        let mut transaction = self.pool.begin().await?;
        let ids = store::take_rule_turns(&mut transaction, TURNS_MAX).await?;
        let rules = store::rules_of_ids(&mut transaction, &ids).await?;
        let mut rules: BTreeMap<_, _> = rules
            .into_iter()
            .map(|rule| (rule.id.clone(), rule))
            .collect();
        let now = self.context.now();
        let (mut emissions, mut done) = (Emissions::default(), Done::default());
        let mut writer = Writer {
            connection: &mut transaction,
            context: &self.context,
            now,
            patience: self.patience,
            emissions: &mut emissions,
            done: &mut done,
        };
        for id in &ids {
            look_at(&mut writer, id, rules.get_mut(id)).await?;
        }
        self.commit(transaction, emissions, &done).await?;
        Ok(true)
    }
}

async fn look_at(
    writer: &mut Writer<'_>,
    id: &str,
    rule: Option<&mut StoredRule>,
) -> Result<(), sqlx::Error> {
    let cause = Cause::default();
    let occasion = Occasion {
        cause: &cause,
        at: writer.now,
        caused_at: None,
        is_too_old: false,
        oldest: chrono::NaiveDate::MIN,
    };
    let combination = rule.and_then(|rule| match rule.definition.0.condition.clone() {
        Condition::Rules(combination) => Some((rule, combination)),
        _ => None,
    });
    let Some((rule, combination)) = combination else {
        let note = "the rule was deleted, or is about something else now";
        return end_open(writer, id, note, &occasion, |of| of == COMBINATION).await;
    };
    let holding = store::holding_rules(writer.connection, &combination.rules).await?;
    let ids: BTreeSet<_> = holding.iter().map(|(id, _)| id.clone()).collect();
    if !combination.holds(&ids) {
        let note = "the rules do not hold together any more";
        return end_open(writer, id, note, &occasion, |of| of == COMBINATION).await;
    }
    let date = writer.now.to_rfc3339_opts(SecondsFormat::Secs, true);
    let labels = [("date".to_owned(), date)].into();
    let title = rule.definition.0.name.clone();
    let message = text(&combination, &holding);
    let begun = Begun {
        fingerprint: COMBINATION,
        severity: "",
        title: &atlas_events::clip(&title, TITLE_CHARS_MAX),
        message: &atlas_events::clip(&message, TEXT_CHARS_MAX),
        labels: &labels,
        started_at: writer.now,
        caused_at: None,
        is_too_old: false,
        cause: &cause,
    };
    writer.begin(rule, &begun).await
}

fn text(combination: &Combination, holding: &[(String, String)]) -> String {
    let names: Vec<_> = holding.iter().map(|(_, name)| name.as_str()).collect();
    match names.as_slice() {
        [] => "The rule does not hold.".to_owned(),
        names => format!(
            "{} of {} rules hold: {}.",
            names.len(),
            combination.rules.len(),
            names.join(", ")
        ),
    }
}
