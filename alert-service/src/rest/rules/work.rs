//! What is done with rules, whoever asks over whichever interface.

use access::{Access, Scope};
use chrono::TimeDelta;
use service::rest::{Problem, ProblemKind};
use sqlx::PgTransaction;

use super::{
    combined,
    view::{RulePage, RuleUpdate, RuleView, SnoozeRequest},
};
use crate::{
    rest::{
        App,
        page::Page,
        person::{Person, checked_note},
        refusal::{absent, conflict, refuse_if_any},
    },
    rule::{Condition, Rule},
    series,
    store::{self, RuleChange, RuleFilter, StoredRule},
};

/// So many of its newest changes are shown.
const HISTORY_MAX: i64 = 100;
const SNOOZE_DAYS_MAX: i64 = 366;
/// Among so many series the nearest to an unknown one is looked for.
const NEAREST_AMONG_MAX: i64 = 50_000;

/// Which rules are listed; all conditions hold.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) kind: Option<String>,
    pub(crate) state: Option<String>,
    /// As `name` or `name=value`.
    pub(crate) tag: Option<String>,
    /// Those after this id.
    pub(crate) after: Option<String>,
    pub(crate) limit: Option<u32>,
}

/// What a switch does: the state that a rule comes to, and the name of the change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Switch {
    Pause,
    Resume,
}

/// A page of rules.
pub(crate) async fn list(app: &App, access: &Access, wanted: &Wanted) -> Result<RulePage, Problem> {
    let person = Person::of(access, Scope::AlertsRead)?;
    let page = Page::of(wanted.limit)?;
    let tag = wanted.tag.as_deref();
    let filter = RuleFilter {
        id: None,
        kind: wanted.kind.as_deref(),
        state: wanted.state.as_deref(),
        tag: tag.map(|tag| match tag.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (tag, None),
        }),
        after: wanted.after.as_deref(),
    };
    let until = (app.context.now(), page.probe());
    let rules = store::shown_rules(&app.pool, person.tenant(), &filter, until).await?;
    let (rules, next) = page.cut(rules, |one| &one.id, Into::into);
    Ok(RulePage { rules, next })
}

/// One rule, with its history.
pub(crate) async fn get(app: &App, access: &Access, id: &str) -> Result<RuleView, Problem> {
    let person = Person::of(access, Scope::AlertsRead)?;
    shown(app, &person, id).await
}

/// Stores a new rule.
pub(crate) async fn create(app: &App, access: &Access, rule: &Rule) -> Result<RuleView, Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    let now = app.context.now();
    let id = app.context.id(now).to_string();
    let mut transaction = app.pool.begin().await?;
    if rule.condition.is_over_series() {
        store::edit_series_rule(&mut transaction, &id, app.context.now()).await?;
    }
    check(app, &mut transaction, (&person.name, None), rule).await?;
    refuse_beyond_quota(app, &mut transaction, (&person.name, None), rule).await?;
    store::insert_rule(&mut transaction, (&id, &person.name), rule, now).await?;
    combine(&mut transaction, &id, [&rule.condition]).await?;
    let object = (&*person.name, "rule", &*id);
    person
        .record(&mut transaction, object, ("created", ""), now)
        .await?;
    transaction.commit().await?;
    shown(app, &person, &id).await
}

/// Changes a rule that has the version that is named.
pub(crate) async fn update(
    app: &App,
    access: &Access,
    id: &str,
    update: &RuleUpdate,
) -> Result<RuleView, Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    let (mut transaction, stored) = editing(app, &person, id).await?;
    if stored.version != update.version {
        return Err(conflict(update.version, stored.version));
    }
    let conditions = [&stored.definition.0.condition, &update.rule.condition];
    if conditions
        .iter()
        .any(|condition| condition.is_over_series())
    {
        store::edit_series_rule(&mut transaction, id, app.context.now()).await?;
    }
    let owner = (&*stored.tenant, Some(id));
    check(app, &mut transaction, owner, &update.rule).await?;
    refuse_beyond_quota(app, &mut transaction, owner, &update.rule).await?;
    if !update.rule.condition.has_duration() {
        let why = "a rule whose alerts have no duration never holds";
        combined::refuse_if_used(&mut transaction, id, why).await?;
    }
    combine(
        &mut transaction,
        id,
        [&update.rule.condition, conditions[0]],
    )
    .await?;
    let change = RuleChange {
        definition: Some(&update.rule),
        state: (stored.state == "triggered").then_some("active"),
        ..RuleChange::default()
    };
    changed(app, &person, transaction, &stored, &change, ("updated", "")).await
}

