use sqlx::PgConnection;

/// Where the sequence of points and definitions stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the last point; 0 before the first.
    pub(crate) last_sequence: i64,
    /// The transaction that was the last to change anything. One that was rolled back never shows,
    /// so that equal heads mean equal histories.
    pub(crate) changed_by: i64,
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
