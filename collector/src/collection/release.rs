//! How news is divided among transactions and events: what became known at one time is a release and
//! stays together.

use atlas_events::{DataPoint, RELEASE_PARTS_MAX, ReleasePart, SeriesCollectedEvent, Timestamp};

use super::news::News;

/// At most this many data points in one event.
const EVENT_POINTS_MAX: usize = 1_000;
/// At most this many in one transaction, which nobody else can append during, unless one release has
/// more.
pub(super) const COMMIT_POINTS_MAX: usize = 10 * EVENT_POINTS_MAX;

/// So many of the news, in the order in which it became known, belong into the next transaction:
/// whole releases.
pub(super) fn transaction_points(news: &[News]) -> usize {
    let mut count = 0;
    for release in releases(news) {
        if count > 0 && count + release.len() > COMMIT_POINTS_MAX {
            break;
        }
        count += release.len();
    }
    count
}

/// The events of news. A release that is too large for one event has events of its own, its parts;
/// others share events, as many as find room.
pub(super) fn events(
    series_id: &str,
    collected_at: Timestamp,
    news: &[News],
) -> Vec<SeriesCollectedEvent> {
    let event = |points: &[News], release_part| SeriesCollectedEvent {
        series_id: series_id.to_owned(),
        data_points: points.iter().map(DataPoint::from).collect(),
        collected_at: Some(collected_at),
        release_part,
    };
    let mut events = Vec::new();
    let (mut start, mut end) = (0, 0);
    for release in releases(news) {
        let is_large = release.len() > EVENT_POINTS_MAX;
        if start < end && (is_large || end - start + release.len() > EVENT_POINTS_MAX) {
            events.push(event(&news[start..end], None));
            start = end;
        }
        end += release.len();
        if is_large {
            let parts = release.chunks(EVENT_POINTS_MAX);
            let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            let part =
                |number| (count <= RELEASE_PARTS_MAX).then_some(ReleasePart { number, count });
            let parts = (1..).zip(parts);
            events.extend(parts.map(|(number, points)| event(points, part(number))));
            start = end;
        }
    }
    if start < end {
        events.push(event(&news[start..end], None));
    }
    events
}

fn releases(news: &[News]) -> impl Iterator<Item = &[News]> {
    news.chunk_by(|a, b| a.known_from == b.known_from)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Days, NaiveDate, TimeDelta};
    use proptest::prelude::*;

    use super::*;

    fn news(releases: &[usize]) -> Vec<News> {
        let release = |(known, count): (i64, &usize)| {
            (0..*count).map(move |number| News {
                known_from: DateTime::UNIX_EPOCH + TimeDelta::days(known),
                date: NaiveDate::MIN + Days::new(number as u64),
                value: None,
            })
        };
        (0..).zip(releases).flat_map(release).collect()
    }

    proptest! {
        #[test]
        fn what_became_known_together_stays_together(
            sizes in prop::collection::vec(prop_oneof![8 => 1..30usize, 2 => 900..1_100usize, 1 => 1_900..12_000usize], 1..30),
        ) {
            let all = news(&sizes);
            let mut rest = &all[..];
            let mut divided = Vec::new();
            while !rest.is_empty() {
                let (transaction, after) = rest.split_at(transaction_points(rest));
                prop_assert!(transaction.len() <= COMMIT_POINTS_MAX
                    || transaction[0].known_from == transaction[transaction.len() - 1].known_from);
                prop_assert!(after.first().is_none_or(|next| next.known_from > transaction[transaction.len() - 1].known_from));
                rest = after;
                let mut expected_part = 1;
                for event in events("S", Timestamp::default(), transaction) {
                    let points = &event.data_points;
                    prop_assert!((1..=EVENT_POINTS_MAX).contains(&points.len()));
                    let known_before = divided.last().map(|point: &DataPoint| point.known_from);
                    let goes_on = known_before == Some(points[0].known_from);
                    match event.release_part {
                        None => prop_assert!(!goes_on && expected_part == 1),
                        Some(part) => {
                            prop_assert_eq!(part.number, expected_part);
                            prop_assert_eq!(goes_on, part.number > 1);
                            prop_assert!(points.iter().all(|point| point.known_from == points[0].known_from));
                            expected_part = if part.number == part.count { 1 } else { part.number + 1 };
                        }
                    }
                    divided.extend(event.data_points);
                }
                prop_assert_eq!(expected_part, 1);
            }
            prop_assert_eq!(divided, all.iter().map(DataPoint::from).collect::<Vec<_>>());
        }
    }
}
