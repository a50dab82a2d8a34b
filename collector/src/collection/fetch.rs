//! Asking FRED for everything that became known since a day.

use chrono::{DateTime, Days, NaiveDate, Utc};
use tracing::{info, warn};

use super::days::Days as KnownDays;
use crate::{
    fred::{
        FIRST_REALTIME_DAY, FredClient, FredError, FredFailure, FredObservation, LAST_REALTIME_DAY,
        ObservationsQuery,
    },
    series::SeriesRow,
};

/// FRED refuses more than 2,000 vintage dates in one request. One fewer, as another may come up
/// before the last request is made.
const WINDOW_VINTAGES_MAX: usize = 1_999;

/// What FRED said.
#[derive(Debug)]
pub(super) struct Fetched {
    /// Values that were known at some time since the cursor; in the end by date and time, each once.
    pub(super) rows: Vec<FredObservation>,
    /// The newest day on which anything became known: everything up to it is in `rows`. Later news
    /// of that same day are found by asking from that day on, inclusively.
    pub(super) cursor: Option<NaiveDate>,
}

/// Asks for all that became known from the series' cursor on; for all there ever was if it has none.
pub(super) async fn fetch(
    fred: &FredClient,
    series: &SeriesRow,
    now: DateTime<Utc>,
) -> Result<Fetched, FredFailure> {
    let today = now.date_naive();
    let cursor = series.vintage_cursor.filter(|cursor| *cursor <= today);
    if cursor != series.vintage_cursor {
        let series_id = &series.series_id;
        warn!(
            series_id,
            "the cursor of the series lies in the future; everything is fetched again"
        );
    }
    let asking = async {
        match fetch_vintages(fred, series, cursor, today).await {
            Err(failure) if failure.error.is_unarchived() => fetch_today(fred, series).await,
            fetched => fetched,
        }
    };
    // Each request has its time, but their number is up to the source.
    let timeout = fred.collection_timeout();
    let asked = tokio::time::timeout(timeout, asking).await;
    let fetched = asked.unwrap_or_else(|_| {
        let error = FredError::Timeout { timeout };
        Err(FredFailure { error, attempts: 1 })
    })?;
    Ok(Fetched {
        rows: joined(fetched.rows)?,
        // What FRED dates a day ahead of our clock is asked for again, until that day has come.
        cursor: fetched.cursor.max(cursor).map(|cursor| cursor.min(today)),
    })
}

async fn fetch_vintages(
    fred: &FredClient,
    series: &SeriesRow,
    cursor: Option<NaiveDate>,
    today: NaiveDate,
) -> Result<Fetched, FredFailure> {
    let since = cursor.unwrap_or(FIRST_REALTIME_DAY);
    // There is at most one vintage a day, so that a recent cursor needs no look at them.
    let days = (today - since).num_days();
    let vintages = if usize::try_from(days + 2).is_ok_and(|days| days <= WINDOW_VINTAGES_MAX) {
        Vec::new()
    } else {
        fred.vintage_dates(&series.series_id, since).await?
    };
    let windows = windows(since, &vintages);
    let mut rows = Vec::new();
    for (index, window) in windows.iter().enumerate() {
        rows.extend(fred.observations(&query(series, Some(*window))).await?);
        fred.check_rows(rows.len())?;
        if cursor.is_none() {
            let (window, windows) = (index + 1, windows.len());
            let rows = rows.len();
            info!(
                series_id = series.series_id,
                window, windows, rows, "backfill"
            );
        }
    }
    let newest_row = rows.iter().map(|row| row.realtime_start).max();
    let cursor = vintages.last().copied().max(newest_row);
    Ok(Fetched { rows, cursor })
}

/// The values of today, of a series whose past values FRED does not keep. What they differ in from
/// what is known became known today.
async fn fetch_today(fred: &FredClient, series: &SeriesRow) -> Result<Fetched, FredFailure> {
    let mut rows = fred.observations(&query(series, None)).await?;
    for row in &mut rows {
        row.realtime_end = LAST_REALTIME_DAY;
    }
    let cursor = rows.iter().map(|row| row.realtime_start).max();
    Ok(Fetched { rows, cursor })
}

fn query(series: &SeriesRow, realtime: Option<(NaiveDate, NaiveDate)>) -> ObservationsQuery {
    ObservationsQuery {
        series_id: series.series_id.clone(),
        realtime,
        observation_start: series.backfill_from,
    }
}

/// Contiguous periods from a day until the end of the calendar that hold no more vintages than FRED
/// gives at once.
fn windows(since: NaiveDate, vintages: &[NaiveDate]) -> Vec<(NaiveDate, NaiveDate)> {
    let mut starts: Vec<NaiveDate> = vintages
        .chunks(WINDOW_VINTAGES_MAX)
        .skip(1)
        .filter_map(|chunk| chunk.first().copied())
        .collect();
    starts.insert(0, since);
    let ends = starts.iter().skip(1).map(|next| *next - Days::new(1));
    let ends: Vec<_> = ends.chain([LAST_REALTIME_DAY]).collect();
    starts.into_iter().zip(ends).collect()
}

