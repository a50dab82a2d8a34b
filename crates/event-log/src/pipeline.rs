//! Groups that are under way at once: one is committed, the rows of those behind it are stored.

use std::sync::Arc;

use futures::{StreamExt, stream::FuturesOrdered};
use sqlx::PgConnection;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinError, JoinHandle},
};
use tracing::{Instrument, debug};

use crate::{
    LogError, Projection,
    ahead::{Ahead, Unfinished},
    group::{Group, Outcome},
    writer::COPY_EVENTS_MIN,
};

/// So many are under way at once.
const GROUPS_MAX: usize = 4;
/// So many events are a group of their own while the rows of another are being stored: both cores of
/// a small machine are busy then. Of fewer each costs more than is gained.
const BESIDE_EVENTS_MIN: usize = 500;

/// What storing a group needs besides it.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) channel: Arc<str>,
    pub(crate) projection: Option<Arc<dyn Projection>>,
    pub(crate) outcome: Outcome,
}

/// How a group ended.
pub(crate) enum Ended {
    /// Everybody has been answered.
    Stored(PgConnection),
    /// It is not stored, nor is any behind it; it can be in another way.
    Undone(Box<Group>, Option<PgConnection>),
    /// [`LogError::OutcomeUnknown`], or certainly not stored; nor is any behind it.
    Failed(Box<Group>, LogError),
}

/// What happens while groups are under way.
pub(crate) enum Progress {
    /// The rows of one of them are stored, or cannot be.
    Stored,
    /// The first of them has ended, or panicked.
    Ended(Result<Ended, JoinError>),
}

/// A place in the order of commits: free once the group before has committed, never if it has not.
struct Turn {
    before: Option<oneshot::Receiver<()>>,
    behind: oneshot::Sender<()>,
}

impl Turn {
    async fn comes(&mut self) -> bool {
        match self.before.take() {
            Some(before) => before.await.is_ok(),
            None => true,
        }
    }
}

/// The groups under way, in order, each in a task of its own.
pub(crate) struct Pipeline {
    means: Means,
    groups: FuturesOrdered<JoinHandle<Ended>>,
    last: Option<oneshot::Receiver<()>>,
    /// How many of them have rows that are not stored yet.
    unstored: watch::Sender<usize>,
    unstored_groups: watch::Receiver<usize>,
}

impl Pipeline {
    pub(crate) fn new(means: Means) -> Self {
        let (unstored, unstored_groups) = watch::channel(0);
        Self {
            means,
            groups: FuturesOrdered::new(),
            last: None,
            unstored,
            unstored_groups,
        }
    }

    /// Begins to store a group behind the others.
    pub(crate) async fn begin(&mut self, group: Group, ahead: Ahead) {
        if !ahead.is_near(&group.drafts) {
            // Its sender is here.
            let _ = self
                .unstored_groups
                .wait_for(|unstored| *unstored == 0)
                .await;
        }
        let (behind, next) = oneshot::channel();
        let turn = Turn {
            before: self.last.replace(next),
            behind,
        };
        let unstored = Unstored::one(&self.unstored);
        let storing = store(Box::new(group), ahead, turn, unstored, self.means.clone());
        self.groups.push_back(tokio::spawn(storing));
    }

    /// How many events make a further group worth its while; `None` if enough groups are under way.
    pub(crate) fn further_events_min(&mut self) -> Option<usize> {
        let unstored = *self.unstored_groups.borrow_and_update();
        match self.groups.len() {
            GROUPS_MAX.. => None,
            1 if unstored == 0 => Some(COPY_EVENTS_MIN),
            _ => Some(BESIDE_EVENTS_MIN),
        }
    }

    /// The next that happens; `None` if nothing is under way. May be dropped and called again.
    pub(crate) async fn progress(&mut self) -> Option<Progress> {
        tokio::select! {
            biased;
            ended = self.groups.next() => ended.map(Progress::Ended),
            _ = self.unstored_groups.changed() => Some(Progress::Stored),
        }
    }

    /// How the first group that is under way ends, or that it panics; `None` if there is none.
    pub(crate) async fn ended(&mut self) -> Option<Result<Ended, JoinError>> {
        self.groups.next().await
    }
}

async fn store(
    group: Box<Group>,
    mut ahead: Ahead,
    mut turn: Turn,
    unstored: Unstored,
    means: Means,
) -> Ended {
    let rows = group.rows();
    let storing = ahead.store(&rows).instrument(group.span.clone());
    let stored = group.deadline.halfway().bound(storing).await;
    drop((rows, unstored));
    if let Err(error) = stored {
        debug!(%error, "a group is stored in another way");
        // It may have been left halfway.
        return Ended::Undone(group, None);
    }
    if !turn.comes().await {
        return Ended::Undone(group, ahead.undo().await);
    }
    let Means {
        channel,
        projection,
        outcome,
    } = &means;
    let finished = ahead
        .finish(
            &group.drafts,
            (channel, projection.as_deref()),
            &outcome.metrics,
            group.deadline,
        )
        .instrument(group.span.clone());
    match finished.await {
        Ok((appended, connection)) => {
            outcome.stored(*group, appended);
            let _ = turn.behind.send(());
            Ended::Stored(connection)
        }
        Err(Unfinished::Undone(connection)) => Ended::Undone(group, connection),
        Err(Unfinished::Failed(error)) => Ended::Failed(group, error),
    }
}

/// One group whose rows are not stored, for as long as it lives.
struct Unstored(watch::Sender<usize>);

impl Unstored {
    fn one(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|unstored| *unstored += 1);
        Self(count.clone())
    }
}

impl Drop for Unstored {
    fn drop(&mut self) {
        self.0.send_modify(|unstored| *unstored -= 1);
    }
}
