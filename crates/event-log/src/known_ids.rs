//! Which ids are certainly new, without asking the database.

use std::collections::BTreeSet;

use atlas_events::{Draft, ID_TIME_TOLERANCE};
use sqlx::PgConnection;
use ulid::Ulid;

use crate::{LogError, head::Standing};

/// So many ids are remembered: about 3 MB, and a second of what one process can store.
const IDS_MAX: usize = 65_536;

/// The ids of the newest events. It is right for as long as nobody else appends to the log.
///
/// Ids begin with their time, so those of new events are mostly greater than those of old ones; but
/// several publishers at once make and send theirs in no common order.
#[derive(Debug)]
pub(crate) struct KnownIds {
    /// Whatever is stored has this id, one below it, or one of `above`.
    floor: Ulid,
    above: BTreeSet<Ulid>,
}

impl KnownIds {
    /// Of a log that holds no greater id.
    pub(crate) fn new(greatest: Ulid) -> Self {
        Self {
            floor: greatest,
            above: BTreeSet::new(),
        }
    }

    /// Reads them from the log, whose head stands so.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        standing: &Standing,
    ) -> Result<Self, LogError> {
        let greatest = match standing.latest_occurred_at {
            Some(latest) => greatest_since(connection, latest).await?,
            None => None,
        };
        Ok(Self::new(greatest.unwrap_or(Ulid::nil())))
    }

    /// Adds the ids of drafts that are about to be stored; `false`, and none is added, if one of
    /// them is stored, or may be, or is there twice.
    pub(crate) fn admit(&mut self, drafts: &[Draft]) -> bool {
        let is_new = |draft: &Draft, above: &mut BTreeSet<Ulid>, floor| {
            draft.event_id > floor && above.insert(draft.event_id)
        };
        for (index, draft) in drafts.iter().enumerate() {
            if !is_new(draft, &mut self.above, self.floor) {
                for added in &drafts[..index] {
                    self.above.remove(&added.event_id);
                }
                return false;
            }
        }
        self.forget();
        true
    }

    /// Adds the ids of drafts that were stored, or that were found to be.
    pub(crate) fn add(&mut self, drafts: &[Draft]) {
        let ids = drafts.iter().map(|draft| draft.event_id);
        self.above.extend(ids.filter(|id| *id > self.floor));
        self.forget();
    }

    fn forget(&mut self) {
        while self.above.len() > IDS_MAX {
            self.floor = self.above.pop_first().unwrap_or(self.floor);
        }
    }
}

/// The greatest id of the log, whose latest event occurred at `latest`. An id is within an hour of
/// its event; so the greatest one is of an event within two hours of the latest.
async fn greatest_since(
    connection: &mut PgConnection,
    latest: chrono::DateTime<chrono::Utc>,
) -> Result<Option<Ulid>, LogError> {
    // An id's time is in whole milliseconds.
    let since = latest - ID_TIME_TOLERANCE * 2 - chrono::TimeDelta::milliseconds(1);
    let greatest = sqlx::query_scalar!(
        "select max(event_id) from events where occurred_at >= $1",
        since
    )
    .fetch_one(connection)
    .await?;
    Ok(greatest.and_then(|id| Ulid::from_string(&id).ok()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::{collection::vec, prelude::*};
    use test_support::{custom_event, draft};

    use super::*;

    fn drafts(numbers: &[u64]) -> Vec<Draft> {
        numbers.iter().map(|n| draft(custom_event(*n))).collect()
    }

    proptest! {
        /// Never is a stored id said to be new; and those above the floor that are new are.
        #[test]
        fn what_is_stored_is_never_admitted_again(
            floor in 0_u64..40,
            batches in vec(vec(0_u64..200, 1..8), 1..60),
        ) {
            let greatest = draft(custom_event(floor)).event_id;
            let mut ids = KnownIds::new(greatest);
            let mut stored = HashSet::new();
            for batch in batches {
                let distinct: HashSet<u64> = batch.iter().copied().collect();
                let all_new = distinct.len() == batch.len()
                    && batch.iter().all(|n| *n > floor && !stored.contains(n));
                prop_assert_eq!(ids.admit(&drafts(&batch)), all_new);
                if all_new {
                    stored.extend(distinct);
                }
            }
        }
    }

    #[test]
    fn it_forgets_the_smallest_and_then_admits_nothing_below() {
        let mut ids = KnownIds::new(Ulid::nil());
        let one = draft(custom_event(0));
        let with_id = |n: usize| Draft {
            event_id: Ulid::from_parts(1_000 + n as u64, 0),
            ..one.clone()
        };
        let all: Vec<_> = (0..IDS_MAX + 10).map(with_id).collect();
        let (last, rest) = all.split_last().unwrap();
        assert!(rest.chunks(1_000).all(|batch| ids.admit(batch)));
        assert_eq!(ids.above.len(), IDS_MAX);
        assert!(!ids.admit(&all[..1]), "forgotten, so that it may be stored");
        let below = Ulid::from_parts(1, 0);
        let older = Draft {
            event_id: below,
            ..one.clone()
        };
        assert!(!ids.admit(&[older]));
        assert!(ids.admit(std::slice::from_ref(last)));
        assert_eq!(ids.above.len(), IDS_MAX);
    }
}
