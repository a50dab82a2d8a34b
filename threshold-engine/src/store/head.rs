use sqlx::{PgConnection, PgExecutor};

/// Where the sequence of points and definitions stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the last point; 0 before the first.
    pub(crate) last_sequence: i64,
    /// The transaction that was the last to change anything. One that was rolled back never shows,
    /// so that equal heads mean equal histories.
    pub(crate) changed_by: i64,
}

/// Where the sequence stood last.
pub(crate) async fn head(executor: impl PgExecutor<'_>) -> Result<Head, sqlx::Error> {
    sqlx::query_as!(Head, "select last_sequence, changed_by from engine_head")
        .fetch_one(executor)
        .await
}

/// Reads the head and keeps others from moving it until the transaction ends.
pub(crate) async fn lock_head(connection: &mut PgConnection) -> Result<Head, sqlx::Error> {
    sqlx::query_as!(
        Head,
        "select last_sequence, changed_by from engine_head for update"
    )
    .fetch_one(connection)
    .await
}

/// Moves the head in the name of this transaction.
pub(crate) async fn move_head(
    connection: &mut PgConnection,
    last_sequence: i64,
) -> Result<Head, sqlx::Error> {
    sqlx::query_as!(
        Head,
        "update engine_head
         set last_sequence = $1, changed_by = pg_current_xact_id()::text::bigint
         returning last_sequence, changed_by",
        last_sequence
    )
    .fetch_one(connection)
    .await
}

/// Whether only points were added since a head, behind which there were so many changes of
/// definitions.
///
/// A head that was remembered may be of a transaction that was rolled back, and others may have given
/// its numbers to points of theirs. That it was committed is proven by what it stored: a row carries
/// the lower half of the number of its transaction.
pub(crate) async fn leads_on(
    connection: &mut PgConnection,
    head: Head,
    changes: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (select count(*) from definition_changes) = $3
               and exists (
                   select 1 from points
                   where sequence = $1 and xmin::text::bigint = $2 & 4294967295
                   union all
                   select 1 from definition_changes
                   where after_sequence = $1 and xmin::text::bigint = $2 & 4294967295
               ) as "leads_on!""#,
        head.last_sequence,
        head.changed_by,
        changes,
    )
    .fetch_one(connection)
    .await
}
