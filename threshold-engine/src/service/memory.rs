//! The engine in memory, and how it is made of the database.

#[cfg(test)]
mod tests;

use std::{path::Path, pin::pin, sync::Arc, time::Instant};

use futures::TryStreamExt;
use metrics::histogram;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tracing::{debug, error, info};

use super::{
    history::{Played, played},
    telemetry,
};
use crate::{
    Engine, Failed,
    pattern::Pattern,
    regime::Regime,
    series::OpenStep,
    store::{self, Head, Kind},
};

/// More points than these may take seconds to be played after the server has sent them.
const POINTS_SILENT_MAX: i64 = 5_000;

/// The engine, shared by the consumer, the reloading of definitions, and REST.
///
/// Whoever changes it holds the lock of the head in the database first, and this one second.
pub(crate) type SharedMemory = Arc<Mutex<Memory>>;

/// The engine, and which state of the database it agrees with.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) engine: Engine,
    /// `None` while it is being changed: what is dropped halfway is not to be trusted.
    head: Option<Head>,
    /// How many changes of definitions it knows.
    changes: i64,
}

/// A definition, compiled.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    Pattern(Arc<Pattern>),
    Regime(Arc<Regime>),
}

impl Definition {
    /// Of what was put to work. `None` if this version of the program cannot read it any more.
    pub(super) fn read(kind: Kind, put: &store::Put) -> Option<Self> {
        let path = Path::new(&put.file);
        let read = match kind {
            Kind::Pattern => Pattern::read(path, &put.content).map(Self::pattern),
            Kind::Regime => Regime::read(path, &put.content).map(|r| Self::Regime(Arc::new(r))),
        };
        read.inspect_err(|mistake| error!(%mistake, "a stored definition cannot be read"))
            .ok()
    }

    /// A pattern that is put to work, whatever its file says about that.
    pub(crate) fn pattern(mut pattern: Pattern) -> Self {
        pattern.enabled = true;
        Self::Pattern(Arc::new(pattern))
    }

    /// Ids of the series that it reads.
    pub(crate) fn series(&self) -> impl Iterator<Item = &str> {
        let program = match self {
            Self::Pattern(pattern) => &pattern.program,
            Self::Regime(regime) => &regime.program,
        };
        program.inputs().iter().map(|input| input.series.as_str())
    }
}

impl Memory {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::new([], []),
            head: None,
            changes: 0,
        }
    }

    /// Makes it agree with the database at a head that is locked: plays what others have added to what
    /// it knows, or else everything.
    pub(crate) async fn agree(
        &mut self,
        connection: &mut PgConnection,
        head: Head,
    ) -> Result<(), sqlx::Error> {
        if self.head == Some(head) {
            return Ok(());
        }
        if !self.catch_up(connection, head).await? {
            self.rebuild(connection, head).await?;
        }
        telemetry::tell_patterns(&self.engine);
        Ok(())
    }

    /// Plays the points that others have added, if that is all that has happened since: where several
    /// engines take turns, each lacks but what the others did last. False if it is not.
    async fn catch_up(
        &mut self,
        connection: &mut PgConnection,
        head: Head,
    ) -> Result<bool, sqlx::Error> {
        let Some(known) = self.head.take() else {
            return Ok(false);
        };
        if !store::leads_on(connection, known, self.changes).await? {
            return Ok(false);
        }
        if head.last_sequence - known.last_sequence > POINTS_SILENT_MAX {
            store::allow_silence(connection).await?;
        }
        let mut points = pin!(store::points_after(connection, known.last_sequence));
        let mut open = OpenStep::default();
        let mut count = 0;
        while let Some(point) = points.try_next().await? {
            if let Some(step) = open.push(point) {
                self.engine.rebuild(&step);
            }
            count += 1;
        }
        self.engine.rebuild(&open.take());
        self.head = Some(head);
        debug!(points = count, "memory was brought up to the database");
        Ok(true)
    }

    async fn rebuild(
        &mut self,
        connection: &mut PgConnection,
        head: Head,
    ) -> Result<(), sqlx::Error> {
        let started = Instant::now();
        store::allow_silence(connection).await?;
        let Played {
            engine,
            points,
            changes,
        } = played(connection).await?;
        self.engine = engine;
        self.changes = i64::try_from(changes).unwrap_or(i64::MAX);
        self.head = Some(head);
        let seconds = started.elapsed().as_secs_f64();
        histogram!("thresholdengine_rebuild_seconds").record(seconds);
        info!(points, seconds, "memory was made of the database");
        Ok(())
    }

    /// Which state of the database it agrees with; `None` if with none for sure.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// It is about to be changed, and agrees with nothing until [`Self::changed`].
    pub(crate) fn changing(&mut self) {
        self.head = None;
    }

    /// It was changed as the transaction of `head` changes the database. Should that not commit,
    /// the next one to look finds another head.
    pub(crate) fn changed(&mut self, head: Head) {
        self.head = Some(head);
        telemetry::tell_patterns(&self.engine);
    }

    /// Changes a definition as was recorded, with the points that a new series of it has. Gives what
    /// cannot be evaluated: the definition itself, which changes nothing then, or regimes that ask for it.
    pub(crate) async fn put(
        &mut self,
        connection: &mut PgConnection,
        definition: &Definition,
    ) -> Result<Vec<Failed>, sqlx::Error> {
        let missing: Vec<String> = self
            .engine
            .series_to_load(definition.series())
            .into_iter()
            .map(str::to_owned)
            .collect();
        if !missing.is_empty() {
            let points: Vec<_> = store::points_of(connection, &missing).try_collect().await?;
            self.engine.load(points.iter().map(|(_, point)| point));
        }
        let before = self.engine.failed().len();
        put(&mut self.engine, definition);
        let failed = self.engine.take_failed(before);
        // What was never at work is not put there, and no change is recorded.
        if failed.iter().all(|failed| failed.before.is_some()) {
            self.changes += 1;
        }
        Ok(failed)
    }

    /// A change was recorded that the engine has made by itself.
    pub(crate) fn note_change(&mut self) {
        self.changes += 1;
    }

    /// Takes a definition away as was recorded. Gives what fails without it.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Vec<Failed> {
        let before = self.engine.failed().len();
        self.changes += 1;
        remove(&mut self.engine, kind, id);
        self.engine.take_failed(before)
    }
}

pub(super) fn put(engine: &mut Engine, definition: &Definition) {
    match definition {
        Definition::Pattern(pattern) => engine.replace_pattern(Arc::clone(pattern)),
        Definition::Regime(regime) => engine.replace_regime(Arc::clone(regime)),
    }
}

pub(super) fn remove(engine: &mut Engine, kind: Kind, id: &str) {
    match kind {
        Kind::Pattern => engine.remove_pattern(id),
        Kind::Regime => engine.remove_regime(id),
    };
}
