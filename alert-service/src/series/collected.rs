//! The observations of events.

use std::collections::BTreeMap;

use atlas_events::{event::Payload, parse_decimal};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use consumer::SourcedEvent;
use evaluation::series::{Future, reached};

use super::book::Points;

/// What an event says of a series.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) series: String,
    /// Of each date the newest vintage.
    pub(crate) points: Points,
}

/// Reads an event. `None` if it is of another type; `Err`: why it can never be taken in.
pub(crate) fn read(event: &SourcedEvent) -> Result<Option<Collected>, String> {
    let Some(Payload::SeriesCollected(collected)) = &event.event.payload else {
        return Ok(None);
    };
    let series = collected.series_id.clone();
    if series.is_empty() || series.contains('\0') {
        return Err("series_id is missing or holds a NUL character".to_owned());
    }
    let occurred_at = event.occurred_at();
    let mut newest: BTreeMap<NaiveDate, Future> = BTreeMap::new();
    let mut moment: Option<DateTime<Utc>> = None;
    for (index, given) in collected.data_points.iter().enumerate() {
        let at = |problem: String| format!("data_points[{index}].{problem}");
        let date = given.date.parse().ok();
        let date = date.filter(|date: &NaiveDate| (1..=9999).contains(&date.year()));
        let date = date.ok_or_else(|| at(format!("date \"{}\" is no date", given.date)))?;
        let value = given.value.as_deref().map(|text| {
            let value = parse_decimal(text).map(|value| value.normalize());
            value.ok_or_else(|| at(format!("value \"{text}\" is no decimal")))
        });
        let known_from = given.known_at(occurred_at);
        let known_from = known_from
            .ok_or_else(|| at("known_from is not a time in the years 1 to 9999".to_owned()))?;
        let vintage = Future {
            known_from,
            value: value.transpose()?,
        };
        moment = moment.max(Some(known_from.min(occurred_at)));
        let kept = newest.entry(date).or_insert(vintage);
        if kept.known_from <= known_from {
            *kept = vintage;
        }
    }
    let Some(moment) = moment else {
        return Ok(None);
    };
    Ok(Some(Collected {
        series,
        points: Points {
            points: newest.into_iter().collect(),
            reached: Some(reached(moment)),
        },
    }))
}
