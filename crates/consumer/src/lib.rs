//! An exactly-once consumer of event logs.
