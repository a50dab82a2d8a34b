//! Who waits for locks.

use std::time::Duration;

use sqlx::PgConnection;

use crate::eventually;

/// A session that waits for a lock: its process id, and when its statement began.
pub type Waiting = (i32, String);

/// The sessions of this database that wait for locks, by process id. Not those that measure what is
/// stored, which wait for locked tables too whenever their time comes.
///
/// # Panics
/// If the database does not answer.
pub async fn waiting(connection: &mut PgConnection) -> Vec<Waiting> {
    sqlx::query_as(
        "select pid, query_start::text from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'
           and query not like '%hypertable_size%' order by pid",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

/// Waits until at least so many sessions of this database wait for locks. More may: what looks at the
/// database by itself begins to wait whenever its time comes.
///
/// # Panics
/// If they do not within `deadline`, or the database does not answer.
pub async fn until_waiting(deadline: Duration, connection: &mut PgConnection, sessions: usize) {
    eventually(deadline, async || {
        waiting(connection).await.len() >= sessions
    })
    .await;
}
