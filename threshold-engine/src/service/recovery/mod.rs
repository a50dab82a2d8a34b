//! Bringing the memory up to what is recorded, without the lock of the head: at the start, behind
//! other engines, and where it had to be given up.
//!
//! What is recorded never changes, so it is read in pages, each a statement of its own. Only what came
//! while the last of them was read is left to whoever holds the lock ([`Memory::agree`]).

mod pages;
mod preload;
mod progress;
mod snapshots;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::histogram;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::{sync::Mutex, task::spawn_blocking};
use tracing::{debug, info};

use super::memory::{Definition, Memory, Position, Ready, SharedMemory, missing, put, remove};
use crate::{
    engine::PreparedPattern,
    store::{self, Change, Recorded},
};
use evaluation::series::Point;

use pages::read_page;
pub(super) use preload::Preloaded;
pub(crate) use progress::Progress;
pub(super) use snapshots::keep as keep_snapshots;
#[cfg(test)]
pub(super) use snapshots::{Written, write as write_snapshot};

/// So many changes of definitions, with their texts.
const CHANGES_AT_ONCE: i64 = 64;
const TELL_INTERVAL: Duration = Duration::from_secs(10);

/// Brings a memory up to what is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pool: PgPool,
    memory: SharedMemory,
    progress: Arc<Progress>,
    /// One at a time.
    turn: Arc<Mutex<()>>,
}

/// How a memory stands to what is recorded.
enum Agreement {
    /// It knows all, or what is under way besides.
    Agrees,
    /// It lacks few points.
    Near,
    /// It lacks more.
    Behind,
    /// It may know what was undone.
    Unproven,
}

impl Recovery {
    pub(crate) fn new(pool: PgPool, memory: SharedMemory, progress: Arc<Progress>) -> Self {
        Self {
            pool,
            memory,
            progress,
            turn: Arc::default(),
        }
    }

    /// Brings the memory up to what is recorded, but for what is recorded meanwhile.
    pub(crate) async fn approach(&self) -> Result<(), sqlx::Error> {
        let _turn = self.turn.lock().await;
        let mut connection = self.pool.acquire().await?;
        let mut rounds = 0;
        loop {
            let recorded = store::recorded(&mut *connection).await?;
            let position = self.memory.lock().await.position();
            // While nothing is recorded there is nothing to begin with.
            let begins = position == Some(Position::ORIGIN) && position != Some(recorded.into());
            if rounds == 0 && begins {
                self.progress.begin(0, recorded.head.last_sequence);
                let begun = self.begun(&mut connection).await?;
                self.memory.lock().await.replace(begun);
            }
            match agreement(&mut connection, &self.memory, recorded).await? {
                Agreement::Agrees => return Ok(()),
                Agreement::Near if rounds > 0 => return Ok(()),
                Agreement::Near | Agreement::Behind => {
                    self.advance(&mut connection, &self.memory, recorded)
                        .await?;
                }
                Agreement::Unproven => self.settle_or_renew(&mut connection).await?,
            }
            rounds += 1;
        }
    }

    /// Makes ready what can be for definitions that are to be deployed, while the engine goes on:
    /// reads the series that they are the first to read, and folds the patterns.
    pub(crate) async fn make_ready(
        &self,
        definitions: Vec<Definition>,
    ) -> Result<Ready, sqlx::Error> {
        if definitions.is_empty() {
            return Ok(Ready::default());
        }
        let missing: BTreeSet<String> = {
            let memory = self.memory.lock().await;
            let missing = definitions.iter().flat_map(|d| missing(&memory.engine, d));
            missing.collect()
        };
        let mut connection = self.pool.acquire().await?;
        let recorded = store::recorded(&mut *connection).await?;
        let last = recorded.head.last_sequence;
        let preloaded = Preloaded::read(&mut connection, missing, last).await?;
        drop(connection);
        let prepared = prepare(&self.memory, definitions, &preloaded).await?;
        Ok((preloaded, prepared))
    }

