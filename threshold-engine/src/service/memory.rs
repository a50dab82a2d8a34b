//! The engine in memory, and how it is made of the database.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Instant};

use metrics::histogram;
use sqlx::PgConnection;
use tokio::sync::Mutex;
use tracing::{error, info};

use super::telemetry;
use crate::{
    Engine,
    pattern::Pattern,
    regime::Regime,
    series::Point,
    store::{self, Change, Head, Kind},
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
    fn read(kind: Kind, put: &store::Put) -> Option<Self> {
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
        let history = History::read(connection).await?;
        let points = history.points.len();
        let playing = tokio::task::spawn_blocking(move || history.play());
        self.engine = playing
            .await
            .map_err(|error| sqlx::Error::AnyDriverError(error.into()))?;
        self.head = Some(head);
        telemetry::tell_patterns(&self.engine);
        let seconds = started.elapsed().as_secs_f64();
        histogram!("thresholdengine_rebuild_seconds").record(seconds);
        info!(points, seconds, "memory was made of the database");
        Ok(())
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
            let points = store::points_of(connection, &missing).await?;
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

fn put(engine: &mut Engine, definition: &Definition) {
    match definition {
        Definition::Pattern(pattern) => engine.replace_pattern(Arc::clone(pattern)),
        Definition::Regime(regime) => engine.replace_regime(Arc::clone(regime)),
    }
}

fn remove(engine: &mut Engine, kind: Kind, id: &str) {
    match kind {
        Kind::Pattern => engine.remove_pattern(id),
        Kind::Regime => engine.remove_regime(id),
    };
}

/// Everything that the engine was ever given.
struct History {
    changes: Vec<(Change, Option<Definition>)>,
    points: Vec<(i64, Point)>,
}

impl History {
    async fn read(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let changes = store::changes(connection).await?;
        let read = |change: Change| {
            let put = change.put.as_ref();
            let definition = put.and_then(|put| Definition::read(change.kind, put));
            (change, definition)
        };
        let changes: Vec<_> = changes.into_iter().map(read).collect();
        let definitions = changes
            .iter()
            .filter_map(|(_, definition)| definition.as_ref());
        let series: BTreeSet<&str> = definitions.flat_map(Definition::series).collect();
        let series: Vec<String> = series.into_iter().map(str::to_owned).collect();
        let points = store::points_of(connection, &series).await?;
        Ok(Self { changes, points })
    }

    /// Plays it as it came: what is told later must not depend on restarts.
    fn play(self) -> Engine {
        let mut engine = Engine::new([], []);
        let mut played = 0;
        for (change, definition) in &self.changes {
            let until = self
                .points
                .partition_point(|(sequence, _)| *sequence <= change.after_sequence);
            engine.rebuild(self.points[played..until].iter().map(|(_, point)| point));
            played = until;
            match definition {
                Some(definition) => {
                    let missing: BTreeSet<String> = engine
                        .series_to_load(definition.series())
                        .into_iter()
                        .map(str::to_owned)
                        .collect();
                    let before = self.points[..played].iter().map(|(_, point)| point);
                    engine.load(before.filter(|point| missing.contains(&*point.series)));
                    put(&mut engine, definition);
                }
                None if change.put.is_none() => remove(&mut engine, change.kind, &change.id),
                None => {}
            }
        }
        engine.rebuild(self.points[played..].iter().map(|(_, point)| point));
        engine
    }
}
