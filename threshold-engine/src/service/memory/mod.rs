//! The engine in memory, and which part of what is recorded it was built from.

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use sqlx::PgConnection;
use tokio::sync::{Mutex, Notify};
use tracing::{debug, error};

use super::{recovery::Preloaded, telemetry};
use crate::{
    Engine, Failed,
    engine::PreparedPattern,
    pattern::Pattern,
    regime::Regime,
    store::{self, Head, Kind, Recorded},
};
use evaluation::series::Point;

/// As many points may be played while the head is locked, which takes some tenths of a second.
const LAST_STRETCH_POINTS: i64 = 8_192;

/// The engine, shared by the consumer, the reloading of definitions, and REST.
///
/// Whoever changes it beyond what is recorded holds the lock of the head in the database first, and this
/// one second. Nobody reads much of the database while holding this one.
pub(crate) type SharedMemory = Arc<Mutex<Memory>>;

/// The engine, and which state of the database it agrees with.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) engine: Engine,
    /// `None` while it is being changed: what is dropped halfway is not to be trusted.
    position: Option<Position>,
    /// Where [`Engine::undo`] leads back to.
    before: Option<Position>,
    /// How many changes of definitions there are with those of the transaction under way.
    changes: i64,
    /// Points of series that definitions of this transaction are the first to read.
    preloaded: Preloaded,
    /// Patterns of this transaction that were folded before it began.
    prepared: Vec<PreparedPattern>,
    /// Notified when it is too far behind to be brought up while the head is locked.
    behind: Arc<Notify>,
}

/// How much of what is recorded a memory was built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// Number of the last point.
    pub(crate) sequence: i64,
    /// How many changes of definitions it knows.
    pub(crate) changes: i64,
    /// The transaction that was the last to change anything, where it ends with one; `None` in the middle
    /// of what was committed.
    pub(crate) changed_by: Option<i64>,
}

/// Why a memory does not agree with the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgreeError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the engine's memory is catching up with what was recorded meanwhile")]
    Behind,
}

/// A definition, compiled.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    Pattern(Arc<Pattern>),
    Regime(Arc<Regime>),
}

impl Definition {
    /// Of what was deployed. `None` if this version of the program cannot read it any more.
    pub(super) fn read(kind: Kind, put: &store::Put) -> Option<Self> {
        let path = Path::new(&put.file);
        let read = match kind {
            Kind::Pattern => Pattern::read(path, &put.content).map(Self::pattern),
            Kind::Regime => Regime::read(path, &put.content).map(|r| Self::Regime(Arc::new(r))),
        };
        read.inspect_err(|mistake| error!(%mistake, "a stored definition cannot be read"))
            .ok()
    }

    /// A pattern that is deployed, whatever its file says about that.
    pub(crate) fn pattern(mut pattern: Pattern) -> Self {
        pattern.enabled = true;
        Self::Pattern(Arc::new(pattern))
    }

    /// Ids of the series whose dates it is evaluated at, with that of time if every day is.
    pub(crate) fn series(&self) -> impl Iterator<Item = &str> {
        let program = match self {
            Self::Pattern(pattern) => pattern.program(),
            Self::Regime(regime) => &regime.program,
        };
        program.series_ids()
    }
}

impl From<Recorded> for Position {
    fn from(recorded: Recorded) -> Self {
        Self {
            sequence: recorded.head.last_sequence,
            changes: recorded.changes,
            changed_by: Some(recorded.head.changed_by),
        }
    }
}

impl Position {
    /// Before anything was recorded.
    pub(crate) const ORIGIN: Self = Self {
        sequence: 0,
        changes: 0,
        changed_by: Some(0),
    };

    fn head(self) -> Option<Head> {
        Some(Head {
            last_sequence: self.sequence,
            changed_by: self.changed_by?,
        })
    }

