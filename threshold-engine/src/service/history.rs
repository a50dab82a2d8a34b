//! The engine's history, played from the database.

use std::{collections::BTreeSet, iter, time::Duration};

use futures::TryStreamExt;
use sqlx::PgConnection;
use tokio::sync::mpsc;

use super::memory::{Definition, put, remove};
use crate::{
    Engine,
    series::{OpenStep, Point},
    store::{self, Change},
};

/// Points that are handed over at once to the thread that plays them.
const CHUNK_POINTS: usize = 2_048;
/// How often the session says something while the last points are played.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// Chunks that may wait for it.
const CHUNKS_WAITING_MAX: usize = 16;

type Chunk = Vec<(i64, Point)>;
/// A change, and the definition that it put to work if this version of the program can read it.
type Defined = (Change, Option<Definition>);

/// The engine that a history makes.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) engine: Engine,
    /// How many points it was given.
    pub(super) points: usize,
    /// How many changes of definitions there were.
    pub(super) changes: usize,
}

/// Plays everything that an engine was ever given as it came: what is told later must not depend on
/// restarts.
///
/// One thread plays while this one receives and decodes and the database reads ahead.
pub(super) async fn played(connection: &mut PgConnection) -> Result<Played, sqlx::Error> {
    let changes = store::changes(connection).await?;
    let read = |change: Change| {
        let put = change.put.as_ref();
        let definition = put.and_then(|put| Definition::read(change.kind, put));
        (change, definition)
    };
    let changes: Vec<Defined> = changes.into_iter().map(read).collect();
    let changes_count = changes.len();
    let definitions = changes
        .iter()
        .filter_map(|(_, definition)| definition.as_ref());
    let series: BTreeSet<&str> = definitions.flat_map(Definition::series).collect();
    let series: Vec<String> = series.into_iter().map(str::to_owned).collect();
    let (chunks, received) = mpsc::channel(CHUNKS_WAITING_MAX);
    let mut playing = tokio::task::spawn_blocking(move || play(changes, received));
    let points = send(connection, &series, chunks).await?;
    let played = loop {
        tokio::select! {
            played = &mut playing => break played,
            () = tokio::time::sleep(KEEP_ALIVE_INTERVAL) => store::keep_alive(connection).await?,
        }
    };
    let engine = played.map_err(|error| sqlx::Error::AnyDriverError(error.into()))?;
    Ok(Played {
        engine,
        points,
        changes: changes_count,
    })
}

/// Sends every point of some series; gives how many there were.
async fn send(
    connection: &mut PgConnection,
    series: &[String],
    chunks: mpsc::Sender<Chunk>,
) -> Result<usize, sqlx::Error> {
    let points = store::points_of(connection, series).try_chunks(CHUNK_POINTS);
    let mut points = std::pin::pin!(points);
    let mut count = 0;
    while let Some(chunk) = points.try_next().await.map_err(|failure| failure.1)? {
        count += chunk.len();
        // The thread ends before its time only by a panic, which is told when it is waited for.
        if chunks.send(chunk).await.is_err() {
            break;
        }
    }
    Ok(count)
}

fn play(changes: Vec<Defined>, mut chunks: mpsc::Receiver<Chunk>) -> Engine {
    let mut player = Player {
        engine: Engine::new([], []),
        changes: changes.into_iter().peekable(),
        open: OpenStep::default(),
        unread: Vec::new(),
    };
    while let Some(chunk) = chunks.blocking_recv() {
        for (sequence, point) in chunk {
            player.change_before(sequence);
            if let Some(step) = player.open.push(point) {
                player.take(step);
            }
        }
    }
    player.end_step();
    player.change_before(i64::MAX);
    player.engine
}

struct Player {
    engine: Engine,
    /// The points of the step that may not have ended.
    open: OpenStep,
    /// Those to come.
    changes: iter::Peekable<std::vec::IntoIter<Defined>>,
    /// Points of series that nothing has read so far, which a later definition may.
    unread: Vec<Point>,
}

impl Player {
    fn end_step(&mut self) {
        let step = self.open.take();
        self.take(step);
    }

    /// Takes one step in, whose points are all of one series.
    fn take(&mut self, step: Vec<Point>) {
        let Some(first) = step.first() else {
            return;
        };
        if self.engine.store().find(&first.series).is_some() {
            self.engine.rebuild(&step);
        } else if self.changes.peek().is_some() {
            self.unread.extend(step);
        }
    }

    /// Makes the changes that came before a point.
    fn change_before(&mut self, sequence: i64) {
        let is_before = |(change, _): &Defined| change.after_sequence < sequence;
        if !self.changes.peek().is_some_and(is_before) {
            return;
        }
        self.end_step();
        while let Some((change, definition)) = self.changes.next_if(is_before) {
            match definition {
                Some(definition) => self.put(&definition),
                None if change.put.is_none() => {
                    remove(&mut self.engine, change.kind, &change.id);
                }
                None => {}
            }
        }
    }

    fn put(&mut self, definition: &Definition) {
        let missing = self.engine.series_to_load(definition.series());
        let missing: BTreeSet<String> = missing.into_iter().map(str::to_owned).collect();
        let (wanted, unread) = std::mem::take(&mut self.unread)
            .into_iter()
            .partition::<Vec<_>, _>(|point| missing.contains(&*point.series));
        self.unread = unread;
        self.engine.load(&wanted);
        put(&mut self.engine, definition);
    }
}
