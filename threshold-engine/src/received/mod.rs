//! The points of the events that are received. What is read here can be stored and evaluated.

mod releases;

use std::sync::Arc;

use atlas_events::{ReleasePart, event::Payload, parse_decimal, parse_event_id};
use chrono::{Datelike, NaiveDate};
use consumer::{HandlerError, SourcedEvent};
use sqlx::PgConnection;

use evaluation::series::{Cause, Point};

pub(crate) use releases::{OpenReleases, Waiting};

/// The evaluation knows no contract: a definition could name a series that no event can be about, or the reverse.
const _: () =
    assert!(evaluation::expression::SERIES_ID_CHARS_MAX == atlas_events::SERIES_ID_CHARS_MAX);

/// The points of all events that bring any, in order, without those that wait for the last part of
/// their release.
pub(crate) async fn read_points(
    connection: &mut PgConnection,
    events: &[SourcedEvent],
) -> Result<Vec<Point>, HandlerError> {
    let mut points = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let first = points.len();
        let refused = |reason| HandlerError::permanent(index, reason);
        read_event(event, &mut points).map_err(refused)?;
        if let Some(part) = part_of(event) {
            let joined = releases::join(connection, part, first, &mut points).await;
            // Its points were checked above: no event is to blame.
            joined.map_err(HandlerError::transient)?;
        }
    }
    Ok(points)
}

/// Which part of a release an event is.
pub(crate) fn part_of(event: &SourcedEvent) -> Option<ReleasePart> {
    match &event.event.payload {
        Some(Payload::SeriesCollected(collected)) => collected.release_part,
        _ => None,
    }
}

/// The points of an event in the order of its steps: as they became known. None if it is of another
/// type. `Err`: why it cannot be evaluated.
pub(crate) fn read_event(event: &SourcedEvent, points: &mut Vec<Point>) -> Result<(), String> {
    let Some(Payload::SeriesCollected(collected)) = &event.event.payload else {
        return Ok(());
    };
    let event_id = parse_event_id(&event.event.event_id)
        .map_err(|_| format!("event_id \"{}\" is no ULID", event.event.event_id))?;
    if collected.series_id.is_empty() {
        return Err("series_id is missing".to_owned());
    }
    if collected.series_id.contains('\0') {
        return Err("series_id holds a NUL character".to_owned());
    }
    let series: Arc<str> = collected.series_id.as_str().into();
    let first = points.len();
    for (index, given) in (0..).zip(&collected.data_points) {
        let at = |problem: String| format!("data_points[{index}].{problem}");
        // Those years that the contract has and the database keeps.
        let date = given.date.parse().ok();
        let date = date.filter(|date: &NaiveDate| (1..=9999).contains(&date.year()));
        let date = date.ok_or_else(|| at(format!("date \"{}\" is no date", given.date)))?;
        // Without the zeros at the end, as the database may have others.
        let value = match &given.value {
            Some(text) => Some(
                parse_decimal(text)
                    .ok_or_else(|| at(format!("value \"{text}\" is no decimal")))?
                    .normalize(),
            ),
            None => None,
        };
        let known_from = given.known_at(event.occurred_at());
        let known_from = known_from
            .ok_or_else(|| at("known_from is not a time in the years 1 to 9999".to_owned()))?;
        points.push(Point {
            cause: Cause {
                source: Arc::clone(&event.source),
                position: event.position(),
                index,
                event_id,
                occurred_at: event.occurred_at(),
            },
            series: Arc::clone(&series),
            date,
            known_from,
            value,
        });
    }
    points[first..].sort_by_key(|point| point.known_from);
    Ok(())
}
