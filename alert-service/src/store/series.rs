use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use sqlx::{PgConnection, PgExecutor, PgPool, types::Json};

use crate::rule::Condition;

/// Where points and edits of rules over series stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SeriesHead {
    /// Number of the last batch of points; 0 before the first.
    pub(crate) sequence: i64,
    /// Number of the last edit of a rule over series.
    pub(crate) edit: i64,
    /// Up to which edit alerts were begun and ended for what rules have become.
    pub(crate) settled_edit: i64,
    /// The transaction that was the last to move it for points. One that was rolled back never shows.
    pub(crate) changed_by: i64,
    /// Up to this one edits are not stored any more.
    pub(crate) forgotten_edit: i64,
}

/// What is in force for a date of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredPoint {
    pub(crate) series_id: String,
    pub(crate) date: NaiveDate,
    pub(crate) known_from: DateTime<Utc>,
    /// `None`: it is withdrawn.
    pub(crate) value: Option<Decimal>,
}

/// A row of `watched_series`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredSeries {
    pub(crate) id: String,
    /// The last date that is looked at.
    pub(crate) reached: NaiveDate,
    /// When it was last heard of.
    pub(crate) seen_at: DateTime<Utc>,
}

/// A rule over series: as much of it as is needed to evaluate it.
#[derive(Debug)]
pub(crate) struct WatchedRule {
    pub(crate) id: String,
    pub(crate) condition: Json<Condition>,
    pub(crate) updated_at: DateTime<Utc>,
}

/// Where things stand now.
pub(crate) async fn series_head(database: impl PgExecutor<'_>) -> Result<SeriesHead, sqlx::Error> {
    sqlx::query_as!(
        SeriesHead,
        "select sequence, edit, settled_edit, changed_by, forgotten_edit from series_head"
    )
    .fetch_one(database)
    .await
}

/// Where things stand; nobody else moves it until the transaction ends.
pub(crate) async fn lock_series_head(
    connection: &mut PgConnection,
) -> Result<SeriesHead, sqlx::Error> {
    sqlx::query_as!(
        SeriesHead,
        "select sequence, edit, settled_edit, changed_by, forgotten_edit from series_head for update"
    )
    .fetch_one(connection)
    .await
}

/// Moves it in the name of this transaction, which holds its lock. All edits are settled.
pub(crate) async fn move_series_head(
    connection: &mut PgConnection,
    sequence: i64,
) -> Result<SeriesHead, sqlx::Error> {
    sqlx::query_as!(
        SeriesHead,
        "update series_head set sequence = $1, settled_edit = edit,
             changed_by = pg_current_xact_id()::text::bigint
         returning sequence, edit, settled_edit, changed_by, forgotten_edit",
        sequence
    )
    .fetch_one(connection)
    .await
}

/// Whether a transaction was committed. `None` is said of one that is long past, which was.
pub(crate) async fn was_committed(
    connection: &mut PgConnection,
    transaction: i64,
) -> Result<bool, sqlx::Error> {
    if transaction == 0 {
        return Ok(true);
    }
    let status = sqlx::query_scalar!(
        r#"select pg_xact_status($1::bigint::text::xid8) as "status""#,
        transaction
    )
    .fetch_one(connection)
    .await?;
    Ok(status.is_none_or(|status| status == "committed"))
}

/// Orders what follows in this transaction against points and other edits, and records that a rule is edited. To be
/// called before the row of the rule is locked.
pub(crate) async fn edit_series_rule(
    connection: &mut PgConnection,
    rule_id: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with moved as (update series_head set edit = edit + 1 returning edit)
         insert into rule_edits (edit, rule_id, edited_at) select edit, $1, $2 from moved",
        rule_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Rules that were edited after an edit, each once.
pub(crate) async fn edited_rules(
    connection: &mut PgConnection,
    after: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select distinct rule_id from rule_edits where edit > $1 order by rule_id",
        after
    )
    .fetch_all(connection)
    .await
}

/// All rules over series, or those of these ids.
pub(crate) async fn watched_rules(
    connection: &mut PgConnection,
    ids: Option<&[String]>,
) -> Result<Vec<WatchedRule>, sqlx::Error> {
    sqlx::query_as!(
        WatchedRule,
        r#"select id, definition->'condition' as "condition!: Json<Condition>", updated_at from rules
           where kind in ('price', 'indicator', 'composite', 'time', 'no_data')
               and ($1::text[] is null or id = any ($1))
           order by id"#,
        ids
    )
    .fetch_all(connection)
    .await
}

