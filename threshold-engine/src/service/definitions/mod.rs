//! Which definitions are running: those of the files, unless a file is broken or a pattern was
//! switched by hand.

mod edits;
mod files;
mod plan;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use atlas_events::{Acceptance, DefinitionChange, Draft, Event, Timestamp, Violation};
use chrono::{DateTime, Utc};
use event_log::{EventLog, LogError, Uncommitted};
use metrics::gauge;
use sqlx::{PgConnection, PgPool};
use tracing::warn;

use super::{
    collected::{Collected, KnownSeries},
    memory::{AgreeError, Definition, Ready, SharedMemory},
    recovery::Recovery,
    telemetry,
};
use crate::{
    Engine,
    config::PatternsConfig,
    definition::LoadError,
    library::Library,
    pattern::Pattern,
    store::{self, Kind, Suspension},
};

pub(crate) use edits::Edits;
use files::{Files, Key};
pub(crate) use plan::Conflict;
use plan::{Known, Own};

/// What is gone from the files is taken away after so many looks at them: a folder that is mounted anew or a deployment
/// in progress takes nothing away.
const GONE_LOOKS: u32 = 3;

/// The definitions of a folder, and putting them to work.
#[derive(Clone, Debug)]
pub(crate) struct Definitions {
    pool: PgPool,
    memory: SharedMemory,
    recovery: Recovery,
    log: EventLog,
    folder: Arc<Path>,
    collected: Collected,
    /// For how long a definition has to be gone from the files.
    grace: Duration,
    own: Arc<tokio::sync::Mutex<Own>>,
    report: Arc<Mutex<Report>>,
}

/// Somebody switches a pattern.
struct NewSwitch<'a> {
    pattern_id: &'a str,
    enabled: bool,
    reason: &'a str,
}

impl NewSwitch<'_> {
    async fn insert(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let Self {
            pattern_id,
            enabled,
            reason,
        } = *self;
        store::insert_switch(&mut *connection, pattern_id, enabled, reason).await?;
        if enabled {
            store::delete_suspension(connection, Kind::Pattern, pattern_id).await?;
        }
        Ok(())
    }
}

/// What is done once the transaction has committed.
#[derive(Default)]
struct Done {
    emitted: Reloaded,
    /// What the files hold and is switched off.
    off: Vec<Key>,
    /// What is not there any more.
    forgotten: Vec<Key>,
}

