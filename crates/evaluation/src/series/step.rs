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
