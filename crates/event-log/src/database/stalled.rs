//! Ending sessions of processes that have stopped in the middle of a COPY.
//!
//! The server ends a session that is silent in a transaction, but not while it waits for the rows of a
//! COPY. A process that stopped there (frozen, or cut off from the server) keeps the head locked.

use sqlx::postgres::PgConnectOptions;
use tracing::{debug, warn};

use super::session;
use crate::LogError;

/// Ends them, if there are any; called by those who have waited in vain.
pub(crate) async fn end_stalled(options: &PgConnectOptions) {
    match session::within(session::CONNECT_TIMEOUT, end(options)).await {
        Ok(0) => {}
        Ok(ended) => warn!(
            ended,
            "ended sessions that stopped while they stored events"
        ),
        Err(error) => debug!(%error, "cannot read which sessions stopped"),
    }
}

async fn end(options: &PgConnectOptions) -> Result<i64, LogError> {
    let mut connection = session::connect(options).await?;
    let name = options.get_application_name().unwrap_or_default();
    // As long as the server allows others to be silent in a transaction.
    let ended = sqlx::query_scalar!(
        r#"select count(pg_terminate_backend(pid)) as "ended!" from pg_stat_activity
           where datname = current_database() and usename = current_user
               and application_name = $1 and pid <> pg_backend_pid()
               and state = 'active' and wait_event = 'ClientRead'
               and state_change < clock_timestamp() - interval '5 s'"#,
        name
    )
    .fetch_one(&mut connection)
    .await?;
    Ok(ended)
}
