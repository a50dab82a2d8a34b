use atlas_events::Draft;

use crate::{append::Appended, head::Standing, known_ids::KnownIds};

/// What whoever appends knows of the head from its last append.
#[derive(Debug, Default)]
pub(crate) enum LastHead {
    #[default]
    Unknown,
    /// Left here, after others had moved it too.
    Disturbed(Standing),
    /// Left here, after it had been found where it was left before.
    Undisturbed(Standing),
    /// And which ids the log holds is known.
    Known(Standing, KnownIds),
}

impl LastHead {
    /// Where the head stands, if drafts can be stored behind it without a look at what is stored.
    pub(crate) fn admit(&mut self, drafts: &[Draft]) -> Option<Standing> {
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
    pub(crate) fn moved_to(&mut self, left: Standing) {
        if let Self::Known(before, _) = self {
            *before = left;
        }
    }
}
