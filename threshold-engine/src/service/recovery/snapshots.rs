//! Storing the state of the memory, and making the memory of what was stored.
//!
//! Any engine of a schema may write: the one that finds that enough has come since the newest snapshot,
//! while no other one writes.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::{gauge, histogram};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    Engine,
    pattern::Pattern,
    regime::Regime,
    service::memory::{Definition, Memory, SharedMemory},
    snapshot::{Damaged, Decoder, EVALUATION, EmittedEntry, FORMAT, Hash, Image, Manifest, encode},
    store::{self, Kind, Recorded, Snapshot},
};

/// Parts that may wait to be stored.
const PARTS_WAITING_MAX: usize = 32;
/// Parts are stored and read as many at a time as have about this size.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
const PARTS_AT_ONCE: usize = 64;

/// Before the next attempt where a transaction was under way.
const PAUSE: Duration = Duration::from_millis(500);

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("it was written by another version of the program")]
    Version,
    #[error("what it was taken behind is not recorded")]
    NotRecorded,
    #[error("the checksum of its manifest does not match")]
    Checksum,
    #[error("its manifest cannot be read: {0}")]
    Manifest(#[from] serde_json::Error),
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("its definitions are not those that were running")]
    Definitions,
    #[error("it could not be built from its parts: {0}")]
    Panicked(#[from] JoinError),
}

/// What came of an attempt to write one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Written {
    Stored,
    /// The newest one has all.
    NothingNew,
    /// Another engine writes one.
    ByAnother,
    /// A transaction is under way, or was undone.
    NotCommitted,
}

/// Stores the state of the memory at intervals, until `stop`.
pub(in crate::service) async fn keep(
    pool: PgPool,
    memory: SharedMemory,
    interval: Duration,
    stop: CancellationToken,
) {
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tell_complete();
    let keeping = async {
        loop {
            timer.tick().await;
            loop {
                match write(&pool, &memory).await {
                    // Between two transactions there is a moment at which it can be.
                    Ok(Written::NotCommitted) => tokio::time::sleep(PAUSE).await,
                    Ok(Written::Stored | Written::NothingNew) => {
                        tell_complete();
                        break;
                    }
                    Ok(Written::ByAnother) => break,
                    Err(reason) => {
                        warn!(%reason, "no snapshot could be written; trying again");
                        break;
                    }
                }
            }
        }
    };
    stop.run_until_cancelled(keeping).await;
}

/// A start has little to replay, as of now: the newest snapshot has all, or this process has just begun to look.
fn tell_complete() {
    let now = chrono::Utc::now().timestamp();
    gauge!("thresholdengine_snapshot_complete_timestamp_seconds").set(now as f64);
}

/// Stores the state of the memory, unless there is nothing new.
pub(in crate::service) async fn write(
    pool: &PgPool,
    memory: &SharedMemory,
) -> Result<Written, sqlx::Error> {
    let started = Instant::now();
    let mut connection = pool.acquire().await?;
    let newest = store::newest_snapshot(&mut *connection, FORMAT, EVALUATION).await?;
    let (image, behind) = {
        let memory = memory.lock().await;
        let Some((head, position)) = memory.head().zip(memory.position()) else {
            return Ok(Written::NotCommitted);
        };
        let changes = position.changes;
        let has_all = |newest: Recorded| {
            newest.head.last_sequence >= head.last_sequence && newest.changes >= changes
        };
        if newest.is_some_and(has_all) {
            return Ok(Written::NothingNew);
        }
        (memory.engine.image(), Recorded { head, changes })
    };
    let mut transaction = connection.begin().await?;
    let Some(number) = store::begin_snapshot(&mut transaction).await? else {
        return Ok(Written::ByAnother);
    };
    if !store::is_committed(&mut *transaction, behind.head).await? {
        return Ok(Written::NotCommitted);
    }
    let (manifest, bytes) = store_parts(&mut transaction, number, image).await?;
    let manifest = serde_json::to_string(&manifest);
    let manifest = manifest.map_err(|error| sqlx::Error::Encode(error.into()))?;
    let snapshot = Snapshot {
        snapshot: number,
        format: FORMAT,
        evaluation: EVALUATION,
        recorded: behind,
        checksum: Sha256::digest(&manifest).to_vec(),
        manifest,
    };
    store::finish_snapshot(&mut transaction, &snapshot).await?;
    transaction.commit().await?;
    let seconds = started.elapsed().as_secs_f64();
    histogram!("thresholdengine_snapshot_seconds").record(seconds);
    info!(
        behind = behind.head.last_sequence,
        bytes, seconds, "a snapshot was stored"
    );
    Ok(Written::Stored)
}

