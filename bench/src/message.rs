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
        })),
        ..Event::default()
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
    fn an_event_is_made_again_and_ids_do_not_repeat() {
        assert_eq!(event(7, 1_000), event(7, 1_000));
        let ids: HashSet<_> = (0..100_000).map(|n| event(n, 1_000).event_id).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
