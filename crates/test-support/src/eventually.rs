use std::time::Duration;

use tokio::time::{Instant, sleep};

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Asks for a condition until it holds.
///
/// # Panics
/// If it does not hold within `deadline`.
pub async fn eventually(deadline: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + deadline;
    while !holds().await {
        assert!(
            Instant::now() < end,
            "the condition did not hold within {deadline:?}"
        );
        sleep(POLL_INTERVAL).await;
    }
}
