use super::Point;

/// Whether a point belongs to the step of the one before it: both are of one event and became known at
/// one moment.
pub fn is_same_step(before: &Point, point: &Point) -> bool {
    before.cause.position == point.cause.position
        && before.known_from == point.known_from
        && before.cause.source == point.cause.source
}

/// The steps of a sequence of points, in order.
pub fn steps(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    points.chunk_by(is_same_step)
}

/// The step that points which come one by one are collected in.
#[derive(Debug, Default)]
pub(crate) struct OpenStep(Vec<Point>);

impl OpenStep {
    /// Adds a point. Returns the step before, if the point begins another.
    pub(crate) fn push(&mut self, point: Point) -> Option<Vec<Point>> {
        let ended = self
            .0
            .last()
            .is_some_and(|last| !is_same_step(last, &point));
        let step = ended.then(|| self.take());
        self.0.push(point);
        step
    }

    /// The points of the step, which no more come of.
    pub(crate) fn take(&mut self) -> Vec<Point> {
        std::mem::take(&mut self.0)
    }
}
