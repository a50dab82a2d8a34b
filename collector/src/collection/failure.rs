//! Recording that a collection was given up, whatever the reason.

use std::time::Duration;

use atlas_events::{CollectionFailedEvent, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use event_log::{LogError, within};
use metrics::counter;
use schedule::Schedule;
use tokio::time::timeout;
use tracing::{Instrument, warn};

use super::{
    CollectError, SeriesCollector,
    commit::{TRANSACTION_MAX, draft},
};
use crate::{
    fred::{FredError, FredFailure},
    series::store,
};

/// How long a failure of the database may keep itself from being recorded.
const PATIENCE: Duration = Duration::from_secs(5);
const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(6);

/// What of a failure is recorded.
struct GivenUp {
    code: String,
    message: String,
    attempts: u32,
}

impl GivenUp {
    /// `None` for what is no failure, or cannot be recorded.
    fn of(error: &CollectError) -> Option<Self> {
        let (code, message) = match error {
            CollectError::Source(failure) => {
                return Some(Self {
                    code: failure.error.code(),
                    message: failure.error.to_string(),
                    attempts: failure.attempts,
                });
            }
            CollectError::NotFound(_)
            | CollectError::Busy(_)
            | CollectError::Log(LogError::Closed) => return None,
            CollectError::Panicked => {
                let message = "the collector failed internally; see its log";
                ("INTERNAL", message.to_owned())
            }
            CollectError::Log(LogError::Database(error)) | CollectError::Database(error) => {
                let state = sqlstate(error).map(|code| format!(" (SQLSTATE {code})"));
                let state = state.unwrap_or_default();
                let message = format!("the database failed while this was collected{state}");
                ("DATABASE", message)
            }
            CollectError::Log(_) => {
                let message = "the log could not store what was collected";
                ("DATABASE", message.to_owned())
            }
        };
        Some(Self {
            code: code.to_owned(),
            message,
            attempts: 1,
        })
    }
}

/// What the source gave and cannot be stored, as a failure of the source.
pub(super) fn unusable(problem: String) -> CollectError {
    let error = FredError::Malformed { problem };
    CollectError::Source(FredFailure { error, attempts: 1 })
}

/// A failure as what it is: faults of the data are the source's, those of the pace the database's.
pub(super) fn sorted(error: CollectError) -> CollectError {
    match error {
        CollectError::Source(FredFailure {
            error: FredError::Pace(error),
            ..
        }) => CollectError::Database(error),
        CollectError::Log(LogError::Database(error)) | CollectError::Database(error) => {
            // Classes: faults of data, of constraints, and what is too large.
            let state = sqlstate(&error);
            let is_of_data = |state: &String| ["22", "23", "54"].contains(&&state[..2]);
            match state.filter(is_of_data) {
                Some(state) => {
                    warn!(%error, "the database refuses what was collected");
                    unusable(format!("the database cannot hold it (SQLSTATE {state})"))
                }
                None => CollectError::Database(error),
            }
        }
        error => error,
    }
}

fn sqlstate(error: &sqlx::Error) -> Option<String> {
    let code = error.as_database_error()?.code()?;
    (code.len() == 5 && code.is_ascii()).then(|| code.into_owned())
}

/// Records a failure on the series and in the log. A failure of the database that cannot be recorded
/// is only logged.
///
/// # Errors
/// If a failure of something else than the database cannot be recorded.
pub(super) async fn record(
    collector: &SeriesCollector,
    series_id: &str,
    error: &CollectError,
    asked_at: DateTime<Utc>,
) -> Result<(), CollectError> {
    let Some(given_up) = GivenUp::of(error) else {
        return Ok(());
    };
    let recording = write(collector, series_id, &given_up, asked_at);
    let is_of_database = matches!(error, CollectError::Log(_) | CollectError::Database(_));
    if !is_of_database {
        return within(TRANSACTION_MAX, recording).await;
    }
    if !matches!(timeout(PATIENCE, recording).await, Ok(Ok(()))) {
        warn!(series_id, %error, "the collection was interrupted; it is repeated");
    }
    Ok(())
}

/// In one transaction. Nothing if the series has been deleted meanwhile.
async fn write(
    collector: &SeriesCollector,
    series_id: &str,
    given_up: &GivenUp,
    asked_at: DateTime<Utc>,
) -> Result<(), CollectError> {
    let GivenUp {
        code,
        message,
        attempts,
    } = given_up;
    let mut transaction = collector.pool.begin().await?;
    let Some(row) = store::lock(&mut transaction, series_id).await? else {
        return Ok(());
    };
    let failures_before = row.consecutive_failures.unsigned_abs();
    let next = next_attempt(&row.schedule(), failures_before, collector.now());
    let recorded = store::Failure {
        series_id,
        error_code: code,
        error_message: message,
        asked_at,
        next_collection_at: next,
    };
    store::fail(&mut transaction, &recorded).await?;
    let next_attempt_at = (!row.paused).then_some(next);
    let event = CollectionFailedEvent {
        series_id: series_id.to_owned(),
        error_code: code.clone(),
        error_message: message.clone(),
        attempt: *attempts,
        next_attempt_at: next_attempt_at.map(Into::into),
    };
    let draft = draft(
        Payload::CollectionFailed(event),
        &collector.log.acceptance(),
    )?;
    let appended = collector
        .log
        .append_in(&mut transaction, vec![draft])
        .await?;
    let committing = transaction.commit();
    committing.instrument(trace_context::commit()).await?;
    appended.committed();

    counter!("fredcollector_collections_total", "source" => "fred", "outcome" => "failed")
        .increment(1);
    let next = next_attempt_at.map(|next| next.to_rfc3339());
    warn!(
        series_id,
        code,
        error = message,
        attempts,
        next,
        "collection given up"
    );
    Ok(())
}

/// A minute after the first failure, then twice as long each time, but not later than the schedule
/// says.
fn next_attempt(schedule: &Schedule, failures_before: u32, now: DateTime<Utc>) -> DateTime<Utc> {
    let doublings = failures_before.min(16);
    let wait = (FIRST_WAIT * (1 << doublings)).min(LONGEST_WAIT);
    schedule.next_after(now).min(now + wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_bound_and_up_to_the_schedule() {
        let now = "2024-10-12T14:00:00Z".parse().unwrap();
        let minutes = |schedule: &str, failures| {
            let schedule = schedule.parse().unwrap();
            (next_attempt(&schedule, failures, now) - now).num_minutes()
        };
        let yearly = "0 0 1 1 *";
        assert_eq!(minutes(yearly, 0), 1);
        assert_eq!(minutes(yearly, 3), 8);
        assert_eq!(minutes(yearly, 9), 360);
        assert_eq!(minutes(yearly, u32::MAX), 360);
        assert_eq!(minutes("5 * * * *", 9), 5);
    }
}
