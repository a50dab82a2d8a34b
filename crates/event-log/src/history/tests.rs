use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use test_support::{TestDatabase, drafts, until_waiting};
use uuid::Uuid;

use super::{History, Mark, Server, State, Unverified};
use crate::{
    EventLog, LogConfig, LogError,
    head::{Head, HeadView},
    telemetry::LogMetrics,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// The server is set otherwise while a group is stored: what comes behind that is refused.
#[tokio::test]
async fn nothing_is_appended_to_a_server_that_may_lose_it_however_much_waits() {
    let database = TestDatabase::create().await;
    let pool = crate::connect(&database.url(), "log", 8).await.unwrap();
    let log = EventLog::open(pool, LogConfig::default(), None)
        .await
        .unwrap();
    // It knows how the head stands, so that it stores groups beside each other.
    for n in 0..3 {
        log.append(drafts(n..n + 1)).await.unwrap();
    }
    let held = drafts(100..200);
    let mut blocking = PgConnection::connect(&database.url()).await.unwrap();
    let hold = format!(
        "create function log.hold() returns trigger language plpgsql as $$
         begin
             if new.event_id = '{}' then
                 perform pg_advisory_xact_lock(7);
             end if;
             return new;
         end $$;
         create trigger hold before insert on log.events for each row execute function log.hold();
         select pg_advisory_lock(7)",
        held[50].event_id
    );
    sqlx::raw_sql(AssertSqlSafe(hold))
        .execute(&mut blocking)
        .await
        .unwrap();
    let mut under_way = log.enqueue(held);
    until_waiting(DEADLINE, &mut database.connection().await, 1).await;
    log.history().saw_server(Server::unsafe_for_tests());
    let refused = log.append(drafts(1_000..3_000)).await;
    let is_durability = |error: &LogError| {
        matches!(
            error,
            LogError::Unverified(Unverified::NotDurable { setting: "fsync" })
        )
    };
    assert!(refused.as_ref().is_err_and(is_durability), "{refused:?}");
    // Not because the one before it has failed.
    assert!(futures::poll!(&mut under_way).is_pending());
    drop(blocking);
    // It was stored at once, or had waited for so long that it was to be stored anew.
    let under_way = under_way.await;
    assert!(
        under_way.as_ref().err().is_none_or(is_durability),
        "{under_way:?}"
    );
    let last_position = log.head().await.unwrap().last_position;
    assert_eq!(
        last_position,
        3 + under_way.map_or(0, |receipts| receipts.len() as u64)
    );
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
        let view = HeadView {
            in_recovery,
            ..head(last_position).view()
        };
        history.compare(Mark::of_head(&head(20)), view)
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