    /// Undoes what was not committed, or makes the memory anew beside the one that is given up.
    async fn settle_or_renew(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let mut transaction = connection.begin().await?;
        // Waits for a transaction of this process that is under way.
        store::lock_head(&mut transaction).await?;
        let is_settled = {
            let mut memory = self.memory.lock().await;
            memory.settle(&mut transaction).await?;
            memory.position().is_some()
        };
        transaction.rollback().await?;
        if is_settled {
            return Ok(());
        }
        let _holding = self.progress.hold();
        let renewed = self.begun(connection).await?;
        let renewed = Arc::new(Mutex::new(renewed));
        self.bring_up(connection, &renewed).await?;
        let mut renewed = renewed.lock().await;
        let renewed = std::mem::replace(&mut *renewed, Memory::new());
        self.memory.lock().await.replace(renewed);
        Ok(())
    }

    /// Plays what is recorded on a memory that nobody else has, but for what is recorded meanwhile.
    pub(super) async fn bring_up(
        &self,
        connection: &mut PgConnection,
        memory: &SharedMemory,
    ) -> Result<(), sqlx::Error> {
        loop {
            let recorded = store::recorded(&mut *connection).await?;
            match agreement(connection, memory, recorded).await? {
                Agreement::Agrees | Agreement::Near => return Ok(()),
                Agreement::Behind | Agreement::Unproven => {
                    self.advance(connection, memory, recorded).await?;
                }
            }
        }
    }

    /// What is recorded is to be played on this: the state of the newest snapshot, or nothing.
    async fn begun(&self, connection: &mut PgConnection) -> Result<Memory, sqlx::Error> {
        let recorded = store::recorded(&mut *connection).await?;
        let loaded = snapshots::load(connection, recorded).await?;
        Ok(loaded.unwrap_or_else(Memory::new))
    }

    #[cfg(test)]
    pub(super) async fn begun_now(&self) -> Result<Memory, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        self.begun(&mut connection).await
    }

    /// Plays what is recorded up to a state. Ends early where somebody else changes the memory.
    async fn advance(
        &self,
        connection: &mut PgConnection,
        memory: &SharedMemory,
        to: Recorded,
    ) -> Result<(), sqlx::Error> {
        let Some(mut at) = memory.lock().await.position() else {
            return Ok(());
        };
        let started = Instant::now();
        let points = to.head.last_sequence - at.sequence;
        let is_anew = at == Position::ORIGIN;
        self.progress.begin(at.sequence, to.head.last_sequence);
        while at.changes < to.changes {
            let left = (to.changes - at.changes).min(CHANGES_AT_ONCE);
            let changes = store::changes_after(&mut *connection, at.changes, left).await?;
            if changes.is_empty() {
                return Err(sqlx::Error::RowNotFound);
            }
            for change in changes {
                let bound = change.after_sequence;
                let Some(played) = self.play_to(connection, memory, at, bound).await? else {
                    return Ok(());
                };
                let Some(defined) = define(connection, memory, played, change).await? else {
                    return Ok(());
                };
                at = defined;
            }
        }
        let bound = to.head.last_sequence;
        let Some(at) = self.play_to(connection, memory, at, bound).await? else {
            return Ok(());
        };
        memory.lock().await.change(at, to.into(), |_| {});
        let seconds = started.elapsed().as_secs_f64();
        if is_anew {
            histogram!("thresholdengine_rebuild_seconds").record(seconds);
            info!(points, seconds, "memory was rebuilt from the database");
        } else {
            debug!(points, seconds, "memory caught up with the database");
        }
        Ok(())
    }

    /// Plays the points up to a number; one page is read while the one before is played. Gives where
    /// the memory is then; `None` if somebody else has changed it.
    async fn play_to(
        &self,
        connection: &mut PgConnection,
        memory: &SharedMemory,
        mut at: Position,
        bound: i64,
    ) -> Result<Option<Position>, sqlx::Error> {
        if at.sequence >= bound {
            return Ok(Some(at));
        }
        let series = memory.lock().await.series();
        let mut page = read_page(connection, at.sequence, bound, &series).await?;
        let mut emitted = Instant::now();
        loop {
            let to = Position {
                sequence: page.end,
                changed_by: None,
                ..at
            };
            let playing = play(Arc::clone(memory), at, page.points, to);
            let reading = async {
                match to.sequence < bound {
                    true => read_page(connection, to.sequence, bound, &series)
                        .await
                        .map(Some),
                    false => Ok(None),
                }
            };
            let (played, next) = tokio::join!(playing, reading);
            if !played? {
                return Ok(None);
            }
            at = to;
            self.progress.reach(at.sequence);
            if emitted.elapsed() > TELL_INTERVAL {
                emitted = Instant::now();
                info!(progress = %self.progress, "memory is being rebuilt from the database");
            }
            match next? {
                Some(next) => page = next,
                None => return Ok(Some(at)),
            }
        }
    }
}