    /// Whether it knows what is not recorded, because its transaction is under way or was undone.
    pub(crate) fn is_ahead_of(self, recorded: Recorded) -> bool {
        self.sequence > recorded.head.last_sequence || self.changes > recorded.changes
    }

    /// Whether what it lacks is few points and nothing else.
    pub(crate) fn is_near(self, recorded: Recorded) -> bool {
        let lacks = recorded.head.last_sequence - self.sequence;
        self.changes == recorded.changes && lacks <= LAST_STRETCH_POINTS
    }

    /// Whether all that it was built from was committed.
    pub(crate) async fn is_committed(
        self,
        connection: &mut PgConnection,
    ) -> Result<bool, sqlx::Error> {
        match self.head() {
            Some(head) => store::is_committed(connection, head).await,
            None => Ok(true),
        }
    }
}

impl Memory {
    /// Of nothing yet.
    pub(crate) fn new() -> Self {
        Self::of(Engine::new([], []), Position::ORIGIN)
    }

    /// Of what is recorded up to a position.
    pub(crate) fn of(engine: Engine, position: Position) -> Self {
        Self {
            engine,
            position: Some(position),
            before: None,
            changes: position.changes,
            preloaded: Preloaded::default(),
            prepared: Vec::new(),
            behind: Arc::default(),
        }
    }

    /// Notified when somebody needs it who found it too far behind.
    pub(super) fn behind(&self) -> Arc<Notify> {
        Arc::clone(&self.behind)
    }

    /// Takes the place of another one.
    pub(super) fn replace(&mut self, by: Self) {
        self.engine = by.engine;
        self.position = by.position;
        self.before = None;
        telemetry::record_patterns(&self.engine);
    }

    /// Makes it agree with the database at a head that is locked, by playing what others have added to
    /// what it knows.
    ///
    /// # Errors
    /// [`AgreeError::Behind`] if that is more than can be played while others wait for the head; it is
    /// then being brought up without the lock.
    pub(crate) async fn agree(
        &mut self,
        connection: &mut PgConnection,
        head: Head,
    ) -> Result<(), AgreeError> {
        if self.head() == Some(head) {
            return Ok(());
        }
        self.settle(connection).await?;
        if self.head() == Some(head) {
            telemetry::record_patterns(&self.engine);
            return Ok(());
        }
        let recorded = store::recorded(&mut *connection).await?;
        let Some(position) = self.position.filter(|known| known.is_near(recorded)) else {
            self.behind.notify_one();
            return Err(AgreeError::Behind);
        };
        let (after, to) = (position.sequence, head.last_sequence);
        let points = store::points_between(connection, after, to, &self.series()).await?;
        let points: Vec<Point> = points.into_iter().map(|(_, point)| point).collect();
        self.play(position, &points, recorded.into());
        telemetry::record_patterns(&self.engine);
        debug!(points = points.len(), "memory caught up with the database");
        Ok(())
    }

