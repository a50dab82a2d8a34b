//! The latest time of the events that a filter wants, among the newest of a log.
//!
//! No index has it, so a number of positions is looked through. What that costs the log is bounded
//! whoever asks and however often: one query at a time, one a second for each filter, and each
//! ends by itself.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use atlas_events::EventFilter;
use chrono::{DateTime, Utc};
use sqlx::Connection;
use tokio::{sync::Mutex, time::timeout};

use crate::{
    EventLog, LogError, columns::stored, head::segments::Window, read::page::SCAN_POSITIONS_MAX,
};

/// An answer is given again for so long.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// For so long a caller waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(10);

/// What was answered just now.
#[derive(Debug, Default)]
pub(crate) struct LatestTimes(Arc<Mutex<Answers>>);

type Answers = HashMap<EventFilter, (Instant, Answer)>;

/// `Err` if it could not be found out: callers that ask again at once must not cost another query.
type Answer = Result<Option<DateTime<Utc>>, Failed>;

#[derive(Debug, Clone, Copy)]
struct Failed;

impl LatestTimes {
    /// The latest `occurred_at` of the wanted events among the newest
    /// [`SCAN_POSITIONS_MAX`](crate::read::page::SCAN_POSITIONS_MAX) positions.
    ///
    /// # Errors
    /// [`LogError::Database`], also if the database takes longer than two seconds, or too many
    /// callers are before this one.
    pub(crate) async fn of(
        &self,
        log: &EventLog,
        filter: EventFilter,
    ) -> Result<Option<DateTime<Utc>>, LogError> {
        let turn = timeout(TURN_PATIENCE, Arc::clone(&self.0).lock_owned()).await;
        let mut known = turn.map_err(|_| LogError::Database(sqlx::Error::PoolTimedOut))?;
        known.retain(|_, (answered, _)| answered.elapsed() < KNOWN_FOR);
        if let Some((_, latest)) = known.get(&filter) {
            return latest.map_err(|Failed| LogError::Database(sqlx::Error::PoolTimedOut));
        }
        // In a task of its own, which keeps the turn: a caller that goes away would leave its query
        // behind on the connection, and the next one would begin another.
        let log = log.clone();
        let asking = tokio::spawn(async move {
            let latest = newest(&log, &filter, SCAN_POSITIONS_MAX).await;
            let answer = latest.as_ref().copied().map_err(|_| Failed);
            known.insert(filter, (Instant::now(), answer));
            latest
        });
        asking.await.map_err(|_| LogError::Closed)?
    }
}

async fn newest(
    log: &EventLog,
    filter: &EventFilter,
    positions: u64,
) -> Result<Option<DateTime<Utc>>, LogError> {
    let head = log.head().await?;
    let after = head.last_position.saturating_sub(positions);
    let mut reader = log.readers().connect().await?;
    let mut transaction = reader.ask()?.begin().await?;
    sqlx::query("set local statement_timeout = '2s'")
        .execute(&mut *transaction)
        .await?;
    let segments = log.segments();
    let Some(window) = segments.window(&mut *transaction, after, positions).await? else {
        return Ok(None);
    };
    let latest = within(&mut transaction, after, window, filter).await?;
    transaction.rollback().await?;
    reader.answered();
    Ok(latest)
}

async fn within(
    connection: &mut sqlx::PgConnection,
    after: u64,
    window: Window,
    filter: &EventFilter,
) -> Result<Option<DateTime<Utc>>, LogError> {
    let latest = sqlx::query_scalar!(
        "select max(occurred_at) from events
         where position > $1 and position <= $2 and occurred_at between $3 and $4
             and ($5::text[] is null or event_type = any($5)
                  or ($6 and event_type like 'custom:%'))
             and ($7::text[] is null or series_ids && $7)
             and ($8::text[] is null or source_service = any($8))
             and ($9::text[] is null or (series_ids <@ $9 and series_ids <> '{}'))",
        stored(after),
        stored(window.up_to),
        window.bounds.earliest,
        window.bounds.latest,
        filter.event_types(),
        filter.any_custom(),
        filter.series_ids(),
        filter.source_services(),
        filter.series_within(),
    )
    .fetch_one(connection)
    .await?;
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use atlas_events::WantedEvents;
    use test_support::{TestDatabase, custom_event, draft, series_event};

    use super::*;
    use crate::{LogConfig, connect};

    /// A log with few connections that holds an event of a series and then others.
    async fn log_in(database: &TestDatabase) -> (EventLog, sqlx::PgPool) {
        let pool = connect(&database.url(), "log", 6).await.unwrap();
        let config = LogConfig {
            retention: None,
            ..LogConfig::default()
        };
        let log = EventLog::open(pool.clone(), config, None).await.unwrap();
        let others = (2..12).map(|n| draft(custom_event(n)));
        let series = draft(series_event(1, "NORTH", "2024-05-01", "1"));
        let drafts = std::iter::once(series).chain(others);
        log.append(drafts.collect()).await.unwrap();
        (log, pool)
    }

    fn everything() -> EventFilter {
        EventFilter::unrestricted(WantedEvents::default())
    }

    fn of_north() -> EventFilter {
        let series: Arc<[String]> = vec!["NORTH".to_owned()].into();
        everything().about_only(series)
    }

    #[tokio::test]
    async fn only_the_newest_positions_are_looked_through() {
        let database = TestDatabase::create().await;
        let (log, _pool) = log_in(&database).await;
        let own = draft(series_event(1, "NORTH", "2024-05-01", "1")).occurred_at;
        let found = async |positions| newest(&log, &of_north(), positions).await.unwrap();
        assert_eq!(found(11).await, Some(own));
        assert_eq!(found(10).await, None);
        assert_eq!(found(1_000).await, Some(own));
        let all = newest(&log, &everything(), 3).await.unwrap();
        assert_eq!(all, Some(draft(custom_event(11)).occurred_at));
    }

    #[tokio::test]
    async fn calls_that_are_given_up_hold_one_connection_and_not_for_long() {
        let database = TestDatabase::create().await;
        let (log, pool) = log_in(&database).await;
        let mut holder = database.connection().await;
        sqlx::raw_sql("begin; lock table log.events in access exclusive mode")
            .execute(&mut holder)
            .await
            .unwrap();
        let filter = of_north();
        for _ in 0..20 {
            let asking = log.latest_occurred_at(&filter);
            assert!(timeout(Duration::from_millis(20), asking).await.is_err());
        }
        let mut acquired = Vec::new();
        for _ in 0..2 {
            let acquiring = timeout(Duration::from_secs(5), pool.acquire()).await;
            acquired.push(acquiring.unwrap().unwrap());
        }
        // The one that runs ends by itself, and with an error.
        let asked = log.latest_occurred_at(&filter).await;
        assert!(matches!(asked, Err(LogError::Database(_))), "{asked:?}");
    }
}