/// Deletes a rule that no other combines.
pub(crate) async fn delete(app: &App, access: &Access, id: &str) -> Result<(), Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    let (mut transaction, stored) = editing(app, &person, id).await?;
    if stored.definition.0.condition.is_over_series() {
        store::edit_series_rule(&mut transaction, id, app.context.now()).await?;
    }
    combined::refuse_if_used(&mut transaction, id, "the rule cannot be deleted").await?;
    store::delete_rule(&mut transaction, id).await?;
    if !stored.definition.0.condition.rules_used().is_empty() {
        store::turn_rule(&mut transaction, id).await?;
    }
    let what = ("deleted", &*stored.definition.0.name);
    let now = app.context.now();
    let object = (&*stored.tenant, "rule", id);
    person.record(&mut transaction, object, what, now).await?;
    transaction.commit().await?;
    Ok(())
}

/// Has a rule notify of nothing until a time.
pub(crate) async fn snooze(
    app: &App,
    access: &Access,
    id: &str,
    request: &SnoozeRequest,
) -> Result<RuleView, Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    if request.until > app.context.now() + TimeDelta::days(SNOOZE_DAYS_MAX) {
        let problem = format!("is more than {SNOOZE_DAYS_MAX} days ahead");
        return Err(Problem::field(
            ProblemKind::InvalidRequest,
            "until",
            problem,
        ));
    }
    let (transaction, stored) = locked(app, &person, id).await?;
    let change = RuleChange {
        snoozed_until: Some(Some(request.until)),
        ..RuleChange::default()
    };
    let note = checked_note(&request.note)?;
    changed(
        app,
        &person,
        transaction,
        &stored,
        &change,
        ("snoozed", &note),
    )
    .await
}

/// Pauses a rule, or ends that.
pub(crate) async fn switch(
    app: &App,
    access: &Access,
    id: &str,
    (switch, note): (Switch, &str),
) -> Result<RuleView, Problem> {
    let person = Person::of(access, Scope::AlertsWrite)?;
    let note = checked_note(note)?;
    let (transaction, stored) = locked(app, &person, id).await?;
    let (state, what, snoozed_until) = match switch {
        Switch::Pause => ("paused", "paused", None),
        // Whoever resumes means now.
        Switch::Resume => ("active", "resumed", Some(None)),
    };
    let change = RuleChange {
        state: Some(state),
        snoozed_until,
        ..RuleChange::default()
    };
    changed(app, &person, transaction, &stored, &change, (what, &note)).await
}

async fn locked<'a>(
    app: &App,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    lock(app.pool.begin().await?, person, id).await
}

/// As [`locked`], for edits of what is evaluated: those wait for each other and for batches of observations, which lock
/// the head of series before rules.
async fn editing<'a>(
    app: &App,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    let mut transaction = app.pool.begin().await?;
    store::lock_series_head(&mut transaction).await?;
    lock(transaction, person, id).await
}

async fn lock<'a>(
    mut transaction: PgTransaction<'a>,
    person: &Person,
    id: &str,
) -> Result<(PgTransaction<'a>, StoredRule), Problem> {
    let stored = store::lock_rule(&mut transaction, person.tenant(), id).await?;
    let stored = stored.ok_or_else(|| absent("rule", id))?;
    Ok((transaction, stored))
}

async fn changed(
    app: &App,
    person: &Person,
    mut transaction: PgTransaction<'_>,
    stored: &StoredRule,
    change: &RuleChange<'_>,
    what: (&str, &str),
) -> Result<RuleView, Problem> {
    let now = app.context.now();
    store::change_rule(&mut transaction, &stored.id, change, now).await?;
    let object = (&*stored.tenant, "rule", &*stored.id);
    person.record(&mut transaction, object, what, now).await?;
    transaction.commit().await?;
    shown(app, person, &stored.id).await
}

