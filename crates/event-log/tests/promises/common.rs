//! A log under test, and the plain model that it is compared with.

use std::{sync::atomic::Ordering, time::Duration};

use atlas_events::{Draft, Event, EventFilter, WantedEvents};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{
    Delivery, EventLog, Followed, Follower, LogConfig, LogError, Projection, RangeRead, Receipt,
};
use proptest::test_runner::Config as ProptestConfig;
use sqlx::{Connection, PgConnection, PgPool};
use test_support::{TestDatabase, custom_event_at, draft, eventually, until_waiting};
use tokio::time::timeout;

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const SCHEMA: &str = "log";

/// Where an event is, and which.
pub(crate) type Place = (u64, String);

/// A database with one log in it, that any number of handles (as of several processes) open.
pub(crate) struct TestLog {
    pub(crate) database: TestDatabase,
}

impl TestLog {
    pub(crate) async fn create() -> Self {
        let database = TestDatabase::create().await;
        Self { database }
    }

    pub(crate) async fn open(&self) -> EventLog {
        self.open_with(patient()).await
    }

    pub(crate) async fn open_with(&self, config: LogConfig) -> EventLog {
        open(&self.patient_url(), SCHEMA, config, None).await
    }

    pub(crate) async fn open_projecting(
        &self,
        projection: std::sync::Arc<dyn Projection>,
    ) -> EventLog {
        open(&self.patient_url(), SCHEMA, patient(), Some(projection)).await
    }

    /// For sessions that a test holds up in the middle of a transaction.
    fn patient_url(&self) -> String {
        let url = self.database.url();
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}options=-c%20idle_in_transaction_session_timeout=120s")
    }

    /// A connection of a caller that appends within transactions of its own.
    pub(crate) async fn connection(&self) -> PgConnection {
        let options = event_log::connect_options(&self.database.url(), SCHEMA).unwrap();
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// What SQL shows, in position order.
    pub(crate) async fn stored(&self) -> Vec<Place> {
        let rows: Vec<(i64, String)> =
            sqlx::query_as("select position, event_id from events order by position")
                .fetch_all(&mut self.connection().await)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(position, id)| (position.try_into().unwrap(), id))
            .collect()
    }

    /// Appends a copy of the last event, under another id, as an append does but for the
    /// notification.
    pub(crate) async fn append_silently(&self) {
        execute(
            &mut self.connection().await,
            "with moved as (
                 update log_head set last_position = last_position + 1 returning last_position
             )
             insert into events
             select last_position, occurred_at, recorded_at,
                    overlay(event_id placing 'Z' from 26),
                    event_type, source_service, series_ids, payload, encoded
             from events, moved where position = last_position - 1",
        )
        .await;
    }

    /// Keeps every append waiting until the returned transaction's connection is dropped or rolled
    /// back.
    pub(crate) async fn block_appends(&self) -> PgConnection {
        let mut connection = self.connection().await;
        execute(
            &mut connection,
            "begin; set local idle_in_transaction_session_timeout = 0;
             select from log_head for update",
        )
        .await;
        connection
    }

    /// Waits until this many sessions wait for a lock.
    pub(crate) async fn until_waiting(&self, sessions: usize) {
        until_waiting(DEADLINE, &mut self.connection().await, sessions).await;
    }

    /// Waits until so many sessions have come to a state in a statement that begins so.
    pub(crate) async fn until_in(&self, sessions: i64, state: &str, statement: &str) {
        let mut connection = self.connection().await;
        eventually(DEADLINE, async || {
            let found: i64 = sqlx::query_scalar(
                "select count(*) from pg_stat_activity
                 where datname = current_database() and state = $1 and starts_with(query, $2)",
            )
            .bind(state)
            .bind(statement)
            .fetch_one(&mut connection)
            .await
            .unwrap();
            found == sessions
        })
        .await;
    }

    /// Waits until the rows of so many groups are stored in transactions that have not gone on.
    pub(crate) async fn until_prepared(&self, groups: i64) {
        self.until_in(groups, "idle in transaction", "copy events")
            .await;
    }
}

/// For appends that a test holds up.
fn patient() -> LogConfig {
    LogConfig {
        append_timeout: 4 * DEADLINE,
        ..LogConfig::default()
    }
}

