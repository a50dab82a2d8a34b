//! Points in sequence, read in pages that cut no step.

use sqlx::PgConnection;

use crate::store;
use evaluation::series::{Point, is_same_step};

/// So many numbers of the sequence are read at once.
const PAGE_POINTS: i64 = 16_384;

/// Points in sequence, that end with a step.
pub(super) struct Page {
    pub(super) points: Vec<Point>,
    /// The number up to which these are all.
    pub(super) end: i64,
}

/// The points of some series behind a number, up to another one; fewer where that would cut a step.
pub(super) async fn read_page(
    connection: &mut PgConnection,
    after: i64,
    bound: i64,
    series: &[String],
) -> Result<Page, sqlx::Error> {
    let mut numbers = PAGE_POINTS;
    loop {
        let to = bound.min(after.saturating_add(numbers));
        if series.is_empty() {
            let points = Vec::new();
            return Ok(Page { points, end: bound });
        }
        let mut points = store::points_between(&mut *connection, after, to, series).await?;
        let mut end = to;
        // All points of a step are of one series and have numbers that follow on each other.
        if to < bound && points.last().is_some_and(|(last, _)| *last == to) {
            let begins = |pair: &[(i64, Point)]| !is_same_step(&pair[0].1, &pair[1].1);
            let begin = points.windows(2).rposition(begins).map_or(0, |i| i + 1);
            end = points[begin].0 - 1;
            points.truncate(begin);
            if end == after {
                numbers = numbers.saturating_mul(2);
                continue;
            }
        }
        let points = points.into_iter().map(|(_, point)| point).collect();
        return Ok(Page { points, end });
    }
}
