//! Releases that do not fit into one event: their parts wait for the last one.
//!
//! The points of all parts are one step, caused by the event of the last. What waits is bounded: a part
//! whose number is not above that of the one before it begins another release, and so does one for which
//! there is no room. What waited until then is a step before it, so that nothing is lost.

use std::{collections::BTreeMap, sync::Arc};

use atlas_events::ReleasePart;
use sqlx::PgConnection;

use crate::store;
use evaluation::series::{Cause, Point};

/// How many points of a series wait. Larger releases are taken in pieces.
const WAITING_POINTS_MAX: usize = 100_000;

/// What waits of a release: up to which part, and how many points.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) last_number: u32,
    pub(crate) points: usize,
}

impl Waiting {
    /// Whether a part of so many points brings what waits: as the last one, or because it is of another
    /// release, or has to be taken as if it were.
    fn is_brought_by(self, part: ReleasePart, points: usize) -> bool {
        let is_another = part.number <= self.last_number;
        is_last(part) || is_another || self.points + points > WAITING_POINTS_MAX
    }
}

fn is_last(part: ReleasePart) -> bool {
    part.number >= part.count
}

/// Points that were taken together are of one event.
fn cause_by(cause: &Cause, points: &mut [Point]) {
    for (index, point) in (0..).zip(&mut *points) {
        point.cause = Cause {
            index,
            ..cause.clone()
        };
    }
    points.sort_by_key(|point| point.known_from);
}

/// Decides about the points of an event that is a part, the last of `points` from `first` on: lets them
/// wait in the database, or puts before them what waits there.
pub(crate) async fn join(
    connection: &mut PgConnection,
    part: ReleasePart,
    first: usize,
    points: &mut Vec<Point>,
) -> Result<(), sqlx::Error> {
    let own = points.split_off(first);
    let Some(last) = own.last() else {
        return Ok(());
    };
    let cause = last.cause.clone();
    let key = (&*cause.source, &*last.series);
    let waiting = store::waiting_of_release(connection, key).await?;
    if waiting.is_brought_by(part, own.len()) {
        points.append(&mut store::take_release_parts(connection, key).await?);
    }
    if is_last(part) {
        points.extend(own);
    } else {
        store::insert_release_part(connection, part.number, &own).await?;
    }
    cause_by(&cause, &mut points[first..]);
    Ok(())
}

/// A source and a series.
type Key = (Arc<str>, Arc<str>);

/// The same in memory, for who reads a log as a whole.
#[derive(Debug, Default)]
pub(crate) struct OpenReleases(BTreeMap<Key, (u32, Vec<Point>)>);

impl OpenReleases {
    /// As [`join`].
    pub(crate) fn join(&mut self, part: ReleasePart, first: usize, points: &mut Vec<Point>) {
        let own = points.split_off(first);
        let Some(last) = own.last() else {
            return;
        };
        let cause = last.cause.clone();
        let key = (Arc::clone(&cause.source), Arc::clone(&last.series));
        let (last_number, waiting) = self.0.entry(key).or_default();
        let known = Waiting {
            last_number: *last_number,
            points: waiting.len(),
        };
        if known.is_brought_by(part, own.len()) {
            points.append(waiting);
        }
        if is_last(part) {
            *last_number = 0;
            points.extend(own);
        } else {
            *last_number = part.number;
            waiting.extend(own);
        }
        cause_by(&cause, &mut points[first..]);
    }
}