pub(crate) async fn pool(url: &str, schema: &str) -> PgPool {
    event_log::connect(url, schema, 8).await.unwrap()
}

pub(crate) async fn open(
    url: &str,
    schema: &str,
    config: LogConfig,
    projection: Option<std::sync::Arc<dyn Projection>>,
) -> EventLog {
    let pool = pool(url, schema).await;
    EventLog::open(pool, config, projection).await.unwrap()
}

pub(crate) async fn execute(connection: &mut PgConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// Events of these types.
pub(crate) fn wanted(types: &[&str]) -> EventFilter {
    let types = types.iter().map(ToString::to_string).collect();
    EventFilter::unrestricted(WantedEvents::new(types, Vec::new()).unwrap())
}

pub(crate) fn everything() -> EventFilter {
    EventFilter::unrestricted(WantedEvents::default())
}

pub(crate) fn place(event: &Event) -> Place {
    (event.position, event.event_id.clone())
}

pub(crate) fn places(drafts: &[Draft], receipts: &[Receipt]) -> Vec<Place> {
    assert_eq!(drafts.len(), receipts.len());
    let positions = receipts.iter().map(|receipt| receipt.position);
    positions
        .zip(drafts.iter().map(|draft| draft.event_id.to_string()))
        .collect()
}

pub(crate) fn events(delivery: &Delivery) -> Vec<Event> {
    let events: Vec<_> = delivery.events().map(Result::unwrap).collect();
    assert_eq!(events.len(), delivery.count);
    events
}

/// What comes next; a test that waits for too long has failed.
pub(crate) async fn next(follower: &mut Follower) -> Result<Followed, LogError> {
    timeout(DEADLINE, follower.next()).await.unwrap()
}

/// The next events, whatever markers come before them.
pub(crate) async fn next_events(follower: &mut Follower) -> Result<Vec<Event>, LogError> {
    loop {
        if let Followed::Events(delivery) = next(follower).await? {
            return Ok(events(&delivery));
        }
    }
}

/// Reads until `last_position` has been considered.
pub(crate) async fn read_up_to(follower: &mut Follower, last_position: u64) -> Vec<Event> {
    let reading = read_until_considered(follower, last_position);
    timeout(DEADLINE, reading).await.unwrap()
}

async fn read_until_considered(follower: &mut Follower, last_position: u64) -> Vec<Event> {
    let cursor = follower.cursor();
    let mut read: Vec<Event> = Vec::new();
    while cursor.load(Ordering::Acquire) < last_position {
        let considered = eventually(DEADLINE, async || {
            cursor.load(Ordering::Acquire) >= last_position
        });
        // What is not wanted moves the cursor and ends no call.
        tokio::select! {
            biased;
            found = follower.next() => {
                if let Followed::Events(delivery) = found.unwrap() {
                    let fresh = events(&delivery);
                    let last = read.last().map_or(0, |event| event.position);
                    assert!(fresh[0].position > last, "position {last} comes again");
                    read.extend(fresh);
                }
            }
            () = considered => {}
        }
    }
    read
}

pub(crate) async fn read_range(mut range: RangeRead) -> Result<Vec<Event>, LogError> {
    let mut read = Vec::new();
    while let Some(delivery) = timeout(DEADLINE, range.next()).await.unwrap()? {
        assert!(delivery.count > 0);
        read.extend(events(&delivery));
    }
    Ok(read)
}

/// A chunk of the hypertable begins at each multiple of a week since 1970; this is the last one
/// that lies at least `weeks` weeks before `now`.
pub(crate) fn chunk_boundary(now: DateTime<Utc>, weeks: i64) -> DateTime<Utc> {
    let week = TimeDelta::weeks(1).num_seconds();
    let boundary = now.timestamp().div_euclid(week) - weeks;
    DateTime::from_timestamp(boundary * week, 0).unwrap()
}

/// Event number `n` of a given time.
pub(crate) fn draft_at(n: u64, occurred_at: DateTime<Utc>) -> Draft {
    draft(custom_event_at(n, occurred_at))
}

/// So many cases of a property; each takes a while, so that shrinking is bounded too.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    }
}
