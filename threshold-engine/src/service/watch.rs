//! Notices when files of definitions change.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io::Read,
    path::Path,
    time::Duration,
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{collected::KnownSeries, definitions::Definitions};
use crate::library::{FILE_BYTES_MAX, definition_files};

/// Reloads definitions whenever their files have changed, until `stop`.
pub(crate) async fn watch(definitions: Definitions, interval: Duration, stop: CancellationToken) {
    // Nothing at first: a file may have changed since the service read it at its start.
    let mut seen = None;
    let mut timer = tokio::time::interval(interval);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            timer.tick().await;
            let files = fingerprint(&definitions).await;
            // A series that comes for the first time may be what a refused definition waits for.
            let known = match look(&definitions).await {
                Ok(known) => known,
                Err(reason) => {
                    warn!(%reason, "cannot read the definitions yet; trying again");
                    continue;
                }
            };
            let found = Some((files, known));
            if found == seen {
                continue;
            }
            match definitions.reload().await {
                // What is gone is looked at again.
                Ok(reloaded) if reloaded.is_waiting => seen = None,
                Ok(_) => seen = found,
                Err(reason) => warn!(%reason, "cannot reload definitions yet; trying again"),
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

/// What is known of the series that the definitions read; on the way the metrics get what is suspended.
async fn look(definitions: &Definitions) -> Result<KnownSeries, sqlx::Error> {
    definitions.tell_suspended().await?;
    definitions.known_series().await
}

async fn fingerprint(definitions: &Definitions) -> u64 {
    let folder = definitions.folder().to_path_buf();
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = DefaultHasher::new();
        hash_folder(&folder, &mut hasher);
        hasher.finish()
    });
    hashing.await.unwrap_or_default()
}

/// Names and contents: two writes in short succession may leave size and time of change as they were.
fn hash_folder(folder: &Path, hasher: &mut DefaultHasher) {
    let (files, mistakes) = definition_files(folder);
    for path in files {
        path.hash(hasher);
        let file = fs::File::open(&path).map(|file| file.take(FILE_BYTES_MAX + 1));
        let mut bytes = Vec::new();
        let read = file.and_then(|mut file| file.read_to_end(&mut bytes));
        read.is_ok().hash(hasher);
        bytes.hash(hasher);
    }
    for mistake in mistakes {
        mistake.to_string().hash(hasher);
    }
}
