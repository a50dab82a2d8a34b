//! How an event reads: one line for people.

use std::collections::HashMap;

use anstyle::Style;
use atlas_events::{
    CollectionFailedEvent, CrossingDirection, CustomEvent, DataPoint, DefinitionChange,
    DefinitionChangedEvent, DefinitionKind, DefinitionState, Event, RegimeTransitionEvent,
    SeriesCollectedEvent, ThresholdCrossedEvent, Timestamp, event::Payload,
};
use chrono::SecondsFormat;

use super::{
    alerts,
    style::{self, decimal, whole_numbers},
};
use crate::arguments::Printing;

/// Longer texts of events are cut.
const TEXT_CHARS_MAX: usize = 200;

/// Renders events and remembers, per series, which dates have been seen: a value of such a date
/// that became known later is a revision.
#[derive(Debug, Default)]
pub(crate) struct Renderer {
    seen: HashMap<String, SeenDates>,
    shows_ids: bool,
    is_coloured: bool,
}

#[derive(Debug)]
struct SeenDates {
    first: String,
    last: String,
}

impl Renderer {
    /// For standard output.
    pub(crate) fn new(printing: Printing) -> Self {
        Self {
            seen: HashMap::new(),
            shows_ids: printing.ids,
            is_coloured: style::is_wanted(),
        }
    }

    /// Position, time, id if wanted, type, series, and what happened; tab-free, one line.
    pub(crate) fn line(&mut self, event: &Event) -> String {
        let at = match self.shows_ids {
            true => format!(
                "{}  {:<26}",
                time(event.occurred_at),
                clean(&event.event_id)
            ),
            false => time(event.occurred_at),
        };
        let (event_type, about, what) = match &event.payload {
            Some(Payload::SeriesCollected(collected)) => {
                let what = self.collected(collected);
                ("SeriesCollectedEvent", collected.series_id.clone(), what)
            }
            Some(Payload::CollectionFailed(failed)) => {
                let series = failed.series_id.clone();
                let what = self.styled(style::of_failure(), failure(failed));
                ("CollectionFailedEvent", series, what)
            }
            Some(Payload::ThresholdCrossed(crossed)) => {
                let series: Vec<_> = crossed
                    .inputs
                    .iter()
                    .map(|i| i.series_id.as_str())
                    .collect();
                let what = self.styled(style::of_severity(&crossed.severity), crossing(crossed));
                ("ThresholdCrossedEvent", series.join(","), what)
            }
            Some(Payload::RegimeTransition(transition)) => {
                let what = regime(transition);
                ("RegimeTransitionEvent", String::new(), what)
            }
            Some(Payload::DefinitionChanged(changed)) => {
                let (series, what) = (changed.series_ids.join(","), definition(changed));
                ("DefinitionChangedEvent", series, what)
            }
            Some(Payload::AlertChanged(changed)) => {
                let what = clean(&alerts::alert(changed));
                let what = self.styled(style::of_severity(&changed.severity), what);
                ("AlertChangedEvent", changed.owner.clone(), what)
            }
            Some(Payload::DeliveryChanged(changed)) => {
                let what = clean(&alerts::delivery(changed));
                ("DeliveryChangedEvent", changed.owner.clone(), what)
            }
            Some(Payload::Custom(custom)) => return custom_line(event, &at, custom),
            Some(Payload::Typed(any)) => {
                let (source, bytes) = (event.source_service.clone(), any.value.len());
                (any.type_name(), source, format!("{bytes} bytes"))
            }
            Some(Payload::Heartbeat(marker)) => {
                let behind = marker.head_position.saturating_sub(marker.position);
                return format!("-- heartbeat at {}, {behind} behind", marker.position);
            }
            Some(Payload::CaughtUp(marker)) => {
                return format!("-- caught up at {}", marker.position);
            }
            Some(Payload::FellBehind(marker)) => {
                let head = marker.head_position;
                return format!(
                    "-- fell behind at {}, the log is at {head}",
                    marker.position
                );
            }
            Some(Payload::Undeliverable(stand_in)) => {
                let what = format!("{}: {}", stand_in.event_type, stand_in.message);
                ("undeliverable", String::new(), clean(&what))
            }
            None => ("unknown", String::new(), "of a newer version".to_owned()),
        };
        let (position, about) = (event.position, clean(&about));
        let event_type = clean(event_type);
        format!("{position:>8}  {at}  {event_type:<21}  {about:<12}  {what}")
    }

    fn styled(&self, style: Style, text: String) -> String {
        match self.is_coloured {
            true => format!("{style}{text}{style:#}"),
            false => text,
        }
    }

