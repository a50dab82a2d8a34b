use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use test_support::{TestDatabase, drafts, until_waiting};
use uuid::Uuid;

use super::{History, Mark, Server, Standpoint, State, Unverified};
use crate::{EventLog, LogConfig, LogError, head::Head, telemetry::LogMetrics};

const DEADLINE: Duration = Duration::from_secs(60);

/// The server is set otherwise while groups are stored one behind the other: what is not under way yet is
/// refused.
#[tokio::test]
async fn nothing_is_appended_to_a_server_that_may_lose_it_however_much_waits() {
    let database = TestDatabase::create().await;
    let pool = crate::connect(&database.url(), "log", 8).await.unwrap();
    let log = EventLog::open(pool, LogConfig::default(), None)
        .await
        .unwrap();
    let mut blocking = PgConnection::connect(&database.url()).await.unwrap();
    let lock = "begin; set local idle_in_transaction_session_timeout = 0;
                select from log.log_head for update";
    sqlx::raw_sql(lock).execute(&mut blocking).await.unwrap();
    let under_way = log.enqueue(drafts(0..1_000));
    until_waiting(DEADLINE, &mut database.connection().await, 1).await;
    log.history().saw_server(Server::unsafe_for_tests());
    let refused: Vec<_> = (1..8)
        .map(|n| log.enqueue(drafts(n * 1_000..(n + 1) * 1_000)))
        .collect();
    sqlx::raw_sql("rollback")
        .execute(&mut blocking)
        .await
        .unwrap();
    under_way.await.unwrap();
    for answer in refused {
        let error = answer.await.unwrap_err();
        let is_durability = |error: &LogError| {
            matches!(
                error,
                LogError::Unverified(Unverified::NotDurable { setting: "fsync" })
            )
        };
        assert!(is_durability(&error), "{error}");
    }
    assert_eq!(log.head().await.unwrap().last_position, 1_000);
    log.close().await;
}

fn head(last_position: u64) -> Head {
    Head {
        log_id: Uuid::nil(),
        first_position: 1,
        last_position,
        latest_occurred_at: None,
        latest_recorded_at: DateTime::<Utc>::from_timestamp(last_position.cast_signed(), 0),
        dropped_before: None,
        halted_after: None,
        in_recovery: false,
    }
}

/// A replica that lags may have what is missing soon; one that was promoted never will.
#[test]
fn a_head_behind_is_another_history_only_where_it_can_be_written_to() {
    let history: Arc<History> = History::new(&head(20), LogMetrics::new("log"));
    let compare = |last_position, in_recovery| {
        let standpoint = Standpoint {
            in_recovery,
            ..head(last_position).standpoint()
        };
        history.compare(Mark::of_head(&head(20)), standpoint)
    };
    let out_of_contact = compare(12, true);
    assert!(
        matches!(
            out_of_contact,
            Err(LogError::Unverified(Unverified::OutOfContact { .. }))
        ),
        "{out_of_contact:?}"
    );
    assert_eq!(*history.state.borrow(), State::Intact);
    assert!(compare(20, true).unwrap());
    let went_back = compare(12, false);
    assert!(
        matches!(
            went_back,
            Err(LogError::Unverified(Unverified::WentBack {
                position: 20,
                ..
            }))
        ),
        "{went_back:?}"
    );
    assert!(history.check().is_err());
}
