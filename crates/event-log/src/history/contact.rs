//! The bound on how long a process goes without hearing of its database.

use std::{sync::Arc, time::Duration};

use super::{History, State};

/// Ends reading once the database has not been heard of for `silence_max`; runs until it is dropped.
pub(crate) async fn watch_contact(history: Arc<History>, silence_max: Duration) {
    loop {
        let silence = history.silence();
        if silence < silence_max {
            tokio::time::sleep(silence_max - silence).await;
            continue;
        }
        let seconds = silence.as_secs();
        history.state.send_if_modified(|state| {
            let lost = *state == State::Intact;
            if lost {
                *state = State::OutOfContact { seconds };
            }
            lost
        });
        tokio::time::sleep(silence_max).await;
    }
}