    /// Undoes what it knows of a transaction that was not committed. To be called with the head locked:
    /// then none of this process is under way. If that is not possible it agrees with nothing.
    pub(super) async fn settle(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<(), sqlx::Error> {
        if let Some(position) = self.position
            && position.is_committed(&mut *connection).await?
        {
            return Ok(());
        }
        self.position = None;
        let before = self.before.take();
        if let Some(before) = before
            && before.is_committed(connection).await?
            && self.engine.undo()
        {
            self.position = Some(before);
            debug!("memory undid what was not committed");
        }
        Ok(())
    }

    /// Plays points that are committed. False if it is not at the position that they follow on.
    pub(super) fn play(&mut self, at: Position, points: &[Point], to: Position) -> bool {
        self.change(at, to, |engine| engine.rebuild(points))
    }

    /// Changes the engine as is committed. False if it is not at the position `at`.
    pub(super) fn change(
        &mut self,
        at: Position,
        to: Position,
        change: impl FnOnce(&mut Engine),
    ) -> bool {
        if self.position != Some(at) {
            return false;
        }
        self.position = None;
        self.before = None;
        self.engine.drop_undo();
        change(&mut self.engine);
        self.position = Some(to);
        true
    }

    /// Ids of the series that it holds.
    pub(super) fn series(&self) -> Vec<String> {
        let ids = self.engine.store().ids();
        ids.map(|id| id.to_string()).collect()
    }

    /// What it was built from; `None` if that is not known for sure.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Which state of the database it agrees with; `None` if with none for sure.
    pub(crate) fn head(&self) -> Option<Head> {
        self.position?.head()
    }

    /// It is about to be changed, and agrees with nothing until [`Self::changed`].
    pub(crate) fn changing(&mut self) {
        self.before = self.position.take();
        self.changes = self.before.map_or(0, |before| before.changes);
        self.engine.keep_undo();
    }

    /// It was changed as the transaction of `head` changes the database. Should that not commit,
    /// the next one to look finds another head.
    pub(crate) fn changed(&mut self, head: Head) {
        self.position = Some(Position {
            sequence: head.last_sequence,
            changes: self.changes,
            changed_by: Some(head.changed_by),
        });
        self.preloaded = Preloaded::default();
        self.prepared.clear();
        telemetry::record_patterns(&self.engine);
    }

    /// What was made ready before the transaction under way: points of series that its definitions are
    /// the first to read, and patterns that were folded.
    pub(super) fn give(&mut self, (preloaded, prepared): Ready) {
        self.preloaded = preloaded;
        self.prepared = prepared;
    }

    /// Whether changes of definitions were made since [`Self::changing`].
    pub(super) fn has_changes(&self) -> bool {
        self.before
            .is_none_or(|before| self.changes > before.changes)
    }

    /// Changes a definition as was recorded, with the points that a new series of it has. Gives what
    /// cannot be evaluated: the definition itself, which changes nothing then, or regimes that ask for it.
    pub(crate) async fn put(
        &mut self,
        connection: &mut PgConnection,
        definition: &Definition,
    ) -> Result<Vec<Failed>, sqlx::Error> {
        let missing = missing(&self.engine, definition);
        let loading = self.preloaded.complete(connection, missing, i64::MAX);
        self.engine.load_series(loading.await?);
        let before = self.engine.failed().len();
        match self.take_prepared(definition) {
            Some(prepared) => self.engine.replace_by_prepared(prepared),
            None => put(&mut self.engine, definition),
        }
        let failed = self.engine.take_failed(before);
        // What was never running is not put there, and no change is recorded.
        if failed.iter().all(|failed| failed.before.is_some()) {
            self.changes += 1;
        }
        Ok(failed)
    }

    /// A change was recorded that the engine has made by itself.
    pub(crate) fn note_change(&mut self) {
        self.changes += 1;
    }

    fn take_prepared(&mut self, definition: &Definition) -> Option<PreparedPattern> {
        let Definition::Pattern(pattern) = definition else {
            return None;
        };
        let is_it = |prepared: &PreparedPattern| {
            let ready = prepared.pattern();
            ready.id == pattern.id && ready.version == pattern.version
        };
        let place = self.prepared.iter().position(is_it)?;
        Some(self.prepared.swap_remove(place))
    }

    /// Takes a definition away as was recorded. Gives what fails without it.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Vec<Failed> {
        let before = self.engine.failed().len();
        self.changes += 1;
        remove(&mut self.engine, kind, id);
        self.engine.take_failed(before)
    }
}

/// What can be made ready for definitions without any lock.
pub(crate) type Ready = (Preloaded, Vec<PreparedPattern>);

/// The series of a definition whose points an engine is to be given first.
pub(super) fn missing(engine: &Engine, definition: &Definition) -> Vec<String> {
    let missing = engine.series_to_load(definition.series());
    missing.into_iter().map(str::to_owned).collect()
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
