//! Positions as columns hold them.

/// A position as the database returns it: never negative.
pub(crate) fn position(stored: i64) -> u64 {
    stored.unsigned_abs()
}

/// A position as the database stores it. A log of one event a nanosecond reaches the end of the
/// type after 292 years.
pub(crate) fn stored(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}