/// Stores points with a number. A date keeps a vintage that is newer.
pub(crate) async fn store_points(
    connection: &mut PgConnection,
    sequence: i64,
    points: &[StoredPoint],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = points.iter().map(|p| p.series_id.clone()).collect();
    let dates: Vec<_> = points.iter().map(|p| p.date).collect();
    let known_from: Vec<_> = points.iter().map(|p| p.known_from).collect();
    let values: Vec<_> = points.iter().map(|p| p.value).collect();
    sqlx::query!(
        "insert into watched_points (series_id, date, known_from, value, sequence)
         select p.series_id, p.date, p.known_from, p.value, $1
         from unnest($2::text[], $3::date[], $4::timestamptz[], $5::numeric[])
             as p (series_id, date, known_from, value)
         on conflict (series_id, date) do update
         set known_from = excluded.known_from, value = excluded.value, sequence = excluded.sequence
         where watched_points.known_from <= excluded.known_from",
        sequence,
        &ids,
        &dates,
        &known_from,
        &values as _,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Records up to which date series are looked at, and that they were heard of.
pub(crate) async fn store_series(
    connection: &mut PgConnection,
    sequence: i64,
    series: &[StoredSeries],
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = series.iter().map(|s| s.id.clone()).collect();
    let reached: Vec<_> = series.iter().map(|s| s.reached).collect();
    let seen_at: Vec<_> = series.iter().map(|s| s.seen_at).collect();
    sqlx::query!(
        "insert into watched_series (id, reached, seen_at, sequence)
         select s.id, s.reached, s.seen_at, $1
         from unnest($2::text[], $3::date[], $4::timestamptz[]) as s (id, reached, seen_at)
         on conflict (id) do update
         set reached = greatest(watched_series.reached, excluded.reached),
             seen_at = greatest(watched_series.seen_at, excluded.seen_at), sequence = excluded.sequence",
        sequence,
        &ids,
        &reached,
        &seen_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Series that were written after a number.
pub(crate) async fn series_after(
    connection: &mut PgConnection,
    sequence: i64,
) -> Result<Vec<StoredSeries>, sqlx::Error> {
    sqlx::query_as!(
        StoredSeries,
        "select id, reached, seen_at from watched_series where sequence > $1 order by id",
        sequence
    )
    .fetch_all(connection)
    .await
}

/// Those of these series that are known.
pub(crate) async fn series_of_ids(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<StoredSeries>, sqlx::Error> {
    sqlx::query_as!(
        StoredSeries,
        "select id, reached, seen_at from watched_series where id = any ($1)",
        ids
    )
    .fetch_all(connection)
    .await
}

/// Which of these series are not known.
pub(crate) async fn unknown_series(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select wanted as "id!" from unnest($1::text[]) as wanted
           where not exists (select from watched_series where id = wanted)"#,
        ids
    )
    .fetch_all(connection)
    .await
}

/// Ids of series, of which the nearest to a name is looked for.
pub(crate) async fn series_ids(
    connection: &mut PgConnection,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select id from watched_series order by id limit $1", limit)
        .fetch_all(connection)
        .await
}

/// Points that were written after a number.
pub(crate) async fn points_after(
    connection: &mut PgConnection,
    sequence: i64,
) -> Result<Vec<StoredPoint>, sqlx::Error> {
    sqlx::query_as!(
        StoredPoint,
        "select series_id, date, known_from, value from watched_points where sequence > $1
         order by series_id, date",
        sequence
    )
    .fetch_all(connection)
    .await
}

/// Of each of these series the last points, by date; those that are withdrawn count.
pub(crate) async fn last_points(
    connection: &mut PgConnection,
    ids: &[String],
    of_each: i64,
) -> Result<Vec<StoredPoint>, sqlx::Error> {
    sqlx::query_as!(
        StoredPoint,
        r#"select p.series_id as "series_id!", p.date as "date!", p.known_from as "known_from!", p.value
           from unnest($1::text[]) as wanted (id)
           cross join lateral (
               select series_id, date, known_from, value from watched_points
               where series_id = wanted.id order by date desc limit $2
           ) as p
           order by 1, 2"#,
        ids,
        of_each
    )
    .fetch_all(connection)
    .await
}

/// Of each of these series the points from the beginning of the year on that is so many before the one that the series
/// has reached, by date; those that are withdrawn count.
pub(crate) async fn points_of_years(
    connection: &mut PgConnection,
    ids: &[String],
    years: i32,
) -> Result<Vec<StoredPoint>, sqlx::Error> {
    sqlx::query_as!(
        StoredPoint,
        r#"select p.series_id, p.date, p.known_from, p.value
           from watched_series s join watched_points p on p.series_id = s.id
               and p.date >= make_date(greatest(extract(year from s.reached)::int - $2, 1), 1, 1)
           where s.id = any ($1)
           order by 1, 2"#,
        ids,
        years,
    )
    .fetch_all(connection)
    .await
}

/// Forgets edits that were made before a time and have taken effect, at most `limit` of them. An instance that has not
/// seen them loads everything anew. Gives how many.
pub(crate) async fn forget_edits(
    pool: &PgPool,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<usize, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let head = lock_series_head(&mut transaction).await?;
    let count = sqlx::query_scalar!(
        r#"with forgotten as (
             delete from rule_edits where edit in (
                 select edit from rule_edits where edited_at < $1 and edit <= $2 order by edit limit $3
             )
             returning edit
         ), moved as (
             update series_head set forgotten_edit = greatest(forgotten_edit, (select max(edit) from forgotten))
         )
         select count(*) as "count!" from forgotten"#,
        before,
        head.settled_edit,
        limit,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}
