//! A log that went back, became another one, or cannot be vouched for, is noticed at once.

mod benign;
mod durability;
mod lost_contact;
mod replaced;
mod went_back;

use event_log::{EventLog, Followed, Follower, LogConfig, LogError};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::common::{TestLog, execute, next};

/// Takes the log back to a position, as a restore to an earlier moment does.
pub(super) async fn restore_to(test: &TestLog, position: u64) {
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let restore = format!(
        "delete from events where position > {position};
         update log_head set last_position = {position},
             latest_recorded_at = (select recorded_at from events where position = {position})"
    );
    let restored = sqlx::raw_sql(AssertSqlSafe(restore));
    restored.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Takes the log back to a position and lets another history grow there up to `last`, at once: no
/// state in between is there to be seen.
pub(super) async fn replace_from(test: &TestLog, position: u64, last: u64) {
    let mut connection = test.connection().await;
    let mut transaction = connection.begin().await.unwrap();
    let replace = format!(
        "delete from events where position > {position};
         insert into events
         select n, e.occurred_at, now(), '02' || lpad(n::text, 24, '0'), e.event_type,
             e.source_service, e.series_ids, e.payload, e.encoded
         from events e, generate_series({position} + 1, {last}) as n where e.position = 1;
         update log_head set last_position = {last}, latest_recorded_at = now()"
    );
    let replaced = sqlx::raw_sql(AssertSqlSafe(replace));
    replaced.execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

/// Notifies all processes of the head, as an append does once it is committed.
pub(super) async fn notify(test: &TestLog) {
    execute(
        &mut test.connection().await,
        "select pg_notify('event_log_' || replace(log_id::text, '-', ''), last_position::text)
         from log_head",
    )
    .await;
}

/// What a follower comes to an end with.
pub(super) async fn end_of(follower: &mut Follower) -> LogError {
    loop {
        match next(follower).await {
            Ok(Followed::Events(delivery)) => panic!("{} events were delivered", delivery.count),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// A log that does not look at the database by itself, but to listen.
pub(super) async fn open_blind(test: &TestLog) -> EventLog {
    let never = std::time::Duration::from_secs(3_600);
    test.open_with(LogConfig {
        poll_interval: never,
        contact_age_max: never,
        ..LogConfig::default()
    })
    .await
}

pub(super) async fn ended_sessions(test: &TestLog) -> PgConnection {
    let mut connection = test.database.connection().await;
    execute(
        &mut connection,
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()",
    )
    .await;
    connection
}
