use event_log::{EventLog, LogConfig, LogError, OnHistoryChange, Unverified};
use sqlx::PgConnection;
use test_support::{drafts, eventually};

use super::{end_of, notify, open_blind, replace_from, restore_to};
use crate::common::{
    DEADLINE, SCHEMA, TestLog, everything, execute, next_events, place, pool, read_range,
    read_up_to,
};

/// The last position that was known, and the last that the database holds.
fn went_back<T: std::fmt::Debug>(result: Result<T, LogError>) -> (u64, u64) {
    match result {
        Err(LogError::Unverified(Unverified::WentBack {
            position,
            last_position,
        })) => (position, last_position),
        other => panic!("{other:?}"),
    }
}

async fn until_halted(log: &EventLog) {
    eventually(DEADLINE, async || log.verified().is_err()).await;
    went_back(log.verified());
}

#[tokio::test]
async fn a_log_that_went_back_is_noticed_while_nothing_happens() {
    let test = TestLog::create().await;
    let log = test.open().await;
    log.append(drafts(0..20)).await.unwrap();
    let mut live = log.follow_after(20, everything()).await.unwrap();
    let mut behind = log.follow_after(5, everything()).await.unwrap();
    assert_eq!(next_events(&mut behind).await.unwrap().len(), 15);
    restore_to(&test, 12).await;
    for follower in [&mut live, &mut behind] {
        assert_eq!(went_back::<()>(Err(end_of(follower).await)), (20, 12));
    }
    // Nothing of the log that was is served, and nothing is stored.
    assert_eq!(log.verified_head(), None);
    went_back(log.head().await);
    went_back(log.follow_after(0, everything()).await);
    went_back(log.follow_live(everything()).await);
    went_back(log.read_between(None, None, everything()).await);
    went_back(log.append(drafts(20..21)).await);
    let mut connection = test.connection().await;
    went_back(log.append_in(&mut connection, drafts(20..21)).await);
    assert_eq!(test.stored().await.len(), 12);
}

/// Whoever only compares positions takes the log for the one that it was.
#[tokio::test]
async fn a_log_that_went_back_and_grew_past_the_tail_is_noticed() {
    let test = TestLog::create().await;
    let log = open_blind(&test).await;
    log.append(drafts(0..20)).await.unwrap();
    let mut live = log.follow_after(20, everything()).await.unwrap();
    replace_from(&test, 12, 52).await;
    notify(&test).await;
    assert_eq!(went_back::<()>(Err(end_of(&mut live).await)), (20, 52));
    went_back(log.follow_after(0, everything()).await);
    assert_eq!(log.verified_head(), None);
}

/// A few events at a time, whose ids are new for all that the process knows, at a head that stands
/// where it left it: but it is another one's.
#[tokio::test]
async fn nothing_is_appended_to_another_history() {
    // The head is behind where the process left it, at the same position, or beyond.
    for others in [2, 6, 20] {
        for own in [1, 40] {
            let test = TestLog::create().await;
            let log = open_blind(&test).await;
            for n in 0..10 {
                log.append(drafts(n..n + 1)).await.unwrap();
            }
            // By somebody who notifies nobody.
            replace_from(&test, 4, 4 + others).await;
            let stored = test.stored().await;
            went_back(log.append(drafts(800..800 + own)).await);
            assert_eq!(test.stored().await, stored, "{others} {own}");
        }
    }
}

