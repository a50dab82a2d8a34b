//! Where a reader is, and the proof that it missed nothing.

use atlas_events::{GetLogInfoResponse, SubscriptionRequest, Timestamp};

/// Where to begin when no event has been received yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// After this position.
    After(u64),
    /// With the first event of this time or later.
    Since(Timestamp),
    /// With the first event that is kept.
    Beginning,
    /// So many positions before the last one.
    Last(u64),
    /// With what is stored from now on.
    Live,
}

/// A stream that is not what was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Gap {
    #[error("the stream has a hole: position {found} came where {expected} was due")]
    Hole { expected: u64, found: u64 },
    #[error("the stream went back: position {found} came after {after}")]
    Back { after: u64, found: u64 },
}

/// Follows the positions of a stream. On an unfiltered stream they are consecutive, which proves
/// that nothing is missing; on a filtered one they rise.
#[derive(Debug)]
pub(crate) struct Cursor {
    start: Start,
    after: Option<u64>,
    unfiltered: bool,
}

impl Cursor {
    pub(crate) fn new(start: Start, unfiltered: bool) -> Self {
        let after = match start {
            Start::After(position) => Some(position),
            Start::Since(_) | Start::Beginning | Start::Last(_) | Start::Live => None,
        };
        Self {
            start,
            after,
            unfiltered,
        }
    }

    /// Turns a relative start into a position, so that even a live reader that is interrupted
    /// before its first event misses nothing.
    pub(crate) fn anchor(&mut self, info: &GetLogInfoResponse) {
        // What a limited token does not extend to is left out, as though by a filter.
        self.unfiltered &= !info.limited;
        self.after = self.after.or(match self.start {
            Start::Beginning => Some(info.first_position.saturating_sub(1)),
            Start::Last(events) => {
                let kept_after = info.first_position.saturating_sub(1);
                Some(info.last_position.saturating_sub(events).max(kept_after))
            }
            Start::Live => Some(info.last_position),
            Start::After(_) | Start::Since(_) => None,
        });
    }

    /// Everything up to this position has been received; `None` while a seek has brought nothing.
    pub(crate) fn after(&self) -> Option<u64> {
        self.after
    }

    /// Makes a request go on where this reader is.
    pub(crate) fn apply(&self, request: &mut SubscriptionRequest) {
        request.after_position = self.after;
        request.start_from = match (self.after, self.start) {
            (None, Start::Since(time)) => Some(time),
            _ => None,
        };
    }

    /// Takes the position of an event.
    pub(crate) fn event(&mut self, found: u64) -> Result<(), Gap> {
        if let Some(after) = self.after {
            let expected = after + 1;
            if found < expected {
                return Err(Gap::Back { after, found });
            }
            if self.unfiltered && found != expected {
                return Err(Gap::Hole { expected, found });
            }
        }
        self.after = Some(found);
        Ok(())
    }

    /// Takes the position of a marker: everything wanted up to it has been delivered.
    pub(crate) fn marker(&mut self, found: u64) -> Result<(), Gap> {
        match self.after {
            Some(after) if found < after => Err(Gap::Back { after, found }),
            Some(after) if self.unfiltered && found > after => Err(Gap::Hole {
                expected: after + 1,
                found: found + 1,
            }),
            _ => {
                self.after = Some(found);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfiltered_stream_has_every_position() {
        let mut cursor = Cursor::new(Start::After(4), true);
        assert_eq!(cursor.event(5), Ok(()));
        assert_eq!(cursor.marker(5), Ok(()));
        let hole = Gap::Hole {
            expected: 6,
            found: 7,
        };
        assert_eq!(cursor.event(7), Err(hole));
        assert_eq!(cursor.event(5), Err(Gap::Back { after: 5, found: 5 }));
        assert!(cursor.marker(6).is_err(), "the marker passed over an event");
    }

    #[test]
    fn a_filtered_stream_rises_and_markers_move_it() {
        let mut cursor = Cursor::new(Start::After(0), false);
        assert_eq!(cursor.event(5), Ok(()));
        assert_eq!(cursor.marker(9), Ok(()));
        assert!(cursor.event(9).is_err());
        assert_eq!(cursor.event(12), Ok(()));
        assert_eq!(cursor.after(), Some(12));
    }

    #[test]
    fn a_relative_start_becomes_a_position_once() {
        let info = |first_position, last_position| GetLogInfoResponse {
            first_position,
            last_position,
            ..GetLogInfoResponse::default()
        };
        for (start, expected) in [(Start::Live, 20), (Start::Beginning, 9)] {
            let mut cursor = Cursor::new(start, true);
            cursor.anchor(&info(10, 20));
            cursor.anchor(&info(30, 40));
            assert_eq!(cursor.after(), Some(expected), "{start:?}");
        }
    }

    #[test]
    fn a_seek_becomes_a_position_with_the_first_message() {
        let since = Timestamp {
            seconds: 1,
            nanos: 0,
        };
        let mut cursor = Cursor::new(Start::Since(since), true);
        let mut request = SubscriptionRequest::default();
        cursor.apply(&mut request);
        assert_eq!(
            (request.start_from, request.after_position),
            (Some(since), None)
        );
        cursor.event(70).unwrap();
        cursor.apply(&mut request);
        assert_eq!(
            (request.start_from, request.after_position),
            (None, Some(70))
        );
    }
}
