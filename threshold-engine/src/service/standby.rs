//! Keeps the memory up to date while another engine of the same database does the work: what REST
//! returns is of now, and whoever takes over has nothing to catch up on.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{SharedMemory, recovery::Recovery};

/// How old what REST returns may be.
const INTERVAL: Duration = Duration::from_secs(1);

/// Follows what others do until `stop`; at once where somebody needs it.
pub(crate) async fn follow(recovery: Recovery, memory: SharedMemory, stop: CancellationToken) {
    let behind = memory.lock().await.behind();
    let mut timer = tokio::time::interval(INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = async {
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = behind.notified() => {}
            }
            if let Err(reason) = recovery.approach().await {
                debug!(%reason, "cannot read what other engines committed; trying again");
            }
        }
    };
    stop.run_until_cancelled(following).await;
}
