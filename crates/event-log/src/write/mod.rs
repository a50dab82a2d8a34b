//! The write path: batches wait in a [`queue`], gather into [`groups`], and get their positions in
//! [`sequencing`]; [`rows`] is how they look in the database.

pub(crate) mod appended;
pub(crate) mod groups;
pub(crate) mod queue;
pub(crate) mod rows;
pub(crate) mod sequencing;
