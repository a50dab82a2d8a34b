//! The engine's own tables: the sequence of points, what definitions were running when, and who
//! switched patterns. All SQL of this crate is here.

mod changes;
mod head;
mod history;
mod points;
mod release_parts;
mod session;
mod snapshots;
mod suspensions;
mod switches;

use sqlx::migrate::Migrator;

pub(crate) use changes::{Change, Kind, Last, Put, insert_change, last_changes, last_put};
pub(crate) use head::{Head, lock_head, move_head};
pub(crate) use history::{
    Recorded, changes_after, is_committed, points_between, recorded, vintages_of,
};
pub(crate) use points::{append_points, points_of, received_of};
pub(crate) use release_parts::{insert_release_part, take_release_parts, waiting_of_release};
pub(crate) use session::{allow_silence, keep_alive};
pub(crate) use snapshots::{
    Snapshot, begin_snapshot, finish_snapshot, insert_parts, newest_snapshot, parts,
    running_behind, share_parts, snapshots, stored_parts,
};
pub(crate) use suspensions::{Suspension, delete_suspension, insert_suspension, suspensions};
pub(crate) use switches::{Switch, insert_switch, last_switches, switches_of};

/// Brings the engine's own tables to this version, in the schema that a pool connects to.
pub(crate) static MIGRATOR: Migrator = Migrator {
    table_name: std::borrow::Cow::Borrowed("threshold_engine_migrations"),
    ..sqlx::migrate!("../migrations/threshold-engine")
};