    fn collected(&mut self, event: &SeriesCollectedEvent) -> String {
        let mut points: Vec<&DataPoint> = event.data_points.iter().collect();
        // In the order in which they became known; dates are ISO, so their order is that of texts.
        points.sort_by_key(|point| (known_from(point), &point.date));
        let (mut newest, mut revised): (Option<&DataPoint>, Vec<&DataPoint>) = (None, Vec::new());
        for point in points {
            if self.is_revision(&event.series_id, &point.date) {
                revised.push(point);
            }
            if newest.is_none_or(|newest| newest.date <= point.date) {
                newest = Some(point);
            }
        }
        let count = match event.data_points.len() {
            1 => "1 point".to_owned(),
            count => format!("{count} points"),
        };
        let newest = newest.map_or_else(String::new, |point| format!(", newest {}", value(point)));
        let revisions = match revised.as_slice() {
            [] => String::new(),
            [only] => format!("; revised {}", value(only)),
            [.., last] => format!("; {} revised, last {}", revised.len(), value(last)),
        };
        let part = event.release_part.map_or_else(String::new, |part| {
            format!("; part {} of {}", part.number, part.count)
        });
        format!("{count}{newest}{revisions}{part}")
    }

    /// Whether a value of this date was seen before; takes note of the date.
    fn is_revision(&mut self, series_id: &str, date: &str) -> bool {
        let Some(seen) = self.seen.get_mut(series_id) else {
            let (first, last) = (date.to_owned(), date.to_owned());
            self.seen
                .insert(series_id.to_owned(), SeenDates { first, last });
            return false;
        };
        if date < seen.first.as_str() {
            seen.first = date.to_owned();
            return false;
        }
        if date > seen.last.as_str() {
            seen.last = date.to_owned();
            return false;
        }
        true
    }
}

fn known_from(point: &DataPoint) -> (i64, i32) {
    point
        .known_from
        .map_or((i64::MAX, 0), |at| (at.seconds, at.nanos))
}

fn value(point: &DataPoint) -> String {
    let value = point.value.as_deref().unwrap_or("no value");
    clean(&format!("{} = {value}", point.date))
}

fn failure(failed: &CollectionFailedEvent) -> String {
    let next = match failed.next_attempt_at {
        Some(at) => format!(", next {}", time(Some(at))),
        None => ", no further attempt".to_owned(),
    };
    let attempt = failed.attempt;
    let message = clean(&failed.error_message);
    format!(
        "{} after attempt {attempt}: {message}{next}",
        clean(&failed.error_code)
    )
}

fn crossing(crossed: &ThresholdCrossedEvent) -> String {
    let direction = match (crossed.direction(), crossed.withdrawn) {
        (CrossingDirection::Revised, false) => {
            format!("after all {}", turn(crossed.revised_direction()))
        }
        (CrossingDirection::Revised, true) => {
            format!("after all not {}", turn(crossed.revised_direction()))
        }
        (direction, _) => turn(direction).to_owned(),
    };
    let compared = match (&crossed.value, &crossed.threshold) {
        (Some(value), Some(threshold)) => {
            format!(" ({} against {})", decimal(value), decimal(threshold))
        }
        (Some(value), None) => format!(" ({})", decimal(value)),
        (None, _) => String::new(),
    };
    let (pattern, date) = (&crossed.pattern_id, &crossed.observation_date);
    clean(&format!(
        "{pattern} {direction} on {date}{compared} {}",
        crossed.severity
    ))
}

fn turn(direction: CrossingDirection) -> &'static str {
    match direction {
        CrossingDirection::Unspecified => "changed",
        CrossingDirection::Entered => "entered",
        CrossingDirection::Cleared => "cleared",
        CrossingDirection::NoData => "has no data",
        CrossingDirection::Data => "has data again",
        CrossingDirection::Revised => "revised",
    }
}

fn regime(transition: &RegimeTransitionEvent) -> String {
    let RegimeTransitionEvent {
        model_id,
        from_regime,
        to_regime,
        since,
        ..
    } = transition;
    let by = match transition.definition_event_id.is_empty() {
        true => "",
        false => " (by a definition)",
    };
    let revision = match (transition.revised, transition.withdrawn) {
        (true, true) => " (after all not)",
        (true, false) => " (after all)",
        (false, _) => "",
    };
    clean(&format!(
        "{model_id} {from_regime} -> {to_regime} since {since}{revision}{by}"
    ))
}

fn definition(changed: &DefinitionChangedEvent) -> String {
    let kind = match changed.kind() {
        DefinitionKind::Unspecified => "definition",
        DefinitionKind::Pattern => "pattern",
        DefinitionKind::Regime => "regime model",
    };
    let what = match changed.change() {
        DefinitionChange::Unspecified => "changed",
        DefinitionChange::Deployed => "deployed",
        DefinitionChange::Replaced => "replaced",
        DefinitionChange::Suspended => "suspended",
        DefinitionChange::Removed => "removed",
        DefinitionChange::Stated => "stated",
    };
    let state = |state: &Option<DefinitionState>| {
        let state = state.as_ref().map(|state| state.state.clone());
        state.unwrap_or_else(|| "not evaluated".to_owned())
    };
    let (before, after) = (state(&changed.before), state(&changed.after));
    let reason = match changed.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    let id = &changed.definition_id;
    clean(&format!("{kind} {id} {what}, {before} -> {after}{reason}"))
}

