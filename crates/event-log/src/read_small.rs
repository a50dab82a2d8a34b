//! A page of small events.
//!
//! A page is bounded in bytes. The database adds up the lengths of what comes before each event to
//! keep that bound, which costs it more than finding the events does. Where every event of a page
//! is small, their number bounds their bytes as well.

use futures::TryStreamExt;
use sqlx::PgConnection;

use crate::{
    LogError,
    batch::Frames,
    head::{position, stored},
    read::{PAGE_EVENTS_MAX, Page},
    segment::Window,
};

/// Bytes of an event that is small. As many as a page holds of these are twice a batch.
pub(crate) const SMALL_BYTES_MAX: usize = 512;

/// Reads the events after a cursor within a window of no more than a page, up to the first that is
/// not small or not there; `None` if that is the very first, of which [`crate::read::page`] then
/// tells more.
///
/// # Errors
/// [`LogError::Database`].
pub(crate) async fn page(
    connection: &mut PgConnection,
    after: u64,
    window: Window,
) -> Result<Option<Page>, LogError> {
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
        stored(PAGE_EVENTS_MAX),
    )
    .fetch(connection);
    let mut frames = Frames::default();
    let mut up_to = after;
    while let Some(row) = rows.try_next().await? {
        if position(row.position) != up_to + 1 {
            break;
        }
        up_to += 1;
        frames.push(up_to, row.recorded_at, &row.encoded);
    }
    Ok(frames.into_delivery(up_to).map(|delivery| Page {
        delivery: Some(delivery),
        up_to,
        event_bytes_max: SMALL_BYTES_MAX,
    }))
}
