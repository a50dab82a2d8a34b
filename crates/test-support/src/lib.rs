//! What the tests of several crates share: a database for each test, events, certificates, and
//! waiting for a condition. Never part of a product.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod certificates;
mod database;
mod events;
mod eventually;
mod folder;
mod hostile;
mod link;
mod pages;
mod waiting;

pub use certificates::{Authority, DnType, Issued, Validity};
pub use database::TestDatabase;
pub use events::{
    EventIds, custom_event, custom_event_at, draft, drafts, series_event, started_at,
};
pub use eventually::eventually;
pub use folder::Folder;
pub use hostile::{Hostile, Text, hostile_requests, texts};
pub use link::Link;
pub use pages::{check_index, check_page};
pub use waiting::{Waiting, until_waiting, waiting};
