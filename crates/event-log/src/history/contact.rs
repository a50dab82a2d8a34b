//! The bound on how long a process goes without hearing of its database.

use std::{sync::Arc, time::Duration};

use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::{History, State};
use crate::{LogError, head};

/// Asks the database where the log stands whenever nothing has been heard of it for a quarter of
/// `contact_age_max`, and ends reading once that has passed in vain; runs until it is dropped.
pub(crate) async fn watch_contact(history: Arc<History>, pool: PgPool, contact_age_max: Duration) {
    let interval = contact_age_max / 4;
    loop {
        sleep(interval).await;
        if history.silence() >= interval {
            // Whoever needs the database reports what is wrong.
            let _ = timeout(interval, ask(&history, &pool)).await;
        }
        let silence = history.silence();
        if silence >= contact_age_max {
            let seconds = silence.as_secs();
            history.state.send_if_modified(|state| {
                let lost = *state == State::Intact;
                if lost {
                    *state = State::OutOfContact { seconds };
                }
                lost
            });
        }
    }
}

async fn ask(history: &History, pool: &PgPool) -> Result<(), LogError> {
    let before = history.mark();
    let head = head::read(pool).await?;
    // A head that others have moved is looked into by the feeder; it was heard of all the same.
    history.compare(before, head.view())?;
    history.heard();
    Ok(())
}
