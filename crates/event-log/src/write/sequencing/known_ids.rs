//! Which ids are certainly new, without asking the database.

use std::collections::BTreeSet;

use atlas_events::{Draft, ID_TIME_TOLERANCE};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use ulid::Ulid;

use crate::{LogError, head::HeadState};

/// So many ids are remembered: about 3 MB, and a second of what one process can store.
const IDS_MAX: usize = 65_536;
/// So many more that are of the future when they are stored.
const FUTURE_IDS_MAX: usize = 65_536;

/// The ids of the newest events. It is right for as long as nobody else appends to the log.
///
/// Ids begin with their time, so those of new events are mostly greater than those of old ones; but
/// several publishers at once make and send theirs in no common order. The clock of one of them may
/// be up to an hour ahead: its ids are remembered beside the others, so that these are not below
/// them and therefore unknown.
#[derive(Debug)]
pub(crate) struct KnownIds {
    /// Whatever is stored between `floor` and `ceiling` is in one of the sets.
    floor: Ulid,
    recent: BTreeSet<Ulid>,
    future: BTreeSet<Ulid>,
    ceiling: Ulid,
}

impl KnownIds {
    /// Of a log that holds no greater id.
    pub(crate) fn new(greatest: Ulid) -> Self {
        Self {
            floor: greatest,
            recent: BTreeSet::new(),
            future: BTreeSet::new(),
            ceiling: Ulid::max(),
        }
    }

    /// Reads them from the log, whose head stands so.
    pub(crate) async fn load(
        connection: &mut PgConnection,
        state: &HeadState,
    ) -> Result<Self, LogError> {
        let latest = state.latest_occurred_at.zip(state.latest_recorded_at);
        let Some((latest_occurred_at, present)) = latest else {
            return Ok(Self::new(Ulid::nil()));
        };
        // An id is within an hour of its event, so that those of events before are below the second.
        let since = latest_occurred_at.min(present) - ID_TIME_TOLERANCE * 2;
        let below = first_of(since + ID_TIME_TOLERANCE + TimeDelta::milliseconds(1));
        let greatest = greatest_until(connection, since, first_of(present)).await?;
        let mut ids = Self::new(greatest.unwrap_or(below).max(below));
        ids.future = stored_after(connection, since, first_of(present)).await?;
        ids.forget();
        Ok(ids)
    }

    /// Adds the ids of drafts that are about to be stored at `present`; `false`, and none is added,
    /// if one of them is stored, or may be, or is there twice.
    pub(crate) fn admit(&mut self, drafts: &[Draft], present: Option<DateTime<Utc>>) -> bool {
        let present = present.map_or(Ulid::max(), first_of);
        for (index, draft) in drafts.iter().enumerate() {
            if !self.insert(draft.event_id, present) {
                for added in &drafts[..index] {
                    self.recent.remove(&added.event_id);
                    self.future.remove(&added.event_id);
                }
                return false;
            }
        }
        self.forget();
        true
    }

    /// Adds the ids of drafts that were stored at `present`, or that were found to be.
    pub(crate) fn add(&mut self, drafts: &[Draft], present: Option<DateTime<Utc>>) {
        let present = present.map_or(Ulid::max(), first_of);
        for draft in drafts {
            self.insert(draft.event_id, present);
        }
        self.forget();
    }

    /// Whether the present has come to what is not known, so that they are to be loaded again.
    pub(crate) fn are_spent(&self, present: Option<DateTime<Utc>>) -> bool {
        present.is_some_and(|present| first_of(present) >= self.ceiling)
    }

    /// Adds an id; `false`, and it is not added, if it is stored or may be.
    fn insert(&mut self, id: Ulid, present: Ulid) -> bool {
        if id <= self.floor || id >= self.ceiling {
            return false;
        }
        // What was of the future may be no longer, so it is looked for in both.
        let (its_own, other) = match id > present {
            true => (&mut self.future, &self.recent),
            false => (&mut self.recent, &self.future),
        };
        !other.contains(&id) && its_own.insert(id)
    }