/// The halt is the log's and not the process's; a new identity ends it.
#[tokio::test]
async fn a_halt_lasts_until_the_log_has_a_new_identity() {
    let test = TestLog::create().await;
    let (log, other) = (test.open().await, test.open().await);
    log.append(drafts(0..20)).await.unwrap();
    eventually(DEADLINE, async || other.tail_position() == 20).await;
    let log_id = log.log_id();
    restore_to(&test, 12).await;
    until_halted(&log).await;
    until_halted(&other).await;
    log.close().await;
    eventually(DEADLINE, async || {
        let reopened = test.open().await;
        reopened.verified().is_err()
    })
    .await;
    let reopened = test.open().await;
    assert_eq!(went_back(reopened.append(drafts(30..31)).await), (20, 12));
    went_back(reopened.follow_after(0, everything()).await);

    let renewed = EventLog::renew_identity(&pool(&test.database.url(), SCHEMA).await)
        .await
        .unwrap();
    assert_eq!(renewed.before, log_id);
    for log in [&other, &reopened] {
        assert_eq!(log.replaced().await, renewed.now);
        assert!(matches!(
            log.append(drafts(30..31)).await,
            Err(LogError::Unverified(Unverified::Replaced { log_id })) if log_id == renewed.now
        ));
    }
    let log = test.open().await;
    assert_eq!(log.log_id(), renewed.now);
    let receipts = log.append(drafts(30..40)).await.unwrap();
    assert_eq!(receipts[0].position, 13);
    // No ghost of what was lost.
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let read = read_up_to(&mut follower, 22).await;
    let places: Vec<_> = read.iter().map(place).collect();
    assert_eq!(places, test.stored().await);
    let range = log.read_between(None, None, everything()).await.unwrap();
    assert_eq!(read_range(range).await.unwrap().len(), 22);
}

#[tokio::test]
async fn a_rule_gives_a_log_that_went_back_a_new_identity() {
    let test = TestLog::create().await;
    let config = LogConfig {
        on_history_change: OnHistoryChange::NewLogId,
        ..LogConfig::default()
    };
    let log = test.open_with(config).await;
    let before = log.log_id();
    log.append(drafts(0..20)).await.unwrap();
    restore_to(&test, 12).await;
    let now = log.replaced().await;
    assert_ne!(now, before);
    let log = test.open().await;
    assert_eq!(log.log_id(), now);
    assert_eq!(log.append(drafts(30..31)).await.unwrap()[0].position, 13);
}

/// The address led to another server for a moment: what the process saw there is final for it, but the log
/// that is there again is left alone.
#[tokio::test]
async fn a_log_that_is_there_again_is_not_halted() {
    for on_history_change in [OnHistoryChange::Halt, OnHistoryChange::NewLogId] {
        let test = TestLog::create().await;
        let log = test
            .open_with(LogConfig {
                poll_interval: std::time::Duration::from_millis(50),
                on_history_change,
                ..LogConfig::default()
            })
            .await;
        log.append(drafts(0..20)).await.unwrap();
        let before = log.head().await.unwrap();
        let mut connection = test.connection().await;
        // What is written down of it cannot be for a while, and is counted.
        execute(
            &mut connection,
            "create table saved as select * from events;
             create sequence attempts;
             create function count_attempt() returns trigger language plpgsql as $$
             begin perform nextval('attempts'); return null; end $$;
             create function refuse() returns trigger language plpgsql as $$
             begin
                 if (new.log_id, new.halted_after) is distinct from (old.log_id, old.halted_after) then
                     raise exception 'not yet';
                 end if;
                 return new;
             end $$;
             create trigger count_attempt before update on log_head execute function count_attempt();
             create trigger refuse before update on log_head for each row execute function refuse()",
        )
        .await;
        replace_from(&test, 12, 52).await;
        until_halted(&log).await;
        execute(
            &mut connection,
            "begin;
             drop trigger refuse on log_head;
             delete from events where position > 12;
             insert into events select * from saved where position > 12;
             update log_head set last_position = 20,
                 latest_recorded_at = (select max(recorded_at) from saved);
             commit",
        )
        .await;
        let attempts = async |connection: &mut PgConnection| -> i64 {
            let attempts = sqlx::query_scalar("select last_value from attempts");
            attempts.fetch_one(connection).await.unwrap()
        };
        let then = attempts(&mut connection).await;
        eventually(DEADLINE, async || {
            attempts(&mut connection).await > then + 2
        })
        .await;
        went_back(log.append(drafts(30..31)).await);
        assert_eq!(test.open().await.head().await.unwrap(), before);
    }
}
