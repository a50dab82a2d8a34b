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
    write::{
        groups::{
            group::{Acknowledger, Group},
            writer::COPY_EVENTS_MIN,
        },
        sequencing::speculative::{Aborted, SpeculativeAppend},
    },
};

/// So many are under way at once.
const GROUPS_MAX: usize = 4;
/// So many events are a group of their own while the rows of another are being stored: both cores of
/// a small machine are busy then. Of fewer each costs more than is gained.
const BESIDE_EVENTS_MIN: usize = 500;

/// What storing a group needs besides it.
#[derive(Clone)]
pub(crate) struct GroupContext {
    pub(crate) channel: Arc<str>,
    pub(crate) projection: Option<Arc<dyn Projection>>,
    pub(crate) acknowledger: Acknowledger,
}

/// How a group ended.
pub(crate) enum GroupOutcome {
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
    Ended(Result<GroupOutcome, JoinError>),
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
    context: GroupContext,
    groups: FuturesOrdered<JoinHandle<GroupOutcome>>,
    last: Option<oneshot::Receiver<()>>,
    /// How many of them have rows that are not stored yet.
    unstored: watch::Sender<usize>,
    unstored_groups: watch::Receiver<usize>,
}

impl Pipeline {
    pub(crate) fn new(context: GroupContext) -> Self {
        let (unstored, unstored_groups) = watch::channel(0);
        Self {
            context,
            groups: FuturesOrdered::new(),
            last: None,
            unstored,
            unstored_groups,
        }
    }

    /// Begins to store a group behind the others.
    pub(crate) async fn begin(&mut self, group: Group, ahead: SpeculativeAppend) {
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
        let storing = store(Box::new(group), ahead, turn, unstored, self.context.clone());
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
    pub(crate) async fn ended(&mut self) -> Option<Result<GroupOutcome, JoinError>> {
        self.groups.next().await
    }
}

async fn store(
    group: Box<Group>,
    mut ahead: SpeculativeAppend,
    mut turn: Turn,
    unstored: Unstored,
    context: GroupContext,
) -> GroupOutcome {
    let rows = group.rows();
    let storing = ahead.store(&rows).instrument(group.span.clone());
    let stored = group.deadline.halfway().bound(storing).await;
    drop((rows, unstored));
    if let Err(error) = stored {
        debug!(%error, "a fast append failed; storing the group in the ordinary way");
        // It may have been left halfway.
        return GroupOutcome::Undone(group, None);
    }
    if !turn.comes().await {
        return GroupOutcome::Undone(group, ahead.undo().await);
    }
    let GroupContext {
        channel,
        projection,
        acknowledger,
    } = &context;
    let finished = ahead
        .finish(
            &group.drafts,
            (channel, projection.as_deref()),
            &acknowledger.metrics,
            group.deadline,
        )
        .instrument(group.span.clone());
    match finished.await {
        Ok((appended, connection)) => {
            acknowledger.stored(*group, appended);
            let _ = turn.behind.send(());
            GroupOutcome::Stored(connection)
        }
        Err(Aborted::Undone(connection)) => GroupOutcome::Undone(group, connection),
        Err(Aborted::Failed(error)) => GroupOutcome::Failed(group, error),
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
