//! The event that every workload carries.

use atlas_events::{DataPoint, Event, SeriesCollectedEvent, Timestamp, event::Payload};
use ulid::Ulid;

/// What is measured, in words.
pub(crate) const DESCRIPTION: &str = "one SeriesCollectedEvent with one data point and a trace \
                                      context, about 200 bytes on the wire";

/// Event `number` of a log, due at `due_us` (microseconds since the Unix epoch), which is its
/// `occurred_at`. The same arguments give the same event, and so the same id.
pub(crate) fn event(number: u64, due_us: u64) -> Event {
    // An odd factor spreads the number over all bits and never gives two numbers the same.
    let spread = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let at = Timestamp {
        seconds: (due_us / 1_000_000) as i64,
        nanos: (due_us % 1_000_000 * 1_000) as i32,
    };
    let point = DataPoint {
        date: "2026-01-01".to_owned(),
        value: Some(format!("{}.{:03}", 100 + number % 900, spread % 1_000)),
        known_from: Some(at),
    };
    Event {
        event_id: Ulid::from_parts(due_us / 1_000, u128::from(spread)).to_string(),
        occurred_at: Some(at),
        source_service: "atlas-bench".to_owned(),
        traceparent: format!("00-{spread:032x}-{number:016x}-01"),
        payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
            series_id: format!("SERIES{:04}", number % 1_000),
            data_points: vec![point],
            collected_at: Some(at),
            release_part: None,
        })),
        ..Event::default()
    }
}

/// How large an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Size {
    /// As [`event`] makes it: about 200 bytes on the wire.
    #[default]
    Usual,
    /// That many data points, of about 20 bytes each; a single one makes about 100 bytes in all.
    Points(u64),
}

/// Event `number` of a log, of that size.
pub(crate) fn sized(number: u64, due_us: u64, size: Size) -> Event {
    let mut event = event(number, due_us);
    let Some(Payload::SeriesCollected(series)) = &mut event.payload else {
        return event;
    };
    let Size::Points(points) = size else {
        return event;
    };
    series.series_id = format!("S{}", number % 10);
    series.collected_at = None;
    series.data_points = (0..points).map(point).collect();
    event.traceparent.clear();
    event
}

fn point(number: u64) -> DataPoint {
    DataPoint {
        date: format!(
            "{}-{:02}-{:02}",
            1_950 + number / 336,
            1 + number / 28 % 12,
            1 + number % 28
        ),
        value: Some(format!("{}", 100 + number % 900)),
        known_from: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prost::Message;

    use super::*;

    #[test]
    fn an_event_has_about_200_bytes_on_the_wire() {
        for number in [0, 999, 123_456_789] {
            let mut event = event(number, 1_790_000_000_123_456);
            event.position = number + 1;
            event.recorded_at = event.occurred_at;
            let length = event.encoded_len();
            assert!((185..=215).contains(&length), "{length}");
        }
    }

    #[test]
    fn events_have_about_the_size_asked_for() {
        for (size, expected) in [
            (Size::Points(1), 90..=120),
            (Size::Points(48), 950..=1_150),
            (Size::Points(520), 9_500..=11_000),
        ] {
            let mut event = sized(7, 1_790_000_000_123_456, size);
            event.position = 8;
            event.recorded_at = event.occurred_at;
            let length = event.encoded_len();
            assert!(expected.contains(&length), "{size:?}: {length}");
        }
    }

    #[test]
    fn an_event_is_made_again_and_ids_do_not_repeat() {
        assert_eq!(event(7, 1_000), event(7, 1_000));
        let ids: HashSet<_> = (0..100_000).map(|n| event(n, 1_000).event_id).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
