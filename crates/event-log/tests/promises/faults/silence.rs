//! Links that swallow what is sent, and processes that stop: whoever publishes is answered in time and
//! truly, and the log goes on by itself.

use std::time::{Duration, Instant};

use atlas_events::Draft;
use event_log::{EventLog, LogConfig, LogError, Receipt};
use sqlx::Connection;
use test_support::{Link, drafts, eventually};
use tokio::time::timeout;

use crate::{
    appending::small_appends::append_one,
    common::{DEADLINE, SCHEMA, TestLog, everything, execute, next_events, open, pool},
    proxy::{Proxy, Step, Swallow},
};

/// Whoever publishes is answered within this time,
const APPEND_TIMEOUT: Duration = Duration::from_secs(3);
/// and what is left of the attempt takes no longer than this to be undone.
const UNDONE_WITHIN: Duration = Duration::from_secs(3);

/// A log behind a link that is fine so far.
async fn behind_a_link(test: &TestLog) -> (Proxy, EventLog) {
    let url = test.database.url();
    let proxy = Proxy::start(&url).await;
    let log = open(&proxy.url(&url), SCHEMA, impatient(), None).await;
    (proxy, log)
}

fn impatient() -> LogConfig {
    LogConfig {
        append_timeout: APPEND_TIMEOUT,
        // A busy machine may take longer than streams wait for by themselves.
        contact_age_max: DEADLINE,
        ..LogConfig::default()
    }
}

async fn append_in_time(log: &EventLog, batch: Vec<Draft>) -> Result<Vec<Receipt>, LogError> {
    let begun = Instant::now();
    let answer = timeout(DEADLINE, log.append(batch)).await.unwrap();
    assert!(
        begun.elapsed() < APPEND_TIMEOUT + UNDONE_WITHIN,
        "{answer:?}"
    );
    answer
}

