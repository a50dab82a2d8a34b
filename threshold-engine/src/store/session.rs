use sqlx::{PgConnection, raw_sql};

/// Says something within a transaction, so that the server does not take this process for a frozen
/// one.
pub(crate) async fn keep_alive(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    raw_sql("select").execute(connection).await?;
    Ok(())
}

/// For the rest of this transaction the process may be silent for 30 seconds: it plays what the server
/// has sent long before, and can say nothing meanwhile.
pub(crate) async fn allow_silence(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    raw_sql("set local idle_in_transaction_session_timeout = '30s'")
        .execute(connection)
        .await?;
    Ok(())
}