fn custom_line(event: &Event, at: &str, custom: &CustomEvent) -> String {
    // By way of a value, whose keys are sorted: the same event always reads the same.
    let data = custom.data.as_ref().map(serde_json::to_value);
    let data = whole_numbers(data.and_then(Result::ok).unwrap_or_default()).to_string();
    let event_type = format!("custom:{}", custom.r#type);
    let (position, source) = (event.position, clean(&event.source_service));
    format!(
        "{position:>8}  {at}  {event_type:<21}  {source:<12}  {}",
        clean(&data)
    )
}

/// A time with milliseconds, of constant width.
pub(crate) fn time(at: Option<Timestamp>) -> String {
    at.and_then(Timestamp::to_utc).map_or_else(
        || "no time".to_owned(),
        |at| at.to_rfc3339_opts(SecondsFormat::Millis, true),
    )
}

/// One line of bounded length, whatever a publisher wrote: nothing in it controls a terminal.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned: String = text.chars().take(TEXT_CHARS_MAX).collect();
    cleaned = service::visible(&cleaned).into_owned();
    if text.chars().nth(TEXT_CHARS_MAX).is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(date: &str, value: Option<&str>, known_from: i64) -> DataPoint {
        DataPoint {
            date: date.to_owned(),
            value: value.map(str::to_owned),
            known_from: Some(Timestamp {
                seconds: known_from,
                nanos: 0,
            }),
        }
    }

    #[track_caller]
    fn check(renderer: &mut Renderer, points: Vec<DataPoint>, expected: &str) {
        let event = SeriesCollectedEvent {
            series_id: "UNRATE".to_owned(),
            data_points: points,
            collected_at: None,
            release_part: None,
        };
        assert_eq!(renderer.collected(&event), expected);
    }

    #[test]
    fn the_life_of_a_definition_is_one_line() {
        let state = |state: &str| DefinitionState {
            state: state.to_owned(),
            since: "2026-01-01".to_owned(),
            active: None,
        };
        let mut changed = DefinitionChangedEvent {
            kind: DefinitionKind::Pattern.into(),
            definition_id: "vix-high".to_owned(),
            change: DefinitionChange::Suspended.into(),
            before: Some(state("active")),
            reason: "too\ncostly".to_owned(),
            ..DefinitionChangedEvent::default()
        };
        let line = definition(&changed);
        assert!(!line.contains('\n'), "{line}");
        let expected = "pattern vix-high suspended, active -> not evaluated: too";
        assert!(line.starts_with(expected), "{line}");
        changed.kind = DefinitionKind::Regime.into();
        changed.change = DefinitionChange::Replaced.into();
        changed.after = Some(state("calm"));
        changed.reason.clear();
        let expected = "regime model vix-high replaced, active -> calm";
        assert_eq!(definition(&changed), expected);
        let shifted = RegimeTransitionEvent {
            model_id: "mood".to_owned(),
            from_regime: "tense".to_owned(),
            to_regime: "calm".to_owned(),
            since: "2026-01-01".to_owned(),
            definition_event_id: "01M8FXRCPNH5JC7RGNRT580KME".to_owned(),
            ..RegimeTransitionEvent::default()
        };
        let expected = "mood tense -> calm since 2026-01-01 (by a definition)";
        assert_eq!(regime(&shifted), expected);
    }

    #[test]
    fn points_are_counted_and_revisions_marked() {
        let mut renderer = Renderer::default();
        let backfill = vec![
            point("2026-01-01", Some("4.0"), 10),
            point("2026-02-01", Some("4.1"), 20),
            point("2026-01-01", Some("4.2"), 20),
        ];
        let expected = "3 points, newest 2026-02-01 = 4.1; revised 2026-01-01 = 4.2";
        check(&mut renderer, backfill, expected);
        let release = vec![
            point("2026-01-01", Some("4.3"), 30),
            point("2026-02-01", None, 30),
            point("2026-03-01", Some("4.4"), 30),
        ];
        let expected = "3 points, newest 2026-03-01 = 4.4; 2 revised, last 2026-02-01 = no value";
        check(&mut renderer, release, expected);
        let older = vec![point("2025-12-01", Some("3.9"), 5)];
        check(&mut renderer, older, "1 point, newest 2025-12-01 = 3.9");
    }

    #[test]
    fn a_line_stays_a_line() {
        let hostile = format!("a\n\x1b[31m\u{202e}\u{2028}{}", "x".repeat(1_000));
        let cleaned = clean(&hostile);
        assert!(cleaned.starts_with("a  [31m  x"), "{cleaned}");
        assert_eq!(cleaned.chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn an_event_shows_position_time_type_and_series() {
        let event = Event {
            position: 42,
            occurred_at: Some(Timestamp {
                seconds: 0,
                nanos: 5_000_000,
            }),
            payload: Some(Payload::CollectionFailed(CollectionFailedEvent {
                series_id: "ICSA".to_owned(),
                error_code: "TIMEOUT".to_owned(),
                error_message: "no answer".to_owned(),
                attempt: 3,
                next_attempt_at: None,
            })),
            ..Event::default()
        };
        let words: Vec<_> = "42 1970-01-01T00:00:00.005Z CollectionFailedEvent ICSA TIMEOUT after \
                             attempt 3: no answer, no further attempt"
            .split_whitespace()
            .collect();
        let line = Renderer::default().line(&event);
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), words);
    }
}
