use std::collections::BTreeSet;

use atlas_events::WantedEvents;
use consumer::{ConsumerError, HistoryReader, Source};

use crate::received::{OpenReleases, part_of, read_event};
use evaluation::series::Point;

/// Who reads, as the server of a log sees it.
const READER: &str = "backtest";
const EVENT_TYPE: &str = "SeriesCollectedEvent";
/// A filter has room for so many; of more series all are read, and what is not wanted is left out.
const SERIES_MAX: usize = 1_000;

/// The points that a log holds.
#[derive(Clone, Debug, Default)]
pub struct StoredPoints {
    /// In the order of the log.
    pub points: Vec<Point>,
    /// Where the log ended when it was read.
    pub last_position: u64,
    /// Events that cannot be evaluated; the engine parks such ones.
    pub unreadable: Vec<Unreadable>,
}

/// An event that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its position.
    pub position: u64,
    /// Why.
    pub reason: String,
}

/// Reads the points of the wanted series from a log, from its beginning to its end as it is now.
/// `progress` is called with the position that it has come to, and how many there are.
///
/// # Errors
/// [`ConsumerError`], such as a source that cannot be reached.
pub async fn read_log(
    source: Source,
    wanted: &BTreeSet<String>,
    mut progress: impl FnMut(u64, u64),
) -> Result<StoredPoints, ConsumerError> {
    let mut reader = HistoryReader::open(source.filtered(filter(wanted)?), READER).await?;
    let mut stored = StoredPoints {
        last_position: reader.last_position(),
        ..StoredPoints::default()
    };
    let mut open = OpenReleases::default();
    while let Some(events) = reader.next().await? {
        for event in &events {
            let before = stored.points.len();
            if let Err(reason) = read_event(event, &mut stored.points) {
                stored.points.truncate(before);
                let position = event.position();
                stored.unreadable.push(Unreadable { position, reason });
            } else if let Some(part) = part_of(event) {
                open.join(part, before, &mut stored.points);
            }
        }
        progress(reader.position(), reader.last_position());
    }
    let is_wanted = |point: &Point| wanted.contains(point.series.as_ref());
    stored.points.retain(is_wanted);
    Ok(stored)
}

fn filter(wanted: &BTreeSet<String>) -> Result<WantedEvents, ConsumerError> {
    let few = wanted.len() <= SERIES_MAX;
    let series = wanted.iter().filter(|_| few).cloned().collect();
    WantedEvents::new(vec![EVENT_TYPE.to_owned()], series)
        .map_err(|violation| ConsumerError::Configuration(violation.to_string()))
}
