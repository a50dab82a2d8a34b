//! Recording that a collection was given up.

use atlas_events::{CollectionFailedEvent, event::Payload};
use chrono::{DateTime, TimeDelta, Utc};
use metrics::counter;
use tracing::{Instrument, warn};

use super::{CollectError, SeriesCollector, commit::draft};
use crate::{
    fred::FredFailure,
    series::{Schedule, store},
};

const FIRST_WAIT: TimeDelta = TimeDelta::minutes(1);
const LONGEST_WAIT: TimeDelta = TimeDelta::hours(6);

/// Records a failure on the series and in the log, in one transaction. Nothing if the series has been
/// deleted meanwhile.
pub(super) async fn record(
    collector: &SeriesCollector,
    series_id: &str,
    failure: &FredFailure,
    asked_at: DateTime<Utc>,
) -> Result<(), CollectError> {
    let (code, message) = (failure.error.code(), failure.error.to_string());
    let mut transaction = collector.pool.begin().await?;
    let Some(row) = store::lock(&mut transaction, series_id).await? else {
        return Ok(());
    };
    let failures_before = row.consecutive_failures.unsigned_abs();
    let next = next_attempt(&row.schedule(), failures_before, collector.now());
    let recorded = store::Failure {
        series_id,
        error_code: &code,
        error_message: &message,
        asked_at,
        next_collection_at: next,
    };
    store::fail(&mut transaction, &recorded).await?;
    let next_attempt_at = (!row.paused).then_some(next);
    let event = CollectionFailedEvent {
        series_id: series_id.to_owned(),
        error_code: code.clone(),
        error_message: message,
        attempt: failure.attempts,
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
    let (attempts, error) = (failure.attempts, &failure.error);
    warn!(series_id, code, %error, attempts, next, "collection given up");
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