/// Why definitions could not be taken up. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The database refused something, or did not answer.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The own log does not append.
    #[error("lifecycle events of definitions cannot be emitted: {0}")]
    Log(#[from] LogError),
    /// What is to be emitted breaks a rule of the contract.
    #[error("lifecycle events of definitions cannot be emitted: {0}")]
    Event(#[from] Violation),
}

/// What the last reading of the files found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) read_at: Option<DateTime<Utc>>,
    pub(crate) mistakes: Vec<LoadError>,
    /// Inputs of whose series no event has been received yet.
    pub(crate) never_received: Vec<LoadError>,
    /// Definitions that another engine of the database has otherwise.
    pub(crate) conflicts: Vec<Conflict>,
    /// Every series that a definition reads, also one that was refused.
    series: BTreeSet<String>,
    /// Every pattern whose file is in order, also those that are switched off.
    pub(crate) patterns: BTreeMap<String, Arc<Pattern>>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reloaded {
    pub(crate) put: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Files are gone, but not for long enough to be missed: they are to be looked at again.
    pub(crate) is_waiting: bool,
}

impl Definitions {
    pub(crate) fn new(
        pool: PgPool,
        memory: SharedMemory,
        recovery: Recovery,
        log: EventLog,
        config: &PatternsConfig,
        collected: Collected,
    ) -> Self {
        Self {
            pool,
            memory,
            recovery,
            log,
            folder: config.folder.as_path().into(),
            collected,
            grace: config.reload_interval * GONE_LOOKS,
            own: Arc::default(),
            report: Arc::default(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the last reading found.
    pub(crate) fn report(&self) -> Report {
        let report = self.report.lock();
        report.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files and deploys what has changed. What is broken stays as it was, and so does what is gone
    /// for less than some looks at the files.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reload_after(self.grace, None).await
    }

    /// The same at somebody's request: what is gone is meant to be.
    pub(crate) async fn reload_now(&self) -> Result<Reloaded, ReloadError> {
        self.reload_after(Duration::ZERO, None).await
    }

    /// What is known of the series that the definitions read, as last read.
    pub(crate) async fn known_series(&self) -> Result<KnownSeries, sqlx::Error> {
        let series = self.report().series;
        let mut connection = self.pool.acquire().await?;
        self.collected.known(&mut connection, &series).await
    }

    /// Switches a pattern on or off by hand. One that was suspended because it failed is tried again.
    pub(crate) async fn switch(
        &self,
        pattern_id: &str,
        enabled: bool,
        reason: &str,
    ) -> Result<Reloaded, ReloadError> {
        let switch = NewSwitch {
            pattern_id,
            enabled,
            reason,
        };
        self.reload_after(self.grace, Some(switch)).await
    }

    /// Reports in the metrics how many definitions are suspended because they failed.
    pub(crate) async fn tell_suspended(&self) -> Result<(), sqlx::Error> {
        let suspended = store::suspensions(&self.pool).await?.len();
        gauge!("thresholdengine_suspended_definitions").set(suspended as f64);
        Ok(())
    }

    async fn reload_after(
        &self,
        grace: Duration,
        switch: Option<NewSwitch<'_>>,
    ) -> Result<Reloaded, ReloadError> {
        // One at a time, so that what is read later counts.
        let mut own = self.own.lock().await;
        // First, as what it takes at a start can be seen.
        self.recovery.approach().await?;
        let files = self.read_files().await?;
        self.log(&files);
        loop {
            self.recovery.approach().await?;
            let ready = self
                .make_ready(&mut own, &files, grace, switch.as_ref())
                .await?;
            let mut transaction = self.pool.begin().await?;
            if let Some(switch) = &switch {
                switch.insert(&mut transaction).await?;
            }
            let edit = self.edit(&mut transaction, &mut own, &files, grace, ready);
            let (reloaded, events) = match edit.await {
                Ok(edited) => edited,
                Err(AgreeError::Behind) => {
                    transaction.rollback().await?;
                    continue;
                }
                Err(AgreeError::Database(error)) => return Err(error.into()),
            };
            let appended = match events.is_empty() {
                true => None,
                false => Some(self.append(&mut transaction, events).await?),
            };
            transaction.commit().await?;
            if let Some(appended) = appended {
                appended.committed();
            }
            own.done(&files, &reloaded.off);
            for key in &reloaded.forgotten {
                own.forget(key);
            }
            return Ok(reloaded.emitted);
        }
    }

    async fn read_files(&self) -> Result<Files, sqlx::Error> {
        let folder = self.folder.to_path_buf();
        let (library, mistakes) = unblocked(move || Library::load(&folder)).await?;
        let series = library.series();
        let mut connection = self.pool.acquire().await?;
        let known = self.collected.known(&mut connection, &series).await?;
        drop(connection);
        let folder = self.folder.to_path_buf();
        unblocked(move || Files::of(&folder, library, mistakes, series, &known)).await
    }

    /// Reads and folds what the definitions need that are to be deployed, as it looks now, without any lock.
    async fn make_ready(
        &self,
        own: &mut Own,
        files: &Files,
        grace: Duration,
        switch: Option<&NewSwitch<'_>>,
    ) -> Result<Ready, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        if let Some(switch) = switch {
            switch.insert(&mut transaction).await?;
        }
        let known = Known::read(&mut transaction).await?;
        transaction.rollback().await?;
        let plan = own.plan(files, &known, Instant::now(), grace);
        let definitions = plan.put.into_iter();
        let definitions = definitions.map(|(_, wanted)| wanted.definition.clone());
        self.recovery.make_ready(definitions.collect()).await
    }

    async fn edit(
        &self,
        connection: &mut PgConnection,
        own: &mut Own,
        files: &Files,
        grace: Duration,
        ready: Ready,
    ) -> Result<(Done, Vec<Event>), AgreeError> {
        let head = store::lock_head(connection).await?;
        let mut memory = self.memory.lock().await;
        memory.agree(connection, head).await?;
        let mut known = Known::read(connection).await?;
        let lost = lost(&memory.engine, &mut known);
        let plan = own.plan(files, &known, Instant::now(), grace);
        self.tell_conflicts(&plan.conflicts);
        let mut done = Done::default();
        done.emitted.is_waiting = plan.is_waiting;
        done.off = plan.off.iter().map(|key| (*key).clone()).collect();
        if plan.put.is_empty() && plan.ended.is_empty() && lost.is_empty() {
            telemetry::record_patterns(&memory.engine);
            return Ok((done, Vec::new()));
        }
        memory.changing();
        memory.give(ready);
        // A new definition is played over all points of its series.
        store::allow_silence(connection).await?;
        let log_id = self.log.log_id().to_string();
        let mut edits = Edits::begin(connection, &mut memory, log_id, head.last_sequence);
        for (key, reason) in &lost {
            edits.suspend_lost(key, reason).await?;
        }
        for (key, wanted) in plan.put {
            if edits.put(key, wanted).await? {
                done.emitted.put.push(key.1.clone());
            }
        }
        // Models of regimes before the patterns that they ask for.
        for ended in plan.ended.into_iter().rev() {
            edits
                .take_away(&ended.key, ended.change, &ended.reason)
                .await?;
            done.emitted.removed.push(ended.key.1.clone());
            if ended.change == DefinitionChange::Removed {
                done.forgotten.push(ended.key);
            }
        }
        let events = edits.events();
        // A head is known by what its transaction recorded.
        let head = match memory.has_changes() {
            true => store::move_head(connection, head.last_sequence).await?,
            false => head,
        };
        memory.changed(head);
        Ok((done, events))
    }

    async fn append(
        &self,
        connection: &mut PgConnection,
        events: Vec<Event>,
    ) -> Result<Uncommitted, ReloadError> {
        let acceptance = self.log.acceptance();
        // The clock of the database is not refused for that of this machine.
        let accepted = |event: &Event| {
            let at = event.occurred_at.and_then(Timestamp::to_utc);
            let now = at.map_or(acceptance.now, |at| acceptance.now.max(at));
            Acceptance::new(now, acceptance.earliest)
        };
        let drafts = events.into_iter().map(|event| {
            let acceptance = accepted(&event);
            Draft::new(event, &acceptance)
        });
        let drafts: Vec<_> = drafts.collect::<Result<_, _>>()?;
        Ok(self.log.append_in(connection, drafts).await?)
    }

    fn tell_conflicts(&self, conflicts: &[Conflict]) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for conflict in conflicts {
            if !report.conflicts.contains(conflict) {
                let Conflict { kind, id, .. } = conflict;
                let (own, running) = (&conflict.own_version, &conflict.running_version);
                warn!(
                    %kind, id, own, running,
                    "another engine of this database has different files; the files changed last \
                     are in effect"
                );
            }
        }
        gauge!("thresholdengine_definition_conflicts").set(conflicts.len() as f64);
        report.conflicts = conflicts.to_vec();
    }

    /// Keeps what was found for REST, and logs mistakes that were not there before.
    fn log(&self, files: &Files) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for mistake in &files.mistakes {
            if !report.mistakes.contains(mistake) {
                warn!(%mistake, "a definition has mistakes; the version that ran before continues");
            }
        }
        if !files.never_received.is_empty() && files.never_received != report.never_received {
            let reasons: BTreeSet<_> = files.never_received.iter().map(|f| &f.reason).collect();
            warn!(
                inputs = files.never_received.len(),
                ?reasons,
                "definitions have no data: no event of their series has been received yet"
            );
        }
        gauge!("thresholdengine_definition_mistakes").set(files.mistakes.len() as f64);
        let patterns = files.wanted.iter().filter_map(|((_, id), wanted)| {
            let Definition::Pattern(pattern) = &wanted.definition else {
                return None;
            };
            Some((id.clone(), Arc::clone(pattern)))
        });
        *report = Report {
            conflicts: std::mem::take(&mut report.conflicts),
            read_at: Some(Utc::now()),
            mistakes: files.mistakes.clone(),
            never_received: files.never_received.clone(),
            series: files.series.clone(),
            patterns: patterns.collect(),
        };
    }
}

/// Reading and compiling files takes its time.
async fn unblocked<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, sqlx::Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| sqlx::Error::AnyDriverError(error.into()))
}

/// What is recorded as running and is not in memory: it failed while history was played, or this version of the
/// program cannot read it. It is taken for suspended from here on. With the reasons.
fn lost(engine: &Engine, known: &mut Known) -> Vec<(Key, String)> {
    let mut lost = Vec::new();
    for last in &mut known.last {
        if engine.current_state(last.kind, &last.id).is_some() {
            continue;
        }
        let Some(put) = last.put.take() else {
            continue;
        };
        last.is_suspended = true;
        let failed = engine.failed().iter().rev();
        let mut failed = failed.filter(|f| f.kind == last.kind && f.id == last.id);
        let reason = match failed.next() {
            Some(failed) => {
                known.suspensions.push(Suspension::of(failed, put.version));
                failed.reason.clone()
            }
            None => "this version of the program cannot read its file".to_owned(),
        };
        lost.push(((last.kind, last.id.clone()), reason));
    }
    lost
}
