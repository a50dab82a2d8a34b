//! Releases that do not fit into one event: their parts wait for the last one.

use std::{collections::BTreeMap, sync::Arc};

use atlas_events::ReleasePart;

use crate::series::{Cause, Point};

/// The points of parts whose last one has not come, by source and series.
#[derive(Debug, Default)]
pub(crate) struct OpenReleases(BTreeMap<(Arc<str>, Arc<str>), Vec<Point>>);

impl OpenReleases {
    /// With the points that wait already.
    pub(crate) fn of(points: impl IntoIterator<Item = Point>) -> Self {
        let mut open = Self::default();
        for point in points {
            open.waiting(&point).push(point);
        }
        open
    }

    /// Decides about the points of an event that is a part, the last of `points` from `first` on. They
    /// are taken away until the last part brings all, caused by its event. What still waits of another
    /// release when a first part comes is brought by that one, so that nothing is lost.
    pub(crate) fn join(&mut self, part: ReleasePart, first: usize, points: &mut Vec<Point>) {
        let own = points.split_off(first);
        let Some(last) = own.last() else {
            return;
        };
        let cause = last.cause.clone();
        let waiting = self.waiting(last);
        if part.number <= 1 {
            points.append(waiting);
        }
        waiting.extend(own);
        if part.number >= part.count {
            points.append(waiting);
        }
        for (index, point) in (0..).zip(&mut points[first..]) {
            point.cause = Cause {
                index,
                ..cause.clone()
            };
        }
        points[first..].sort_by_key(|point| point.known_from);
    }

    /// The points that go on waiting.
    pub(crate) fn into_points(self) -> Vec<Point> {
        self.0.into_values().flatten().collect()
    }

    fn waiting(&mut self, of: &Point) -> &mut Vec<Point> {
        let key = (Arc::clone(&of.cause.source), Arc::clone(&of.series));
        self.0.entry(key).or_default()
    }
}