/// Rows by date and day, with those joined that a window cut in two, and with a row without value
/// from the day on which a date ceased to be part of the series.
///
/// A date that is gone while none before it is there was not withdrawn: the series begins later
/// than it did, as when a licence allows fewer years. What was known of it stays known.
fn joined(mut rows: Vec<FredObservation>) -> Result<Vec<FredObservation>, FredFailure> {
    rows.sort_unstable_by_key(|row| (row.date, row.realtime_start));
    let mut joined: Vec<FredObservation> = Vec::with_capacity(rows.len());
    // On which days any of the earlier dates had a value.
    let mut earlier = KnownDays::default();
    for of_date in rows.chunk_by(|a, b| a.date == b.date) {
        let first = joined.len();
        for row in of_date {
            let Some(last) = joined[first..].last() else {
                joined.push(row.clone());
                continue;
            };
            if row.realtime_start <= last.realtime_end {
                return Err(overlap(row));
            }
            let follows = row.realtime_start == last.realtime_end + Days::new(1);
            if follows && row.value == last.value {
                if let Some(last) = joined.last_mut() {
                    last.realtime_end = row.realtime_end;
                }
                continue;
            }
            if !follows {
                let gap = gap_after(last, row.realtime_start - Days::new(1));
                joined.extend(earlier.contain(gap.realtime_start).then_some(gap));
            }
            joined.push(row.clone());
        }
        if let Some(last) = joined[first..].last()
            && last.realtime_end < LAST_REALTIME_DAY
        {
            let gap = gap_after(last, LAST_REALTIME_DAY);
            joined.extend(earlier.contain(gap.realtime_start).then_some(gap));
        }
        for row in joined[first..].iter().filter(|row| row.value.is_some()) {
            earlier.add(row.realtime_start, row.realtime_end);
        }
    }
    Ok(joined)
}

fn gap_after(row: &FredObservation, realtime_end: NaiveDate) -> FredObservation {
    FredObservation {
        realtime_start: row.realtime_end + Days::new(1),
        realtime_end,
        date: row.date,
        value: None,
    }
}

fn overlap(row: &FredObservation) -> FredFailure {
    let problem = format!(
        "two values of {} are both the known one on {}",
        row.date, row.realtime_start
    );
    let error = FredError::Malformed { problem };
    FredFailure { error, attempts: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn row(date: &str, start: &str, end: &str, value: &str) -> FredObservation {
        FredObservation {
            realtime_start: day(start),
            realtime_end: day(end),
            date: day(date),
            value: atlas_events::parse_decimal(value),
        }
    }

    #[test]
    fn windows_are_contiguous_and_hold_few_enough_vintages() {
        let first = day("2000-01-01");
        let since = day("1776-07-04");
        assert_eq!(windows(since, &[]), [(since, LAST_REALTIME_DAY)]);
        let vintages: Vec<_> = first
            .iter_days()
            .take(2 * WINDOW_VINTAGES_MAX + 1)
            .collect();
        let windows = windows(since, &vintages);
        assert_eq!(windows.len(), 3);
        assert_eq!(windows[0].0, since);
        assert_eq!(windows[2].1, LAST_REALTIME_DAY);
        for pair in windows.windows(2) {
            assert_eq!(pair[0].1 + Days::new(1), pair[1].0);
        }
        for (start, end) in windows {
            let held = vintages.iter().filter(|day| (start..=end).contains(day));
            assert!(held.count() <= WINDOW_VINTAGES_MAX);
        }
    }

    #[test]
    fn what_a_window_cut_in_two_is_one_row_again() {
        let rows = vec![
            row("2020-01-01", "2020-03-01", "9999-12-31", "2"),
            row("2020-01-01", "2020-02-01", "2020-02-29", "2"),
        ];
        let whole = row("2020-01-01", "2020-02-01", "9999-12-31", "2");
        assert_eq!(joined(rows).unwrap(), [whole]);
    }

    #[test]
    fn a_date_that_left_the_series_is_a_row_without_value() {
        let rows = vec![
            row("2019-12-01", "2020-01-01", "9999-12-31", "0"),
            row("2020-01-01", "2020-02-01", "2020-02-10", "1"),
            row("2020-01-01", "2020-03-01", "2020-03-10", "2"),
            row("2020-02-01", "2020-03-01", "2020-03-05", "3"),
        ];
        let found = joined(rows).unwrap();
        let gaps: Vec<_> = found.iter().filter(|row| row.value.is_none()).collect();
        assert_eq!(
            gaps,
            [
                &row("2020-01-01", "2020-02-11", "2020-02-29", "."),
                &row("2020-01-01", "2020-03-11", "9999-12-31", "."),
                &row("2020-02-01", "2020-03-06", "9999-12-31", "."),
            ]
        );
    }

    #[test]
    fn a_series_that_begins_later_than_it_did_has_withdrawn_nothing() {
        let rows = vec![
            // A licence that allows less from March on, and still less from April on.
            row("2020-01-01", "2020-02-01", "2020-02-29", "1"),
            row("2020-01-02", "2020-02-01", "2020-03-31", "2"),
            // This one comes back.
            row("2020-01-03", "2020-02-01", "2020-03-31", "3"),
            row("2020-01-03", "2020-05-01", "9999-12-31", "3"),
            row("2020-01-04", "2020-02-01", "9999-12-31", "4"),
            // This one was withdrawn: there is an earlier one.
            row("2020-01-05", "2020-02-01", "2020-03-31", "5"),
        ];
        let found = joined(rows.clone()).unwrap();
        let gaps: Vec<_> = found.iter().filter(|row| row.value.is_none()).collect();
        assert_eq!(gaps, [&row("2020-01-05", "2020-04-01", "9999-12-31", ".")]);
        assert_eq!(found.len(), rows.len() + 1);
    }

    #[test]
    fn values_that_contradict_each_other_are_refused() {
        let rows = vec![
            row("2020-01-01", "2020-02-01", "9999-12-31", "1"),
            row("2020-01-01", "2020-03-01", "9999-12-31", "2"),
        ];
        let failure = joined(rows).unwrap_err();
        assert_eq!(failure.error.code(), "MALFORMED_RESPONSE");
    }
}
