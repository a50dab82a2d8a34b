//! Storing what a collection brought.

use std::{ops::RangeInclusive, time::Duration};

use atlas_events::{Draft, Event, event::Payload};
use chrono::{DateTime, Utc};
use event_log::{Receipt, Uncommitted};
use metrics::counter;
use sqlx::PgConnection;
use trace_context::TraceContext;
use tracing::{Instrument, info, warn};

use super::{
    CollectError, Collected, SOURCE_SERVICE, SeriesCollector,
    failure::unusable,
    fetch::Fetched,
    known::Known,
    news::{News, midnight, news},
    next,
    release::{COMMIT_POINTS_MAX, events, transaction_points},
};
use crate::{
    fred::{FredObservation, FredSeries},
    series::{SeriesRow, store},
};

/// For one transaction. Longer than the server lets a statement run, so that it says
/// itself why it ended one.
pub(super) const TRANSACTION_MAX: Duration = Duration::from_secs(75);

/// How long it may take to store what was fetched.
pub(super) fn time_max(fetched: &Fetched) -> Duration {
    let transactions = fetched.rows.len() / COMMIT_POINTS_MAX + 1;
    TRANSACTION_MAX * u32::try_from(transactions).unwrap_or(u32::MAX)
}

impl SeriesCollector {
    /// Stores what is new of what was fetched, and that everything up to the cursor is known now.
    /// `None` if the series is not as it was `before` any more: what was fetched may then be out of
    /// date.
    ///
    /// Much news is stored by several transactions, in the order in which it became known. The
    /// cursor moves with the last one: a collection that ends before is made again, and finds that
    /// what it stored is known.
    pub(super) async fn commit(
        &self,
        before: &SeriesRow,
        metadata: Option<FredSeries>,
        fetched: Fetched,
        asked_at: DateTime<Utc>,
    ) -> Result<Option<Collected>, CollectError> {
        let series_id = &before.series_id;
        let mut version = before.version;
        let mut found: Option<Vec<News>> = None;
        let mut stored = 0;
        let mut positions = None;
        loop {
            let mut transaction = self.pool.begin().await?;
            let row = store::lock(&mut transaction, series_id)
                .await?
                .ok_or_else(|| CollectError::NotFound(series_id.clone()))?;
            if row.version != version {
                return Ok(None);
            }
            let news = match &found {
                Some(news) => news,
                None => found.insert(compare(&mut transaction, before, &fetched.rows).await?),
            };
            let rest = &news[stored..];
            let part = &rest[..transaction_points(rest)];
            let is_last = stored + part.len() == news.len();
            if is_last {
                self.keep_metadata(&mut transaction, &row, metadata.as_ref(), asked_at)
                    .await?;
            }
            let is_news = !news.is_empty();
            let row = with_frequency(row, metadata.as_ref());
            let next_collection_at = self.next_collection(&row, is_news);
            if is_last {
                let success = store::Success {
                    series_id,
                    metadata: metadata.as_ref(),
                    vintage_cursor: fetched.cursor,
                    asked_at,
                    next_collection_at,
                };
                store::succeed(&mut transaction, &success).await?;
            } else {
                store::progress(&mut transaction, series_id).await?;
            }
            let appended = self
                .append(&mut transaction, series_id, part, asked_at)
                .await?;
            let committing = transaction.commit();
            committing.instrument(trace_context::commit()).await?;
            let receipts = appended.as_ref().map_or(&[][..], Uncommitted::receipts);
            positions = spanned(positions, span(receipts));
            if let Some(appended) = appended {
                appended.committed();
            }
            counter!("fredcollector_data_points_total", "source" => "fred")
                .increment(part.len() as u64);

            version += 1;
            stored += part.len();
            if is_last {
                return Ok(Some(Collected {
                    series_id: series_id.clone(),
                    data_points: stored,
                    first_position: positions.as_ref().map(|span| *span.start()),
                    last_position: positions.as_ref().map(|span| *span.end()),
                    next_collection_at,
                }));
            }
            info!(series_id, stored, of = news.len(), "storing data points");
        }
    }