/// Folds patterns beside the engine, one after the other. Regimes are folded when they are deployed.
async fn prepare(
    memory: &SharedMemory,
    definitions: Vec<Definition>,
    preloaded: &Preloaded,
) -> Result<Vec<PreparedPattern>, sqlx::Error> {
    let store = {
        let memory = memory.lock().await;
        let series = definitions.iter().flat_map(Definition::series);
        memory.engine.beside(series, preloaded.copy())
    };
    unblocked(move || {
        let patterns = definitions
            .into_iter()
            .filter_map(|definition| match definition {
                Definition::Pattern(pattern) => Some(pattern),
                Definition::Regime(_) => None,
            });
        // Each with a store that shares its series with the others.
        let prepared = patterns.filter_map(|pattern| PreparedPattern::new(pattern, store.clone()));
        prepared.collect()
    })
    .await
}

async fn agreement(
    connection: &mut PgConnection,
    memory: &SharedMemory,
    recorded: Recorded,
) -> Result<Agreement, sqlx::Error> {
    let position = memory.lock().await.position();
    Ok(match position {
        None => Agreement::Unproven,
        Some(known) if known == recorded.into() || known.is_ahead_of(recorded) => Agreement::Agrees,
        Some(known) if !known.is_committed(connection).await? => Agreement::Unproven,
        Some(known) if known.is_near(recorded) => Agreement::Near,
        Some(_) => Agreement::Behind,
    })
}

async fn play(
    memory: SharedMemory,
    at: Position,
    points: Vec<Point>,
    to: Position,
) -> Result<bool, sqlx::Error> {
    let mut memory = memory.lock_owned().await;
    unblocked(move || memory.play(at, &points, to)).await
}

/// Changes a definition as others recorded it.
async fn define(
    connection: &mut PgConnection,
    memory: &SharedMemory,
    at: Position,
    change: Change,
) -> Result<Option<Position>, sqlx::Error> {
    let to = Position {
        changes: at.changes + 1,
        changed_by: None,
        ..at
    };
    let (change, definition) = unblocked(move || {
        let put = change.put.as_ref();
        let definition = put.and_then(|put| Definition::read(change.kind, put));
        (change, definition)
    })
    .await?;
    let (mut loaded, mut prepared) = (Vec::new(), None);
    if let Some(definition) = &definition {
        let missing = missing(&memory.lock().await.engine, definition);
        let series = missing.iter().cloned();
        let mut preloaded = Preloaded::read(connection, series, at.sequence).await?;
        let definitions = vec![definition.clone()];
        prepared = prepare(memory, definitions, &preloaded).await?.pop();
        loaded = preloaded.complete(connection, missing, at.sequence).await?;
    }
    let mut memory = Arc::clone(memory).lock_owned().await;
    let defined = unblocked(move || {
        memory.change(at, to, |engine| match &definition {
            Some(definition) => {
                engine.load_series(loaded);
                match prepared {
                    Some(prepared) => engine.replace_by_prepared(prepared),
                    None => put(engine, definition),
                }
            }
            None if change.put.is_none() => remove(engine, change.kind, &change.id),
            None => {}
        })
    });
    Ok(defined.await?.then_some(to))
}

/// Work off the threads that serve.
async fn unblocked<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, sqlx::Error> {
    let done = spawn_blocking(work).await;
    done.map_err(|error| sqlx::Error::AnyDriverError(error.into()))
}