async fn shown(app: &App, person: &Person, id: &str) -> Result<RuleView, Problem> {
    let filter = RuleFilter {
        id: Some(id),
        ..RuleFilter::default()
    };
    let until = (app.context.now(), 1);
    let stored = store::shown_rules(&app.pool, person.tenant(), &filter, until).await?;
    let stored = stored.into_iter().next();
    let stored = stored.ok_or_else(|| absent("rule", id))?;
    let history = store::changes_of(&app.pool, "rule", id, HISTORY_MAX).await?;
    Ok(RuleView {
        history: history.into_iter().map(Into::into).collect(),
        ..stored.into()
    })
}

/// Records which rules a rule combines, if that may be otherwise: the first of these conditions is the new one.
async fn combine<const N: usize>(
    transaction: &mut PgTransaction<'_>,
    id: &str,
    conditions: [&Condition; N],
) -> Result<(), sqlx::Error> {
    let is_combined = conditions.iter().any(|one| !one.rules_used().is_empty());
    match is_combined {
        true => store::set_uses(transaction, id, conditions[0].rules_used()).await,
        false => Ok(()),
    }
}

/// Each expression takes time of each observation of its series, and memory.
async fn refuse_beyond_quota(
    app: &App,
    transaction: &mut PgTransaction<'_>,
    (tenant, id): (&str, Option<&str>),
    rule: &Rule,
) -> Result<(), Problem> {
    if !series::is_expression(&rule.condition) {
        return Ok(());
    }
    let count = store::count_expressions(transaction, tenant, id).await?;
    if count < i64::from(app.expressions_max) {
        return Ok(());
    }
    let detail = format!(
        "{tenant} has {count} rules with expressions already, as many as alerts.expressions_per_owner_max allows"
    );
    Err(Problem::new(ProblemKind::Conflict, detail))
}

/// What is wrong with a rule, with the channels and rules that it names: they have to be of its owner. With the id of a
/// rule that is there already.
pub(super) async fn check(
    app: &App,
    transaction: &mut PgTransaction<'_>,
    (tenant, id): (&str, Option<&str>),
    rule: &Rule,
) -> Result<(), Problem> {
    let mut problems = rule.problems();
    let (reach, days) = (series::reach_days(&rule.condition), app.history.days());
    if reach > days {
        let problem = format!(
            "its windows look back {reach} days, more than the {days} that alerts.history_years keeps"
        );
        problems.push(("condition".to_owned(), problem));
    }
    problems.extend(unknown_series(transaction, rule).await?);
    let condition = &rule.condition;
    problems.extend(combined::problems(transaction, tenant, id, condition).await?);
    let channels = store::channels_of(transaction, tenant, &rule.channels).await?;
    for (index, id) in rule.channels.iter().enumerate() {
        if !channels.iter().any(|channel| channel.id == *id) {
            let problem = format!("there is no channel {}", atlas_events::clip(id, 100));
            problems.push((format!("channels[{index}]"), problem));
        }
    }
    refuse_if_any(problems)
}

/// Series that a rule reads and of which nothing was seen yet, each with the nearest that is known.
async fn unknown_series(
    transaction: &mut PgTransaction<'_>,
    rule: &Rule,
) -> Result<Vec<(String, String)>, Problem> {
    let wanted: Vec<_> = series::series_to_be_known(&rule.condition)
        .into_iter()
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let unknown = store::unknown_series(transaction, &wanted).await?;
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let known = store::series_ids(transaction, NEAREST_AMONG_MAX).await?;
    let problems = unknown.iter().map(|id| {
        let meant = evaluation::did_you_mean(id, known.iter().map(String::as_str));
        let problem = format!(
            "nothing was seen of {} yet{meant}; set series_may_be_unknown to accept it",
            atlas_events::clip(id, 100)
        );
        ("condition.series".to_owned(), problem)
    });
    Ok(problems.collect())
}