    /// A schedule that was set names releases, which may be late. One by frequency asks now and then.
    fn next_collection(&self, row: &SeriesRow, is_news: bool) -> DateTime<Utc> {
        let (schedule, now) = (row.schedule(), self.now());
        if is_news || row.schedule.is_none() {
            return schedule.next_after(now);
        }
        if row.next_collection_at > now {
            // Asked by hand; its next time stays.
            return row.next_collection_at.min(schedule.next_after(now));
        }
        next::without_news(&schedule, now, self.news_wait)
    }

    /// Records that the source describes a series otherwise than before, if it does.
    async fn keep_metadata(
        &self,
        connection: &mut PgConnection,
        row: &SeriesRow,
        metadata: Option<&FredSeries>,
        asked_at: DateTime<Utc>,
    ) -> Result<(), CollectError> {
        let Some(metadata) = metadata.filter(|metadata| row.is_described_otherwise(metadata))
        else {
            return Ok(());
        };
        store::keep_metadata(connection, &row.series_id, asked_at).await?;
        warn!(
            series_id = row.series_id,
            title_before = row.title,
            title = metadata.title,
            units_before = row.units,
            units = metadata.units,
            frequency_before = row.frequency,
            frequency = metadata.frequency,
            seasonal_adjustment_before = row.seasonal_adjustment,
            seasonal_adjustment = metadata.seasonal_adjustment,
            "the source changed the description of the series"
        );
        counter!("fredcollector_metadata_changes_total", "source" => "fred").increment(1);
        Ok(())
    }

    /// Appends the events of one transaction.
    async fn append(
        &self,
        connection: &mut PgConnection,
        series_id: &str,
        news: &[News],
        asked_at: DateTime<Utc>,
    ) -> Result<Option<Uncommitted>, CollectError> {
        if news.is_empty() {
            return Ok(None);
        }
        let acceptance = self.log.acceptance();
        let drafts: Vec<Draft> = events(series_id, asked_at.into(), news)
            .into_iter()
            .map(|collected| draft(Payload::SeriesCollected(collected), &acceptance))
            .collect::<Result<_, _>>()?;
        Ok(Some(self.log.append_in(connection, drafts).await?))
    }
}

/// The positions of one transaction.
fn span(receipts: &[Receipt]) -> Option<RangeInclusive<u64>> {
    let ends = receipts.first().zip(receipts.last());
    ends.map(|(first, last)| first.position..=last.position)
}

/// An event of the collector that occurs now.
pub(super) fn draft(
    payload: Payload,
    acceptance: &atlas_events::Acceptance,
) -> Result<Draft, CollectError> {
    let event = Event {
        source_service: SOURCE_SERVICE.to_owned(),
        traceparent: TraceContext::current()
            .map_or_else(String::new, |context| context.to_string()),
        payload: Some(payload),
        ..Event::default()
    };
    // What the source gives was checked when it was decoded; should it break a rule of the contract
    // all the same, it is as unusable.
    Draft::new(event, acceptance).map_err(|violation| unusable(violation.to_string()))
}

/// What is new, given what is stored at this moment.
async fn compare(
    connection: &mut PgConnection,
    before: &SeriesRow,
    rows: &[FredObservation],
) -> Result<Vec<News>, sqlx::Error> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
        return Ok(Vec::new());
    };
    let since = rows.iter().map(|row| row.realtime_start).min();
    let since = midnight(since.unwrap_or(first.realtime_start));
    let dates = (first.date, last.date);
    let known = Known::read(connection, &before.series_id, dates, since).await?;
    Ok(news(rows, known))
}

fn with_frequency(mut row: SeriesRow, metadata: Option<&FredSeries>) -> SeriesRow {
    if let Some(metadata) = metadata {
        row.frequency = Some(metadata.frequency.clone());
    }
    row
}

fn spanned(
    before: Option<RangeInclusive<u64>>,
    more: Option<RangeInclusive<u64>>,
) -> Option<RangeInclusive<u64>> {
    match (before, more) {
        (Some(before), Some(more)) => Some(*before.start()..=*more.end()),
        (before, more) => before.or(more),
    }
}
