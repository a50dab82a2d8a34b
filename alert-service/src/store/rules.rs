use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor, types::Json};

use super::Tenant;
use crate::rule::Rule;

/// A row of `rules`.
#[derive(Debug, Clone)]
pub(crate) struct StoredRule {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) definition: Json<Rule>,
    /// `active`, `paused` or `triggered`.
    pub(crate) state: String,
    pub(crate) snoozed_until: Option<DateTime<Utc>>,
    pub(crate) version: i64,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// What a rule that is locked becomes; what is `None` stays.
#[derive(Debug, Default)]
pub(crate) struct RuleChange<'a> {
    pub(crate) definition: Option<&'a Rule>,
    pub(crate) state: Option<&'a str>,
    /// `Some(None)`: not snoozed.
    pub(crate) snoozed_until: Option<Option<DateTime<Utc>>>,
}

/// Stores a new rule.
pub(crate) async fn insert_rule(
    connection: &mut PgConnection,
    (id, tenant): (&str, &str),
    rule: &Rule,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into rules (id, tenant, kind, subject, definition, created_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $6)",
        id,
        tenant,
        rule.condition.kind(),
        rule.condition.subject(),
        Json(rule) as _,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The rules that may be about one of these patterns or models, locked against edits.
pub(crate) async fn matching_rules(
    connection: &mut PgConnection,
    kind: &str,
    subjects: &[String],
) -> Result<Vec<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", state, snoozed_until, version, created_at,
               updated_at
           from rules where kind = $1 and (subject is null or subject = any ($2)) order by id
           for no key update"#,
        kind,
        subjects,
    )
    .fetch_all(connection)
    .await
}

/// The rules of these ids, locked against edits.
pub(crate) async fn rules_of_ids(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", state, snoozed_until, version, created_at,
               updated_at
           from rules where id = any ($1) order by id for no key update"#,
        ids,
    )
    .fetch_all(connection)
    .await
}

/// A rule.
pub(crate) async fn rule(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", state, snoozed_until, version, created_at,
               updated_at
           from rules where id = $1 and ($2::text is null or tenant = $2)"#,
        id,
        tenant.name(),
    )
    .fetch_optional(database)
    .await
}

/// A rule, locked.
pub(crate) async fn lock_rule(
    connection: &mut PgConnection,
    tenant: Tenant<'_>,
    id: &str,
) -> Result<Option<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", state, snoozed_until, version, created_at,
               updated_at
           from rules where id = $1 and ($2::text is null or tenant = $2) for no key update"#,
        id,
        tenant.name(),
    )
    .fetch_optional(connection)
    .await
}

/// Which rules are wanted; all conditions hold.
#[derive(Debug, Default)]
pub(crate) struct RuleFilter<'a> {
    pub(crate) id: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    /// As it is shown.
    pub(crate) state: Option<&'a str>,
    /// A tag, with its value or with any.
    pub(crate) tag: Option<(&'a str, Option<&'a str>)>,
    /// Those with greater ids.
    pub(crate) after: Option<&'a str>,
}

/// Rules by id, with their states as people see them at a time.
pub(crate) async fn shown_rules(
    database: impl PgExecutor<'_>,
    tenant: Tenant<'_>,
    filter: &RuleFilter<'_>,
    (now, limit): (DateTime<Utc>, i64),
) -> Result<Vec<StoredRule>, sqlx::Error> {
    sqlx::query_as!(
        StoredRule,
        r#"select id, tenant, definition as "definition: Json<Rule>", rule_state(rules, $8) as "state!",
               snoozed_until, version, created_at, updated_at
           from rules
           where ($1::text is null or tenant = $1) and ($2::text is null or id = $2)
               and ($3::text is null or kind = $3) and ($4::text is null or rule_state(rules, $8) = $4)
               and ($5::text is null or definition->'tags'->>$5 = coalesce($6, definition->'tags'->>$5))
               and ($7::text is null or id > $7)
           order by id limit $9"#,
        tenant.name(),
        filter.id,
        filter.kind,
        filter.state,
        filter.tag.map(|(name, _)| name),
        filter.tag.and_then(|(_, value)| value),
        filter.after,
        now,
        limit,
    )
    .fetch_all(database)
    .await
}

/// How many rules of a tenant other than this one evaluate expressions.
pub(crate) async fn count_expressions(
    connection: &mut PgConnection,
    tenant: &str,
    other_than: Option<&str>,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from rules
           where tenant = $1 and ($2::text is null or id <> $2) and (
               kind in ('indicator', 'composite')
               or kind = 'price' and definition->'condition'->>'comparison' = 'changes_by'
           )"#,
        tenant,
        other_than,
    )
    .fetch_one(connection)
    .await
}

/// Changes a rule that is locked.
pub(crate) async fn change_rule(
    connection: &mut PgConnection,
    id: &str,
    change: &RuleChange<'_>,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rules set
             kind = coalesce($2, kind),
             subject = case when $2::text is null then subject else $3 end,
             definition = coalesce($4, definition),
             state = coalesce($5, state),
             snoozed_until = case when $6 then $7 else snoozed_until end,
             version = version + 1, updated_at = $8
         where id = $1",
        id,
        change.definition.map(|rule| rule.condition.kind()),
        change.definition.and_then(|rule| rule.condition.subject()),
        change.definition.map(Json) as _,
        change.state,
        change.snoozed_until.is_some(),
        change.snoozed_until.flatten(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A rule that notifies once has.
pub(crate) async fn set_triggered(
    connection: &mut PgConnection,
    id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update rules set state = 'triggered' where id = $1 and state = 'active'",
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes a rule that is locked.
pub(crate) async fn delete_rule(
    connection: &mut PgConnection,
    id: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from rules where id = $1", id)
        .execute(connection)
        .await?;
    Ok(())
}
