//! Appending in callers' transactions: a few events in one statement, where no other process is
//! likely to have moved the head.

use std::sync::{Mutex, PoisonError};

use atlas_events::Draft;
use sqlx::PgConnection;

use crate::{
    LogError, Projection,
    database::outcome::before_commit,
    write::{
        appended::Appended,
        groups::writer::COPY_EVENTS_MIN,
        sequencing::{
            locked::{self, HistoryCheck},
            sequencer::Sequencer,
            small,
        },
    },
};

/// What the last of the callers' transactions that committed knows of the head. One at a time has
/// it; whoever comes meanwhile looks at the head, and whoever is undone leaves nothing.
#[derive(Debug, Default)]
pub(crate) struct CallersSequencer(Mutex<Sequencer>);

impl CallersSequencer {
    pub(crate) fn take(&self) -> Sequencer {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn put(&self, sequencer: Sequencer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sequencer;
    }
}

/// Appends drafts inside the caller's transaction. What is then known of `sequencer` holds if it commits.
pub(crate) async fn append(
    connection: &mut PgConnection,
    drafts: &[Draft],
    sequencer: &mut Sequencer,
    channel: &str,
    projection: Option<&dyn Projection>,
    check: HistoryCheck<'_>,
) -> Result<Appended, LogError> {
    check.history.check_append()?;
    if let Some(appended) = append_few(connection, drafts, sequencer, channel).await? {
        if let Some(projection) = projection {
            let numbered: Vec<_> = (appended.first_position..).zip(drafts).collect();
            projection.apply(connection, &numbered).await?;
        }
        return Ok(appended);
    }
    let appended = locked::append(connection, drafts, None, channel, projection, check).await?;
    *sequencer = sequencer.take().after(drafts, &appended);
    Ok(appended)
}

/// `None` if nothing was stored, because the head is elsewhere or the ids may be known to the log.
async fn append_few(
    connection: &mut PgConnection,
    drafts: &[Draft],
    sequencer: &mut Sequencer,
    channel: &str,
) -> Result<Option<Appended>, LogError> {
    if drafts.is_empty() || drafts.len() >= COPY_EVENTS_MIN {
        return Ok(None);
    }
    sequencer.load_ids(connection).await?;
    let Some(state) = sequencer.admit(drafts) else {
        return Ok(None);
    };
    let stored = small::append(connection, drafts, &state, channel).await;
    match stored.map_err(before_commit)? {
        Some(appended) => {
            sequencer.moved_to(appended.left);
            Ok(Some(appended))
        }
        None => {
            *sequencer = Sequencer::Unknown;
            Ok(None)
        }
    }
}