/// Stores those parts of an image that are not stored yet, while it is being made to bytes; gives
/// how many bytes those were.
async fn store_parts(
    connection: &mut PgConnection,
    number: i64,
    image: Image,
) -> Result<(Manifest, usize), sqlx::Error> {
    let stored: HashSet<Vec<u8>> = store::stored_parts(connection).await?.into_iter().collect();
    let (parts, mut received) = mpsc::channel::<(Hash, Vec<u8>)>(PARTS_WAITING_MAX);
    // Ends by itself where nobody receives any more.
    let encoding = spawn_blocking(move || {
        encode(&image, |hash, content| {
            let _ = parts.blocking_send((hash, content));
        })
    });
    let (mut shared, mut new) = (Vec::new(), Vec::new());
    let (mut bytes, mut waiting_bytes) = (0, 0);
    while let Some((hash, content)) = received.recv().await {
        if stored.contains(&hash[..]) {
            shared.push(hash);
            continue;
        }
        waiting_bytes += content.len();
        new.push((hash, content));
        if waiting_bytes >= BYTES_AT_ONCE {
            store::insert_parts(&mut *connection, number, &new).await?;
            new.clear();
            bytes += std::mem::take(&mut waiting_bytes);
        }
    }
    store::insert_parts(&mut *connection, number, &new).await?;
    for hashes in shared.chunks(PARTS_AT_ONCE * 16) {
        store::share_parts(&mut *connection, number, hashes).await?;
    }
    let manifest = encoding.await;
    let manifest = manifest.map_err(|error| sqlx::Error::AnyDriverError(error.into()))?;
    Ok((manifest, bytes + waiting_bytes))
}

/// The memory that the newest snapshot is of which can be used; `None` if none can.
pub(super) async fn load(
    connection: &mut PgConnection,
    recorded: Recorded,
) -> Result<Option<Memory>, sqlx::Error> {
    for snapshot in store::snapshots(&mut *connection).await? {
        let started = Instant::now();
        let (number, behind) = (snapshot.snapshot, snapshot.recorded);
        match load_one(connection, recorded, snapshot).await {
            Ok(engine) => {
                let seconds = started.elapsed().as_secs_f64();
                let behind_points = behind.head.last_sequence;
                info!(
                    behind = behind_points,
                    seconds, "memory was rebuilt from a snapshot"
                );
                return Ok(Some(Memory::of(engine, behind.into())));
            }
            Err(Useless::Database(error)) => return Err(error),
            Err(reason) => warn!(snapshot = number, %reason, "a snapshot is not used"),
        }
    }
    Ok(None)
}

async fn load_one(
    connection: &mut PgConnection,
    recorded: Recorded,
    snapshot: Snapshot,
) -> Result<Engine, Useless> {
    if (snapshot.format, snapshot.evaluation) != (FORMAT, EVALUATION) {
        return Err(Useless::Version);
    }
    let behind = snapshot.recorded;
    let is_of_past = behind.head.last_sequence <= recorded.head.last_sequence
        && behind.changes <= recorded.changes;
    if !is_of_past || !store::is_committed(&mut *connection, behind.head).await? {
        return Err(Useless::NotRecorded);
    }
    if Sha256::digest(&snapshot.manifest).as_slice() != snapshot.checksum {
        return Err(Useless::Checksum);
    }
    let manifest: Manifest = serde_json::from_str(&snapshot.manifest)?;
    let running = store::running_behind(&mut *connection, behind.changes).await?;
    let definitions = spawn_blocking(move || {
        let read = running.into_iter().filter_map(|change| {
            let definition = Definition::read(change.kind, &change.put?)?;
            Some(((change.kind, change.id), definition))
        });
        read.collect()
    });
    let (patterns, regimes) = definitions_of(&manifest, definitions.await?)?;
    let mut decoder = Decoder::new(manifest)?;
    let hashes: Vec<Hash> = decoder.hashes().to_vec();
    let mut pages = hashes.chunks(PARTS_AT_ONCE);
    let mut page = read_page(connection, pages.next()).await?;
    while let Some(contents) = page {
        let decoding = spawn_blocking(move || {
            for content in contents {
                decoder.take(&content)?;
            }
            Ok::<_, Damaged>(decoder)
        });
        let (decoded, next) = tokio::join!(decoding, read_page(connection, pages.next()));
        decoder = decoded??;
        page = next?;
    }
    let image = decoder.finish()?;
    Ok(spawn_blocking(move || Engine::of_image(image, patterns, regimes)).await?)
}

/// The contents of parts; `None` if there are none to read.
async fn read_page(
    connection: &mut PgConnection,
    hashes: Option<&[Hash]>,
) -> Result<Option<Vec<Vec<u8>>>, Useless> {
    let Some(hashes) = hashes else {
        return Ok(None);
    };
    let contents = store::parts(connection, hashes).await?;
    match contents.len() == hashes.len() {
        true => Ok(Some(contents)),
        false => Err(Damaged::Missing.into()),
    }
}

type Definitions = HashMap<(Kind, String), Definition>;
type Compiled = (Vec<Arc<Pattern>>, Vec<Arc<Regime>>);

/// The definitions of a manifest, in its order, if those are exactly the ones that were running.
fn definitions_of(manifest: &Manifest, mut running: Definitions) -> Result<Compiled, Useless> {
    let mut take = |kind: Kind, entry: &EmittedEntry| {
        let definition = running.remove(&(kind, entry.id.clone()));
        definition.ok_or(Useless::Definitions)
    };
    let mut patterns = Vec::with_capacity(manifest.patterns.len());
    for entry in &manifest.patterns {
        match take(Kind::Pattern, entry)? {
            Definition::Pattern(pattern) if pattern.version == entry.version => {
                patterns.push(pattern);
            }
            _ => return Err(Useless::Definitions),
        }
    }
    let mut regimes = Vec::with_capacity(manifest.regimes.len());
    for entry in &manifest.regimes {
        match take(Kind::Regime, entry)? {
            Definition::Regime(regime) if regime.version == entry.version => regimes.push(regime),
            _ => return Err(Useless::Definitions),
        }
    }
    match running.is_empty() {
        true => Ok((patterns, regimes)),
        false => Err(Useless::Definitions),
    }
}