/// Publishes again for as long as the error permits it.
async fn append_at_last(log: &EventLog, batch: &[Draft]) -> Vec<Receipt> {
    let begun = Instant::now();
    loop {
        match append_in_time(log, batch.to_vec()).await {
            Ok(receipts) => return receipts,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
        assert!(begun.elapsed() < DEADLINE);
    }
}

enum Before {
    /// The log has appended nothing yet.
    Nothing,
    /// It knows how the head stands.
    Undisturbed,
}

/// Publishes a batch over a link that falls silent, and checks the answer by publishing it again over
/// another link: what is said to be not stored is not, and nothing is stored twice.
async fn publish_into_silence(
    before: Before,
    events: u64,
    (step, first): (Step, Swallow),
    is_expected: fn(&Result<Vec<Receipt>, LogError>) -> bool,
) {
    let test = TestLog::create().await;
    let (proxy, log) = behind_a_link(&test).await;
    let mut position = 0;
    if let Before::Undisturbed = before {
        for n in 0..3 {
            append_one(&log, 1_000 + n).await;
        }
        // Another connection becomes idle, which groups of many use.
        log.append(drafts(2_000..2_100)).await.unwrap();
        position = 103;
    }
    proxy.swallow(step, first);
    let batch = drafts(3_000..3_000 + events);
    let answer = append_in_time(&log, batch.clone()).await;
    assert!(proxy.has_swallowed());
    assert!(is_expected(&answer), "{answer:?}");

    // Meanwhile the server may keep what the silent link holds.
    let other = test.open_with(impatient()).await;
    let receipts = append_at_last(&other, &batch).await;
    let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count() as u64;
    match answer {
        Ok(acknowledged) => {
            assert_eq!(duplicates, events);
            let place = |receipt: &Receipt| (receipt.event_id, receipt.position);
            assert!(
                acknowledged
                    .iter()
                    .map(place)
                    .eq(receipts.iter().map(place))
            );
        }
        Err(LogError::OutcomeUnknown(_)) => assert!([0, events].contains(&duplicates)),
        Err(_) => assert_eq!(duplicates, 0),
    }
    // The log itself has to find out, before it can go on from what it knows.
    let again = append_at_last(&log, &batch).await;
    assert!(again.iter().all(|receipt| receipt.duplicate));
    assert!(
        again
            .iter()
            .map(|r| r.position)
            .eq(receipts.iter().map(|r| r.position))
    );
    let further = append_at_last(&log, &drafts(5_000..5_100)).await;
    assert_eq!(further[0].position, position + events + 1);
    let stored = test.stored().await;
    assert!(
        stored
            .iter()
            .map(|(p, _)| *p)
            .eq(1..=position + events + 100)
    );
}

fn not_stored(answer: &Result<Vec<Receipt>, LogError>) -> bool {
    matches!(answer, Err(LogError::Database(_)))
}

fn unknown(answer: &Result<Vec<Receipt>, LogError>) -> bool {
    matches!(answer, Err(LogError::OutcomeUnknown(_)))
}

#[tokio::test]
async fn silence_at_begin() {
    publish_into_silence(
        Before::Nothing,
        100,
        (Step::Begin, Swallow::Request),
        not_stored,
    )
    .await;
}

#[tokio::test]
async fn silence_behind_begin() {
    publish_into_silence(
        Before::Nothing,
        10,
        (Step::Begin, Swallow::Answer),
        not_stored,
    )
    .await;
}

#[tokio::test]
async fn silence_at_the_begin_of_a_connection_that_was_idle() {
    let begin = (Step::Begin, Swallow::Request);
    publish_into_silence(Before::Undisturbed, 100, begin, Result::is_ok).await;
}

#[tokio::test]
async fn silence_in_the_rows() {
    publish_into_silence(
        Before::Nothing,
        100,
        (Step::Rows, Swallow::Request),
        not_stored,
    )
    .await;
}

#[tokio::test]
async fn silence_in_the_rows_of_a_group_that_is_stored_ahead() {
    // There is time to store it in another way.
    let is_reported = |answer: &Result<_, _>| answer.is_ok() || not_stored(answer);
    let rows = (Step::Rows, Swallow::Request);
    publish_into_silence(Before::Undisturbed, 100, rows, is_reported).await;
}

#[tokio::test]
async fn silence_before_the_commit() {
    publish_into_silence(
        Before::Nothing,
        100,
        (Step::Commit, Swallow::Request),
        unknown,
    )
    .await;
}

#[tokio::test]
async fn silence_behind_the_commit() {
    publish_into_silence(
        Before::Nothing,
        100,
        (Step::Commit, Swallow::Answer),
        unknown,
    )
    .await;
}

#[tokio::test]
async fn silence_before_the_commit_of_a_group_that_is_stored_ahead() {
    let commit = (Step::Commit, Swallow::Request);
    publish_into_silence(Before::Undisturbed, 100, commit, unknown).await;
}

#[tokio::test]
async fn silence_behind_the_commit_of_a_group_that_is_stored_ahead() {
    let commit = (Step::Commit, Swallow::Answer);
    publish_into_silence(Before::Undisturbed, 100, commit, unknown).await;
}

/// A few events after others at once are one statement, which commits.
#[tokio::test]
async fn silence_around_the_statement_of_a_few_events() {
    for first in [Swallow::Request, Swallow::Answer] {
        let is_reported = |answer: &Result<_, _>| unknown(answer);
        publish_into_silence(
            Before::Undisturbed,
            10,
            (Step::Statement, first),
            is_reported,
        )
        .await;
    }
}

#[tokio::test]
async fn where_all_connections_fall_silent_publishing_goes_on_over_new_ones() {
    let test = TestLog::create().await;
    let (proxy, log) = behind_a_link(&test).await;
    for n in 0..3 {
        append_one(&log, n).await;
    }
    log.append(drafts(100..200)).await.unwrap();
    let mut follower = log.follow_after(103, everything()).await.unwrap();
    proxy.silence_existing();
    let first = append_in_time(&log, drafts(200..210)).await;
    append_at_last(&log, &drafts(300..400)).await;
    assert!(first.is_ok() || unknown(&first), "{first:?}");
    append_at_last(&log, &drafts(200..210)).await;
    let stored = test.stored().await;
    assert!(stored.iter().map(|(p, _)| *p).eq(1..=213));

    let mut read = Vec::new();
    while read.len() < 110 {
        read.extend(next_events(&mut follower).await.unwrap());
    }
    assert!(read.iter().map(|event| event.position).eq(104..=213));
    // What others append is found over new connections, too.
    test.open().await.append(drafts(400..410)).await.unwrap();
    let read = next_events(&mut follower).await.unwrap();
    assert_eq!(read[0].position, 214);
}

#[tokio::test]
async fn a_listener_that_hears_nothing_delays_and_ends_with_the_log() {
    let test = TestLog::create().await;
    let (proxy, log) = behind_a_link(&test).await;
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    eventually(DEADLINE, async || proxy.silence_listeners() == 1).await;
    test.open().await.append(drafts(0..10)).await.unwrap();
    assert_eq!(next_events(&mut follower).await.unwrap().len(), 10);
    // It is missed, and another one listens.
    eventually(DEADLINE, async || proxy.listeners() == 2).await;
    timeout(Duration::from_secs(5), log.close()).await.unwrap();
}

/// The driver waits without a bound there, with the one connection by which the log looks for what others append.
#[tokio::test]
async fn a_feeder_whose_connection_falls_silent_as_it_is_given_back_reads_by_another() {
    let test = TestLog::create().await;
    let (proxy, log) = behind_a_link(&test).await;
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    // The first may be connections that opened the log. After that nobody else asks the database.
    for _ in 0..3 {
        proxy.swallow(Step::Release, Swallow::Request);
        eventually(DEADLINE, async || proxy.has_swallowed()).await;
    }
    test.open().await.append(drafts(0..10)).await.unwrap();
    assert_eq!(next_events(&mut follower).await.unwrap().len(), 10);
}

/// Readers ask, and the link carries nothing any more: they go away, and their places are free again.
#[tokio::test]
async fn readers_behind_a_silent_link_leave_their_places() {
    let test = TestLog::create().await;
    let url = test.database.url();
    let proxy = Proxy::start(&url).await;
    let config = LogConfig {
        ring_bytes_max: 1_000,
        ..impatient()
    };
    let log = open(&proxy.url(&url), SCHEMA, config, None).await;
    log.append(drafts(0..500)).await.unwrap();
    let mut blocking = test.connection().await;
    execute(
        &mut blocking,
        "begin; set local idle_in_transaction_session_timeout = 0;
         lock table events in access exclusive mode",
    )
    .await;
    let mut reading = Vec::new();
    for _ in 0..20 {
        let mut follower = log.follow_after(0, everything()).await.unwrap();
        reading.push(tokio::spawn(async move { follower.next().await.map(drop) }));
    }
    // As many as may read at once, of eight connections.
    test.until_waiting(3).await;
    proxy.silence_existing();
    execute(&mut blocking, "rollback").await;
    for reader in reading {
        reader.abort();
    }
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    assert!(!next_events(&mut follower).await.unwrap().is_empty());
}

/// The feeder is in the middle of a look at the head when its connections fall silent.
#[tokio::test]
async fn a_look_at_the_head_that_is_never_answered_is_made_again() {
    let test = TestLog::create().await;
    let link = Link::to(&test.database.url()).await;
    let log = open(&link.url(&test.database.url()), SCHEMA, impatient(), None).await;
    let mut follower = log.follow_after(0, everything()).await.unwrap();
    let mut locking = test.connection().await;
    execute(
        &mut locking,
        "begin; set local idle_in_transaction_session_timeout = 0; lock table log_head",
    )
    .await;
    test.until_waiting(1).await;
    link.forget_connections();
    execute(&mut locking, "rollback").await;
    test.open().await.append(drafts(0..10)).await.unwrap();
    assert_eq!(next_events(&mut follower).await.unwrap().len(), 10);
}

/// A connection that is dropped while its link is silent must not keep its place in the pool.
#[tokio::test]
async fn a_silent_connection_leaves_its_place_in_the_pool() {
    let test = TestLog::create().await;
    let url = test.database.url();
    let proxy = Proxy::start(&url).await;
    let pool = pool(&proxy.url(&url), SCHEMA).await;
    for _ in 0..2 {
        let mut lent = Vec::new();
        for _ in 0..5 {
            lent.push(pool.acquire().await.unwrap());
        }
        proxy.silence_existing();
        drop(lent);
        let mut connection = pool.acquire().await.unwrap();
        execute(&mut connection, "select 1").await;
    }
    // Of those that are idle it is found out when they are lent.
    proxy.silence_existing();
    sqlx::raw_sql("select 1").execute(&pool).await.unwrap();
}

#[tokio::test]
async fn a_process_that_stops_while_it_holds_the_head_keeps_others_waiting_for_seconds_only() {
    let test = TestLog::create().await;
    let log = test.open_with(LogConfig::default()).await;
    append_one(&log, 0).await;
    let mut stopped = test.connection().await;
    execute(&mut stopped, "begin; select from log_head for update").await;
    let begun = Instant::now();
    append_one(&log, 1).await;
    assert!(begun.elapsed() < LogConfig::default().append_timeout);
    assert!(stopped.ping().await.is_err());
}

/// The server does not end what is silent in the middle of a COPY.
#[tokio::test]
async fn a_process_that_stops_in_the_middle_of_its_rows_is_ended_by_those_who_wait() {
    let test = TestLog::create().await;
    let log = test.open_with(LogConfig::default()).await;
    append_one(&log, 0).await;
    let mut stopped = test.connection().await;
    execute(&mut stopped, "begin; select from log_head for update").await;
    let copy = stopped
        .copy_in_raw("copy events (position) from stdin")
        .await
        .unwrap();
    let begun = Instant::now();
    let batch = drafts(1..10);
    let first = log.append(batch.clone()).await;
    assert!(not_stored(&first), "{first:?}");
    let receipts = loop {
        match log.append(batch.clone()).await {
            Ok(receipts) => break receipts,
            Err(error) => assert!(not_stored(&Err(error))),
        }
    };
    assert_eq!(receipts[0].position, 2);
    assert!(begun.elapsed() < 2 * LogConfig::default().append_timeout);
    drop(copy);
}
