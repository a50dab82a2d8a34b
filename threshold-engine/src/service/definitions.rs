//! Which definitions are at work: those of the files, unless a file is broken or a pattern was
//! switched by hand.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use metrics::gauge;
use sqlx::{PgConnection, PgPool};
use tracing::{info, warn};

use super::{
    collected::{Collected, KnownSeries},
    memory::{AgreeError, Definition, Memory, Ready, SharedMemory},
    recovery::Recovery,
    telemetry,
};
use crate::{
    definition::LoadError,
    library::{FILE_BYTES_MAX, Library, read_text},
    pattern::Pattern,
    store::{self, Change, Kind, Put},
};

/// The definitions of a folder, and putting them to work.
#[derive(Clone, Debug)]
pub(crate) struct Definitions {
    pool: PgPool,
    memory: SharedMemory,
    recovery: Recovery,
    folder: Arc<Path>,
    collected: Collected,
    report: Arc<Mutex<Report>>,
}

/// What the last reading of the files found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) read_at: Option<DateTime<Utc>>,
    pub(crate) mistakes: Vec<LoadError>,
    /// Inputs whose series nobody has sent yet.
    pub(crate) never_received: Vec<LoadError>,
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
}

/// A definition whose file is in order.
struct Wanted {
    definition: Definition,
    put: Put,
    /// What the file says.
    enabled: bool,
}

/// A pattern that is switched by hand: its id, on or off, and why.
type Switched<'a> = (&'a str, bool, &'a str);

/// What the files hold.
struct Files {
    wanted: BTreeMap<(Kind, String), Wanted>,
    mistakes: Vec<LoadError>,
    never_received: Vec<LoadError>,
    series: BTreeSet<String>,
}

