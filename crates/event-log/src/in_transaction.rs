//! Appending in callers' transactions: a few events in one statement, where no other process is
//! likely to have moved the head.

use std::{
    mem,
    sync::{Mutex, PoisonError},
};

use atlas_events::Draft;
use sqlx::PgConnection;

use crate::{
    LogError, Projection,
    append::{self, Appended, Vouched},
    append_small,
    known_ids::KnownIds,
    last_head::LastHead,
    writer::{COPY_EVENTS_MIN, before_commit},
};

/// What the last of the callers' transactions that committed knows of the head. One at a time has
/// it; whoever comes meanwhile looks at the head, and whoever is undone leaves nothing.
#[derive(Debug, Default)]
pub(crate) struct CallersHead(Mutex<LastHead>);

impl CallersHead {
    pub(crate) fn take(&self) -> LastHead {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn put(&self, head: LastHead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }
}

/// Appends drafts inside the caller's transaction. What is then known of `head` holds if it commits.
pub(crate) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    head: &mut LastHead,
    channel: &str,
    projection: Option<&dyn Projection>,
    vouched: Vouched<'_>,
) -> Result<Appended, LogError> {
    vouched.history.check_append()?;
    if let Some(appended) = append_few(connection, drafts, head, channel).await? {
        if let Some(projection) = projection {
            let numbered: Vec<_> = (appended.first_position..).zip(drafts).collect();
            projection.apply(connection, &numbered).await?;
        }
        return Ok(appended);
    }
    let appended = append::append(connection, drafts, None, channel, projection, vouched).await?;
    *head = mem::take(head).after(drafts, &appended);
    Ok(appended)
}

/// `None` if nothing was stored, because the head is elsewhere or the ids may be known to the log.
async fn append_few(
    connection: &mut PgConnection,
    drafts: &[Draft],
    head: &mut LastHead,
    channel: &str,
) -> Result<Option<Appended>, LogError> {
    if drafts.is_empty() || drafts.len() >= COPY_EVENTS_MIN {
        return Ok(None);
    }
    if let LastHead::Undisturbed(left) = *head {
        *head = LastHead::Known(left, KnownIds::load(connection, &left).await?);
    }
    let Some(standing) = head.admit(drafts) else {
        return Ok(None);
    };
    let stored = append_small::append(connection, drafts, &standing, channel).await;
    match stored.map_err(before_commit)? {
        Some(appended) => {
            head.moved_to(appended.left);
            Ok(Some(appended))
        }
        None => {
            *head = LastHead::Unknown;
            Ok(None)
        }
    }
}
