//! Group commit: while one transaction commits, what arrives meanwhile gathers for the next. There
//! is no artificial delay, so a lone event waits for nobody, and under load a group grows. Where much
//! waits, groups are stored while those before them are.

use std::sync::Arc;

use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    LogError,
    error::is_data_error,
    write::{
        groups::{
            group::{Acknowledger, Group},
            pipeline::{GroupContext, GroupOutcome, Pipeline, Progress},
            thread::StorageThread,
            writer::Writer,
        },
        queue::{AppendRequests, Request},
    },
};

/// The one task of the process that appends what was published.
pub(crate) struct Appender {
    pub(crate) requests: AppendRequests,
    pub(crate) log_id: Uuid,
    pub(crate) writer: Writer,
    /// Where large groups are stored; here, if there can be no such thread.
    pub(crate) thread: Option<Arc<StorageThread>>,
    pub(crate) acknowledger: Acknowledger,
}

impl Appender {
    /// Runs until `stop`, and then until everything queued has been answered.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let requests = tokio::select! {
                requests = self.requests.next_group() => requests,
                () = stop.cancelled() => {
                    self.requests.close();
                    self.requests.next_group().await
                }
            };
            let Some(requests) = requests else { return };
            let Some(group) = self.take(requests) else {
                continue;
            };
            if let Some(group) = self.store_few(group).await {
                self = self.store_on_thread(group, stop.clone()).await;
            }
        }
    }

    /// Stores a group of a few events, if it is one.
    async fn store_few(&mut self, group: Group) -> Option<Group> {
        if let Err(error) = self.writer.history.check_append() {
            self.acknowledger.failed(group, error);
            return None;
        }
        let stored = self.writer.append_few(&group.drafts, group.deadline);
        match stored.instrument(group.span.clone()).await {
            Ok(Some(appended)) => {
                self.acknowledger.stored(group, appended);
                None
            }
            Ok(None) => Some(group),
            // It will be found out whose they are.
            Err(error) if group.batches() > 1 && blames_events(&error) => Some(group),
            Err(error) => {
                self.acknowledger.failed(group, error);
                None
            }
        }
    }

    async fn store_on_thread(mut self, group: Group, stop: CancellationToken) -> Self {
        let thread = self.thread.clone();
        let storing = async move {
            self.store_many(group, &stop).await;
            self
        };
        match thread {
            Some(thread) => match thread.run(storing).await {
                Ok(appender) => appender,
                Err(error) => ended_by(error).await,
            },
            None => storing.await,
        }
    }

    /// Stores a group, and those behind it for as long as much waits.
    async fn store_many(&mut self, group: Group, stop: &CancellationToken) {
        let mut pipeline = Pipeline::new(self.context());
        let mut next = Some(group);
        loop {
            if let Some(group) = next.take() {
                self.store_behind(group, &mut pipeline).await;
            }
            let events_min = match stop.is_cancelled() {
                true => None,
                false => pipeline.further_events_min(),
            };
            tokio::select! {
                biased;
                progress = pipeline.progress() => match progress {
                    Some(Progress::Stored) => {}
                    Some(Progress::Ended(ended)) => self.collect(ended, &mut pipeline).await,
                    None => return,
                },
                requests = self.requests.next_group_of(events_min) => {
                    next = requests.and_then(|requests| self.take(requests));
                }
            }
        }
    }

    fn context(&self) -> GroupContext {
        GroupContext {
            channel: self.writer.channel.as_str().into(),
            projection: self.writer.projection.clone(),
            acknowledger: self.acknowledger.clone(),
        }
    }

    /// A group of those requests that are to be stored and can be answered in time, if any; the others
    /// are answered.
    fn take(&self, requests: Vec<Request>) -> Option<Group> {
        let (late, requests): (Vec<_>, Vec<_>) = requests
            .into_iter()
            .partition(|request| request.deadline.is_late());
        // Before it is asked which sequences are broken: these are.
        self.acknowledger.too_late(late);
        let requests = requests.into_iter().filter_map(Request::unless_broken);
        Group::of(
            requests.collect(),
            self.log_id,
            &self.acknowledger.transfers,
        )
    }

    /// Stores a group behind those that are under way, if not along with them.
    async fn store_behind(&mut self, group: Group, pipeline: &mut Pipeline) {
        if let Err(error) = self.writer.history.check_append() {
            return self.acknowledger.failed(group, error);
        }
        let prepared = self.writer.prepare(&group.drafts, group.deadline);
        match prepared.instrument(group.span.clone()).await {
            Some(ahead) => pipeline.begin(group, ahead).await,
            None => {
                while let Some(ended) = pipeline.ended().await {
                    self.collect(ended, pipeline).await;
                }
                self.store_alone(group).await;
            }
        }
    }

    /// Takes back what a group was stored with. If it is not stored, none of those behind it is, for
    /// they counted on it: they are stored one after the other.
    async fn collect(&mut self, ended: Result<GroupOutcome, JoinError>, pipeline: &mut Pipeline) {
        match ended {
            Ok(GroupOutcome::Stored(connection)) => self.writer.finished(connection),
            ended => self.store_anew(ended, pipeline).await,
        }
    }

    async fn store_anew(
        &mut self,
        ended: Result<GroupOutcome, JoinError>,
        pipeline: &mut Pipeline,
    ) {
        let mut groups = Vec::new();
        let mut next = Some(ended);
        while let Some(ended) = next {
            match ended {
                Ok(GroupOutcome::Stored(connection)) => self.writer.finished(connection),
                Ok(GroupOutcome::Undone(group, connection)) => {
                    self.writer.unfinished(connection);
                    groups.push(*group);
                }
                Ok(GroupOutcome::Failed(group, error)) => {
                    self.writer.unfinished(None);
                    self.acknowledger.failed(*group, error);
                }
                Err(error) => ended_by(error).await,
            }
            next = pipeline.ended().await;
        }
        for group in groups {
            self.store_alone(group).await;
        }
    }

    /// Stores a group while no other is under way.
    async fn store_alone(&mut self, group: Group) {
        if group.is_broken() {
            return self.store_unbroken(group).await;
        }
        if let Err(error) = self.writer.history.check_append() {
            return self.acknowledger.failed(group, error);
        }
        let rows = group.rows();
        let stored = self.writer.append(&group.drafts, &rows, group.deadline);
        match stored.instrument(group.span.clone()).await {
            Ok(appended) => self.acknowledger.stored(group, appended),
            // One bad batch must not fail the others that happened to be in its group.
            Err(error) if group.batches() > 1 && blames_events(&error) => {
                self.acknowledger.nothing_stored(&group, &error);
                self.store_one_by_one(group).await;
            }
            Err(error) => self.acknowledger.failed(group, error),
        }
    }

    /// Stores those batches of a group that have none before them that was not stored.
    async fn store_unbroken(&mut self, group: Group) {
        match group.batches() {
            1 => self
                .acknowledger
                .failed(group, LogError::PrecedingNotStored),
            _ => self.store_one_by_one(group).await,
        }
    }

    async fn store_one_by_one(&mut self, group: Group) {
        let transfers = self.acknowledger.transfers.clone();
        for batch in group.split(&transfers) {
            Box::pin(self.store_alone(batch)).await;
        }
    }
}

/// A panic is one of the appender, wherever it was: what it leaves behind is not to be trusted, and
/// its process is to hear of it. Tasks are cancelled only along with their runtime.
async fn ended_by<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_cancelled) => std::future::pending().await,
    }
}

/// Whether the fault lies with the events and not with the database.
fn blames_events(error: &LogError) -> bool {
    match error {
        LogError::TooOld { .. } => true,
        LogError::Database(error) => is_data_error(error),
        _ => false,
    }
}
