//! Traces as a receiver of OTLP sees them: of one observation on its way from the source to the
//! crossing, of what is published, and with a receiver that is away, hangs, and comes back.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod observation;
mod published;
mod receiver;
mod receiver_away;
mod up;

use std::time::Duration;

/// Longer than anything here takes; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(120);
