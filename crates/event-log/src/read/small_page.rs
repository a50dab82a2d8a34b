//! Pages of small events.
//!
//! A page is bounded in bytes. The database adds up the lengths of what comes before each event to
//! keep that bound, which costs it more than finding the events does. Where every event is small,
//! their number bounds their bytes as well, so that one question is answered with many pages.

use std::ops::ControlFlow;

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::{
    LogError,
    columns::{position, stored},
    head::segments::Window,
    live::batch::{BATCH_BYTES_MAX, Frames},
    read::page::{PAGE_EVENTS_MAX, Page},
};

/// Bytes of an event that is small.
pub(crate) const SMALL_BYTES_MAX: usize = 512;

/// Reads the events after a cursor within a window, up to the first that is not small or not there,
/// and hands over page after page as they come, until no more are wanted. Returns whether all that
/// it came upon was small.
///
/// # Errors
/// [`LogError::Database`].
pub(crate) async fn pages(
    connection: &mut PgConnection,
    after: u64,
    window: Window,
    mut on_page: impl FnMut(Page) -> ControlFlow<()>,
) -> Result<bool, LogError> {
    let mut rows = sqlx::query!(
        "select position, recorded_at, encoded
         from events
         where position > $1 and position <= $2 and occurred_at between $3 and $4
             and octet_length(encoded) <= $5
         order by position
         limit $6",
        stored(after),
        stored(window.up_to),
        window.bounds.earliest,
        window.bounds.latest,
        SMALL_BYTES_MAX as i32,
        stored(window.up_to - after),
    )
    .fetch(connection);
    let mut frames = Frames::default();
    let (mut first, mut up_to) = (after, after);
    while let Some(row) = rows.try_next().await? {
        if position(row.position) != up_to + 1 {
            break;
        }
        up_to += 1;
        frames.push(up_to, row.recorded_at, &row.encoded);
        if up_to - first == PAGE_EVENTS_MAX || frames.len() >= BATCH_BYTES_MAX {
            if hand_over(&mut frames, (first, up_to), &mut on_page).is_break() {
                return Ok(true);
            }
            first = up_to;
        }
    }
    let _ = hand_over(&mut frames, (first, up_to), &mut on_page);
    Ok(up_to == window.up_to)
}

fn hand_over(
    frames: &mut Frames,
    (after, up_to): (u64, u64),
    on_page: &mut impl FnMut(Page) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let undeliverable = frames.undeliverable();
    match std::mem::take(frames).into_delivery(after, up_to) {
        Some(delivery) => on_page(Page {
            delivery: Some(delivery),
            up_to,
            event_bytes_max: SMALL_BYTES_MAX,
            undeliverable,
        }),
        None => ControlFlow::Continue(()),
    }
}
