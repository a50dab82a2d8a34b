//! Under full load the rows of several groups are stored at once. They are committed in order all the
//! same, and none is lost where one of them fails or where they wait for each other.

use std::ops::Range;

use atlas_events::Draft;
use chrono::TimeDelta;
use event_log::{EventLog, LogError, PendingAppend};
use test_support::drafts;
use tokio::time::timeout;

use crate::{
    appending::small_appends::{assert_stored_as_in_one_transaction, undisturbed},
    common::{DEADLINE, TestLog, execute},
};

/// Events that are stored before.
const BEFORE: u64 = 3;
/// A group of its own, which is stored beside another only if it is large.
const FIRST: Range<u64> = BEFORE..BEFORE + 100;
const SECOND: Range<u64> = 200..800;
const THIRD: Range<u64> = 800..1_500;

/// Makes the database do something when a certain event is stored.
async fn on_storing(test: &TestLog, draft: &Draft, what: &'static str) {
    let mut connection = test.connection().await;
    sqlx::query("insert into hooks values ($1, $2)")
        .bind(draft.event_id.to_string())
        .bind(what)
        .execute(&mut connection)
        .await
        .unwrap();
}

/// Waits for as long as the table `held` has a row.
const HOLD: &str = "hold";
/// Finds fault with the event.
const FAIL: &str = "fail";
/// Keeps a lock until the transaction ends.
const LOCK: &str = "lock";
/// The same, and if it is the first to come here, waits until another has it.
const LOCK_AFTER_OTHERS: &str = "lock after others";

async fn with_hooks() -> (TestLog, EventLog) {
    let test = TestLog::create().await;
    let log = undisturbed(&test).await;
    execute(
        &mut test.connection().await,
        "create table hooks (event_id text primary key, what text not null);
         create table held (held int);
         insert into held values (1);
         create sequence comers;
         create function run_hook() returns trigger language plpgsql as $$
         declare
             wanted text := coalesce((select what from hooks where event_id = new.event_id), '');
         begin
             while wanted = 'hold' and exists (select from held) loop
                 perform pg_sleep(0.005);
             end loop;
             if wanted = 'fail' then
                 perform 1 / 0;
             end if;
             if wanted = 'lock after others' and nextval('comers') = 1 then
                 while not exists (select from pg_locks where locktype = 'advisory' and objid = 7) loop
                     perform pg_sleep(0.005);
                 end loop;
             end if;
             if wanted like 'lock%' then
                 perform pg_advisory_xact_lock(7);
             end if;
             return new;
         end $$;
         create trigger hooks before insert on events for each row execute function run_hook();",
    )
    .await;
    (test, log)
}

async fn release(test: &TestLog) {
    execute(&mut test.connection().await, "delete from held").await;
}

/// Queues a group of which the database is busy storing the rows from then on.
async fn enqueue_held(test: &TestLog, log: &EventLog, group: &[Draft]) -> PendingAppend {
    on_storing(test, &group[group.len() / 2], HOLD).await;
    let pending = log.enqueue(group.to_vec());
    test.until_in(1, "active", "copy events").await;
    pending
}

async fn positions(pending: PendingAppend) -> Range<u64> {
    let receipts = timeout(DEADLINE, pending).await.unwrap().unwrap();
    assert!(receipts.iter().all(|receipt| !receipt.duplicate));
    let first = receipts[0].position;
    let all = first..first + receipts.len() as u64;
    assert!(receipts.iter().map(|r| r.position).eq(all.clone()));
    all
}

#[tokio::test]
async fn what_is_stored_first_is_committed_in_its_turn() {
    let (test, log) = with_hooks().await;
    let groups = [FIRST, SECOND, THIRD].map(drafts);
    let first = enqueue_held(&test, &log, &groups[0]).await;
    let second = log.enqueue(groups[1].clone());
    test.until_prepared(1).await;
    let third = log.enqueue(groups[2].clone());
    test.until_prepared(2).await;
    assert_eq!(test.stored().await.len() as u64, BEFORE);
    release(&test).await;

    assert_eq!(positions(first).await, 4..104);
    assert_eq!(positions(second).await, 104..704);
    assert_eq!(positions(third).await, 704..1_404);
    let all = [drafts(0..BEFORE)].into_iter().chain(groups).flatten();
    assert_stored_as_in_one_transaction(&test, all.collect()).await;
}

#[tokio::test]
async fn a_group_that_fails_takes_none_of_the_others_with_it() {
    let (test, log) = with_hooks().await;
    let groups = [FIRST, SECOND, THIRD].map(drafts);
    on_storing(&test, &groups[1][300], FAIL).await;
    let first = enqueue_held(&test, &log, &groups[0]).await;
    let second = log.enqueue(groups[1].clone());
    let third = log.enqueue(groups[2].clone());
    release(&test).await;

    assert_eq!(positions(first).await, 4..104);
    let error = timeout(DEADLINE, second).await.unwrap().unwrap_err();
    assert!(matches!(&error, LogError::Database(_)), "{error}");
    assert_eq!(positions(third).await, 104..804);
    let all = [drafts(0..BEFORE), drafts(FIRST), drafts(THIRD)];
    assert_stored_as_in_one_transaction(&test, all.concat()).await;
}

/// As whoever makes a chunk keeps the others waiting until it commits, be that the group behind.
#[tokio::test]
async fn groups_that_wait_for_each_other_are_stored_one_by_one() {
    let (test, log) = with_hooks().await;
    let groups = [FIRST, SECOND].map(drafts);
    on_storing(&test, &groups[0][50], LOCK_AFTER_OTHERS).await;
    on_storing(&test, &groups[1][50], LOCK).await;
    let first = log.enqueue(groups[0].clone());
    test.until_in(1, "active", "copy events").await;
    let second = log.enqueue(groups[1].clone());

    assert_eq!(positions(first).await, 4..104);
    assert_eq!(positions(second).await, 104..704);
    let attempts: i64 = sqlx::query_scalar("select last_value from comers")
        .fetch_one(&mut test.connection().await)
        .await
        .unwrap();
    assert_eq!(attempts, 2);
    let all = [drafts(0..BEFORE)].into_iter().chain(groups).flatten();
    assert_stored_as_in_one_transaction(&test, all.collect()).await;
}

#[tokio::test]
async fn events_of_another_time_wait_until_the_others_are_stored() {
    let (test, log) = with_hooks().await;
    let first = enqueue_held(&test, &log, &drafts(FIRST)).await;
    let earlier = |mut draft: Draft| {
        draft.occurred_at -= TimeDelta::minutes(61);
        draft
    };
    let past: Vec<_> = drafts(SECOND).into_iter().map(earlier).collect();
    let second = log.enqueue(past);
    // It is not just passing by.
    for _ in 0..30 {
        test.until_in(1, "idle in transaction", "begin; set local")
            .await;
    }
    release(&test).await;
    assert_eq!(positions(first).await, 4..104);
    assert_eq!(positions(second).await, 104..704);
}
