//! Notices when files of definitions change.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::Path,
    time::Duration,
};

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::definitions::Definitions;

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
            let known = match definitions.known_series().await {
                Ok(known) => known,
                Err(reason) => {
                    warn!(%reason, "cannot look at definitions yet; trying again");
                    continue;
                }
            };
            let found = Some((files, known));
            if found == seen {
                continue;
            }
            match definitions.reload().await {
                Ok(_) => seen = found,
                Err(reason) => warn!(%reason, "cannot reload definitions yet; trying again"),
            }
        }
    };
    stop.run_until_cancelled(watching).await;
}

async fn fingerprint(definitions: &Definitions) -> u64 {
    let folder = definitions.folder().to_path_buf();
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = DefaultHasher::new();
        hash_folder(&folder, 0, &mut hasher);
        hasher.finish()
    });
    hashing.await.unwrap_or_default()
}

/// Names and contents: two writes in short succession may leave size and time of change as they were.
fn hash_folder(folder: &Path, depth: usize, hasher: &mut DefaultHasher) {
    const DEPTH_MAX: usize = 8;
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort_unstable();
    for path in paths {
        path.hash(hasher);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() && depth < DEPTH_MAX => {
                hash_folder(&path, depth + 1, hasher);
            }
            Ok(metadata) if metadata.is_file() && path.extension().is_some_and(|e| e == "toml") => {
                fs::read(&path).ok().hash(hasher);
            }
            Ok(_) | Err(_) => {}
        }
    }
}
