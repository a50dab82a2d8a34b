//! The engine in memory, and how it is made of the database.

use std::{path::Path, sync::Arc, time::Instant};

use futures::TryStreamExt;
use metrics::histogram;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tracing::{error, info};

use super::{history, telemetry};
use crate::{
    Engine,
    pattern::Pattern,
    regime::Regime,
    store::{self, Head, Kind},
};

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
        }
    }

    /// Makes it agree with the database at a head that is locked.
    pub(crate) async fn agree(
        &mut self,
        connection: &mut PgConnection,
        head: Head,
    ) -> Result<(), sqlx::Error> {
        if self.head == Some(head) {
            return Ok(());
        }
        let started = Instant::now();
        let (engine, points) = history::played(connection).await?;
        self.engine = engine;
        self.head = Some(head);
        telemetry::tell_patterns(&self.engine);
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

    /// Changes a definition, with the points that a new series of it has.
    pub(crate) async fn put(
        &mut self,
        connection: &mut PgConnection,
        definition: &Definition,
    ) -> Result<(), sqlx::Error> {
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
        put(&mut self.engine, definition);
        Ok(())
    }

    /// Takes a definition away.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) {
        remove(&mut self.engine, kind, id);
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
