use std::mem;

use atlas_events::Draft;
use sqlx::PgConnection;

use crate::{
    LogError,
    head::HeadState,
    write::{appended::Appended, sequencing::known_ids::KnownIds},
};

/// What is known of the head from the last append of the writer, or of the callers' transactions: where
/// it is, and which ids the log has. With it events get their positions without a look at what is
/// stored.
///
/// It holds as long as nobody else appends, which the statement that moves the head checks. While such
/// a statement is under way nothing is known ([`Sequencer::take`]): what became of it may never be
/// learned.
#[derive(Debug, Default)]
pub(crate) enum Sequencer {
    #[default]
    Unknown,
    /// Left here, after others had moved it too.
    Disturbed(HeadState),
    /// Left here, after it had been found where it was left before.
    Undisturbed(HeadState),
    /// And which ids the log holds is known.
    Known(HeadState, KnownIds),
}

impl Sequencer {
    /// Takes what is known, to be put back once it is certain what became of an append. Nothing is
    /// known until then.
    pub(crate) fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Whether ids are to be loaded before anything can be admitted.
    pub(crate) fn lacks_ids(&self) -> bool {
        matches!(self, Self::Undisturbed(_))
    }

    /// Loads the ids that it lacks.
    pub(crate) async fn load_ids(&mut self, connection: &mut PgConnection) -> Result<(), LogError> {
        if let Self::Undisturbed(left) = *self {
            *self = Self::Known(left, KnownIds::load(connection, &left).await?);
        }
        Ok(())
    }

    /// Where the head stands, if drafts can be stored behind it without a look at what is stored.
    pub(crate) fn admit(&mut self, drafts: &[Draft]) -> Option<HeadState> {
        let Self::Known(left, ids) = self else {
            return None;
        };
        let admitted =
            left.first_too_old(drafts).is_none() && ids.admit(drafts, left.latest_recorded_at);
        admitted.then_some(*left)
    }

    /// What is known behind an append under the lock.
    pub(crate) fn after(self, drafts: &[Draft], appended: &Appended) -> Self {
        match self {
            Self::Known(left, ids)
                if left == appended.found && ids.are_spent(appended.left.latest_recorded_at) =>
            {
                Self::Undisturbed(appended.left)
            }
            Self::Known(left, mut ids) if left == appended.found => {
                ids.add(drafts, appended.left.latest_recorded_at);
                Self::Known(appended.left, ids)
            }
            Self::Disturbed(left) | Self::Undisturbed(left) if left == appended.found => {
                Self::Undisturbed(appended.left)
            }
            _ => Self::Disturbed(appended.left),
        }
    }

    /// What is known behind an append from where the head was left, of drafts that were admitted.
    pub(crate) fn moved_to(&mut self, left: HeadState) {
        if let Self::Known(before, _) = self {
            *before = left;
        }
    }
}
