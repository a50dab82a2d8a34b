//! The proof that a stream misses nothing.

use crate::ConsumerError;

/// The last position of a stream, once known.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    source: String,
    /// Every position has to appear.
    gapless: bool,
    position: Option<u64>,
}

impl Cursor {
    /// The cursor of an unfiltered (`gapless`) or a filtered stream of a source.
    pub(crate) fn new(source: &str, gapless: bool, position: Option<u64>) -> Self {
        Self {
            source: source.to_owned(),
            gapless,
            position,
        }
    }

    /// From now on positions may be left out: what the client's token does not extend to.
    pub(crate) fn allow_gaps(&mut self) {
        self.gapless = false;
    }

    /// Everything that the stream should hold was received up to here. `None` while the stream has
    /// not reported where a seek led to.
    pub(crate) fn position(&self) -> Option<u64> {
        self.position
    }

    /// Moves to an event.
    pub(crate) fn take_event(&mut self, position: u64) -> Result<(), ConsumerError> {
        let follows = match self.position {
            None => true,
            Some(last) if self.gapless => position == last + 1,
            Some(last) => position > last,
        };
        self.move_if(follows, position)
    }

    /// Moves to a marker, which says that all up to its position was delivered.
    pub(crate) fn take_marker(&mut self, position: u64) -> Result<(), ConsumerError> {
        let follows = match self.position {
            None => true,
            Some(last) if self.gapless => position == last,
            Some(last) => position >= last,
        };
        self.move_if(follows, position)
    }

    fn move_if(&mut self, follows: bool, position: u64) -> Result<(), ConsumerError> {
        if !follows {
            return Err(ConsumerError::Hole {
                name: self.source.clone(),
                after: self.position.unwrap_or(0),
                found: position,
            });
        }
        self.position = Some(position);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Step {
        Event(u64),
        Marker(u64),
    }
    use Step::{Event, Marker};

    #[track_caller]
    fn check(gapless: bool, start: Option<u64>, steps: &[Step], hole: Option<(u64, u64)>) {
        let mut cursor = Cursor::new("a", gapless, start);
        let walked = steps.iter().try_for_each(|step| match step {
            Event(position) => cursor.take_event(*position),
            Marker(position) => cursor.take_marker(*position),
        });
        let found = walked.err().map(|error| match error {
            ConsumerError::Hole { after, found, .. } => (after, found),
            other => panic!("{other}"),
        });
        assert_eq!(found, hole);
    }

    #[test]
    fn an_unfiltered_stream_misses_and_repeats_nothing() {
        check(true, Some(4), &[Event(5), Marker(5), Event(6)], None);
        check(true, None, &[Event(5), Event(6)], None);
        check(true, None, &[Marker(5), Event(6)], None);
        check(true, Some(4), &[Event(6)], Some((4, 6)));
        check(true, Some(4), &[Event(5), Event(7)], Some((5, 7)));
        check(true, Some(4), &[Event(5), Event(5)], Some((5, 5)));
        check(true, Some(4), &[Event(4)], Some((4, 4)));
        check(true, Some(4), &[Event(5), Marker(6)], Some((5, 6)));
        check(true, Some(4), &[Event(5), Marker(4)], Some((5, 4)));
    }

    #[test]
    fn a_filtered_stream_repeats_nothing() {
        check(false, Some(4), &[Event(9), Marker(20), Event(21)], None);
        check(false, Some(4), &[Event(9), Event(9)], Some((9, 9)));
        check(false, Some(4), &[Marker(9), Event(9)], Some((9, 9)));
        check(false, Some(4), &[Event(9), Marker(8)], Some((9, 8)));
    }
}
