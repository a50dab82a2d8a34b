use sqlx::{PgConnection, PgExecutor, types::Json};

use crate::rule::Condition;

/// A rule that others combine.
#[derive(Debug)]
pub(crate) struct UsedRule {
    pub(crate) id: String,
    pub(crate) condition: Json<Condition>,
}

/// Those of these rules that a tenant has.
pub(crate) async fn rules_to_use(
    connection: &mut PgConnection,
    tenant: &str,
    ids: &[String],
) -> Result<Vec<UsedRule>, sqlx::Error> {
    sqlx::query_as!(
        UsedRule,
        r#"select id, definition->'condition' as "condition!: Json<Condition>" from rules
           where tenant = $1 and id = any ($2)"#,
        tenant,
        ids,
    )
    .fetch_all(connection)
    .await
}

/// Which rules these combine: pairs of a rule and one that it uses.
pub(crate) async fn uses_of(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select rule_id, used_id from rule_uses where rule_id = any ($1) order by 1, 2",
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.rule_id, row.used_id))
        .collect())
}

/// The rules that combine a rule, which nobody else begins to do until the transaction ends.
pub(crate) async fn users_of(
    connection: &mut PgConnection,
    id: &str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query!("select from rules where id = $1 for update", id)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query_scalar!(
        "select rule_id from rule_uses where used_id = $1 order by 1",
        id
    )
    .fetch_all(connection)
    .await
}

/// Records which rules a rule combines now, and that it is to be looked at.
pub(crate) async fn set_uses(
    connection: &mut PgConnection,
    id: &str,
    used: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from rule_uses where rule_id = $1", id)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "insert into rule_uses (rule_id, used_id) select $1, used from unnest($2::text[]) as used",
        id,
        used,
    )
    .execute(&mut *connection)
    .await?;
    turn_rule(connection, id).await
}

/// A rule is to be looked at.
pub(crate) async fn turn_rule(connection: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("insert into rule_turns (rule_id) values ($1)", id)
        .execute(connection)
        .await?;
    Ok(())
}

/// An alert of a rule has begun or ended: the rules that combine it are to be looked at.
pub(crate) async fn turn_users(connection: &mut PgConnection, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into rule_turns (rule_id) select rule_id from rule_uses where used_id = $1",
        id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a rule is to be looked at.
pub(crate) async fn has_rule_turns(database: impl PgExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select exists (select from rule_turns) as "exists!""#)
        .fetch_one(database)
        .await
}

/// Takes rules that are to be looked at, each once, by id.
pub(crate) async fn take_rule_turns(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let mut ids = sqlx::query_scalar!(
        "delete from rule_turns where number in (
             select number from rule_turns order by number limit $1 for update skip locked
         )
         returning rule_id",
        limit
    )
    .fetch_all(connection)
    .await?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Those of these rules that have an open alert, with their names.
pub(crate) async fn holding_rules(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select id, definition->>'name' as "name!" from rules
           where id = any ($1) and exists (
               select from alerts where rule_id = rules.id and state in ('firing', 'acknowledged')
           )
           order by id"#,
        ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.name)).collect())
}