impl Definitions {
    pub(crate) fn new(
        pool: PgPool,
        memory: SharedMemory,
        recovery: Recovery,
        folder: &Path,
        collected: Collected,
    ) -> Self {
        Self {
            pool,
            memory,
            recovery,
            folder: folder.into(),
            collected,
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

    /// Reads the files and puts to work what has changed. What is broken stays as it was.
    pub(crate) async fn reload(&self) -> Result<Reloaded, sqlx::Error> {
        self.reload_with(None).await
    }

    /// What is known of the series that the definitions read, as last read.
    pub(crate) async fn known_series(&self) -> Result<KnownSeries, sqlx::Error> {
        let series = self.report().series;
        let mut connection = self.pool.acquire().await?;
        self.collected.known(&mut connection, &series).await
    }

    /// Switches a pattern on or off by hand.
    pub(crate) async fn switch(
        &self,
        pattern_id: &str,
        enabled: bool,
        reason: &str,
    ) -> Result<Reloaded, sqlx::Error> {
        self.reload_with(Some((pattern_id, enabled, reason))).await
    }

    /// Reads the files, and makes ready without any lock what is to be put to work.
    async fn reload_with(&self, switch: Option<Switched<'_>>) -> Result<Reloaded, sqlx::Error> {
        // First, as what it takes at a start can be seen.
        self.recovery.approach().await?;
        let files = self.read_files().await?;
        self.tell(&files);
        loop {
            self.recovery.approach().await?;
            let ready = self.make_ready(&files, switch).await?;
            let mut transaction = self.pool.begin().await?;
            if let Some((pattern_id, enabled, reason)) = switch {
                store::insert_switch(&mut transaction, pattern_id, enabled, reason).await?;
            }
            match self.reload_in(&mut transaction, &files, ready).await {
                Ok(reloaded) => {
                    transaction.commit().await?;
                    return Ok(reloaded);
                }
                Err(AgreeError::Behind) => transaction.rollback().await?,
                Err(AgreeError::Database(error)) => return Err(error),
            }
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

    /// Reads and folds what the definitions need that are to be put to work, as it looks now.
    async fn make_ready(
        &self,
        files: &Files,
        switch: Option<Switched<'_>>,
    ) -> Result<Ready, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        let running = store::running(&mut *connection).await?;
        let mut switches = store::last_switches(&mut connection).await?;
        drop(connection);
        switches.extend(switch.map(|(id, enabled, _)| (id.to_owned(), enabled)));
        let (put, _) = files.differences(&running, &switches);
        let definitions = put.into_iter().map(|(_, wanted)| wanted.definition.clone());
        self.recovery.make_ready(definitions.collect()).await
    }

    async fn reload_in(
        &self,
        connection: &mut PgConnection,
        files: &Files,
        ready: Ready,
    ) -> Result<Reloaded, AgreeError> {
        let head = store::lock_head(connection).await?;
        let mut memory = self.memory.lock().await;
        memory.agree(connection, head).await?;
        let running = store::running(&mut *connection).await?;
        let switches = store::last_switches(connection).await?;
        let (put, removed) = files.differences(&running, &switches);
        let mut reloaded = Reloaded::default();
        if put.is_empty() && removed.is_empty() {
            telemetry::tell_patterns(&memory.engine);
            return Ok(reloaded);
        }
        memory.changing();
        memory.give(ready);
        // A new definition is played over all points of its series.
        store::allow_silence(connection).await?;
        for ((kind, id), wanted) in put {
            let change = Change {
                kind: *kind,
                id: id.clone(),
                put: Some(wanted.put.clone()),
                after_sequence: head.last_sequence,
            };
            store::insert_change(connection, &change).await?;
            memory.put(connection, &wanted.definition).await?;
            info!(%kind, id, version = wanted.put.version, "a definition is at work");
            reloaded.put.push(id.clone());
        }
        // Models of regimes before the patterns that they ask for.
        for (kind, id) in removed.into_iter().rev() {
            take_away(connection, &mut memory, kind, &id, head.last_sequence).await?;
            reloaded.removed.push(id);
        }
        memory.changed(store::move_head(connection, head.last_sequence).await?);
        Ok(reloaded)
    }

    /// Keeps what was found for REST, and tells of mistakes that were not there before.
    fn tell(&self, files: &Files) {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        for mistake in &files.mistakes {
            if !report.mistakes.contains(mistake) {
                warn!(%mistake, "a definition is broken; what ran before goes on");
            }
        }
        if !files.never_received.is_empty() && files.never_received != report.never_received {
            let reasons: BTreeSet<_> = files.never_received.iter().map(|f| &f.reason).collect();
            warn!(
                inputs = files.never_received.len(),
                ?reasons,
                "definitions have no data: nobody has sent what they read yet"
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

async fn take_away(
    connection: &mut PgConnection,
    memory: &mut Memory,
    kind: Kind,
    id: &str,
    after_sequence: i64,
) -> Result<(), sqlx::Error> {
    let change = Change {
        kind,
        id: id.to_owned(),
        put: None,
        after_sequence,
    };
    store::insert_change(connection, &change).await?;
    memory.remove(kind, id);
    info!(%kind, id, "a definition was taken away");
    Ok(())
}

type Key = (Kind, String);

impl Files {
    fn of(
        folder: &Path,
        mut library: Library,
        mut mistakes: Vec<LoadError>,
        series: BTreeSet<String>,
        known: &KnownSeries,
    ) -> Self {
        mistakes.extend(library.check_inputs(|series| known.may_come(series), None));
        let never_received = library.inputs_without(|series| known.was_received(series));
        let mut wanted = BTreeMap::new();
        for pattern in library.patterns {
            let (version, file) = (pattern.version.clone(), pattern.file.clone());
            if let Some(put) = content(folder, &file, version, &mut mistakes) {
                let key = (Kind::Pattern, pattern.id.clone());
                let enabled = pattern.enabled;
                let definition = Definition::pattern(Pattern::clone(&pattern));
                wanted.insert(
                    key,
                    Wanted {
                        definition,
                        put,
                        enabled,
                    },
                );
            }
        }
        for regime in library.regimes {
            let (version, file) = (regime.version.clone(), regime.file.clone());
            if let Some(put) = content(folder, &file, version, &mut mistakes) {
                let key = (Kind::Regime, regime.id.clone());
                let definition = Definition::Regime(regime);
                wanted.insert(
                    key,
                    Wanted {
                        definition,
                        put,
                        enabled: true,
                    },
                );
            }
        }
        Self {
            wanted,
            mistakes,
            never_received,
            series,
        }
    }

    /// What is to be put to work and what is to be taken away.
    fn differences<'a>(
        &'a self,
        running: &[Change],
        switches: &HashMap<String, bool>,
    ) -> (Vec<(&'a Key, &'a Wanted)>, Vec<Key>) {
        let is_on = |(kind, id): &Key, wanted: &Wanted| {
            let switch = switches.get(id).filter(|_| *kind == Kind::Pattern);
            switch.copied().unwrap_or(wanted.enabled)
        };
        let runs = |(kind, id): &Key, version: &str| {
            let same = |change: &&Change| change.kind == *kind && change.id == *id;
            let put = running
                .iter()
                .find(same)
                .and_then(|change| change.put.as_ref());
            put.is_some_and(|put| put.version == version)
        };
        let put = self
            .wanted
            .iter()
            .filter(|(key, wanted)| is_on(key, wanted) && !runs(key, &wanted.put.version));
        let is_broken = |change: &Change| {
            let file = change.put.as_ref().map(|put| Path::new(&put.file));
            self.mistakes.iter().any(|mistake| {
                // One that concerns a folder may hide any file.
                Some(mistake.file.as_path()) == file || mistake.file.extension().is_none()
            })
        };
        let removed = running.iter().filter_map(|change| {
            let key = (change.kind, change.id.clone());
            let stays = match self.wanted.get(&key) {
                Some(wanted) => is_on(&key, wanted),
                None => is_broken(change) && switches.get(&change.id) != Some(&false),
            };
            (!stays).then_some(key)
        });
        (put.collect(), removed.collect())
    }
}

/// The text of a definition that was just read.
fn content(
    folder: &Path,
    file: &PathBuf,
    version: String,
    mistakes: &mut Vec<LoadError>,
) -> Option<Put> {
    let read = read_text(&folder.join(file), FILE_BYTES_MAX);
    let refused = |error: std::io::Error| LoadError {
        file: file.clone(),
        line: 0,
        reason: error.to_string(),
        excerpt: None,
    };
    let content = read.map_err(|error| mistakes.push(refused(error))).ok()?;
    Some(Put {
        version,
        file: file.display().to_string(),
        content,
    })
}