    fn forget(&mut self) {
        while self.recent.len() > IDS_MAX {
            self.floor = self.recent.pop_first().unwrap_or(self.floor);
        }
        while self.future.first().is_some_and(|id| *id <= self.floor) {
            self.future.pop_first();
        }
        while self.future.len() > FUTURE_IDS_MAX {
            self.ceiling = self.future.pop_last().unwrap_or(self.ceiling);
        }
    }
}

/// The smallest id of a time.
fn first_of(time: DateTime<Utc>) -> Ulid {
    Ulid::from_parts(u64::try_from(time.timestamp_millis()).unwrap_or(0), 0)
}

/// The greatest id up to this one, of events since then.
async fn greatest_until(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    until: Ulid,
) -> Result<Option<Ulid>, LogError> {
    let greatest = sqlx::query_scalar!(
        "select max(event_id) from events where occurred_at >= $1 and event_id <= $2",
        since,
        until.to_string(),
    )
    .fetch_one(connection)
    .await?;
    Ok(greatest.and_then(|id| Ulid::from_string(&id).ok()))
}

/// The smallest ids after this one, of events since then; one more than are remembered.
async fn stored_after(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
    after: Ulid,
) -> Result<BTreeSet<Ulid>, LogError> {
    let ids = sqlx::query_scalar!(
        "select event_id from events where occurred_at >= $1 and event_id > $2
         order by event_id limit $3",
        since,
        after.to_string(),
        FUTURE_IDS_MAX as i64 + 1,
    )
    .fetch_all(connection)
    .await?;
    Ok(ids
        .iter()
        .filter_map(|id| Ulid::from_string(id).ok())
        .collect())
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
            present in 0_u64..200,
        ) {
            // What is of the future is known as well.
            let present = Some(draft(custom_event(present)).occurred_at);
            let greatest = draft(custom_event(floor)).event_id;
            let mut ids = KnownIds::new(greatest);
            let mut stored = HashSet::new();
            for batch in batches {
                let distinct: HashSet<u64> = batch.iter().copied().collect();
                let all_new = distinct.len() == batch.len()
                    && batch.iter().all(|n| *n > floor && !stored.contains(n));
                prop_assert_eq!(ids.admit(&drafts(&batch), present), all_new);
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
        assert!(rest.chunks(1_000).all(|batch| ids.admit(batch, None)));
        assert_eq!(ids.recent.len(), IDS_MAX);
        assert!(
            !ids.admit(&all[..1], None),
            "forgotten, so that it may be stored"
        );
        let below = Ulid::from_parts(1, 0);
        let older = Draft {
            event_id: below,
            ..one.clone()
        };
        assert!(!ids.admit(&[older], None));
        assert!(ids.admit(std::slice::from_ref(last), None));
        assert_eq!(ids.recent.len(), IDS_MAX);
    }

    #[test]
    fn ids_of_the_future_are_forgotten_from_above_and_hide_none_of_the_present() {
        let mut ids = KnownIds::new(Ulid::nil());
        let one = draft(custom_event(0));
        let with_id = |milliseconds: u64| Draft {
            event_id: Ulid::from_parts(milliseconds, 1),
            ..one.clone()
        };
        let present = DateTime::from_timestamp_millis(1_000_000);
        let future: Vec<_> = (0..FUTURE_IDS_MAX as u64 + 10)
            .map(|n| with_id(2_000_000 + n))
            .collect();
        assert!(future.chunks(1_000).all(|batch| ids.admit(batch, present)));
        assert_eq!(ids.future.len(), FUTURE_IDS_MAX);
        let (first, last) = (&future[..1], &future[future.len() - 1..]);
        assert!(!ids.admit(first, present), "it is stored");
        assert!(
            !ids.admit(last, present),
            "forgotten, so that it may be stored"
        );
        assert!(ids.admit(&[with_id(1_000_001)], present));
        assert!(ids.admit(&[with_id(999_999)], present));
        assert!(!ids.are_spent(present));
        assert!(ids.are_spent(DateTime::from_timestamp_millis(
            2_000_000 + FUTURE_IDS_MAX as i64
        )));
    }
}
