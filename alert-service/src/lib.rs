//! The alert service: from a crossing to a person.

pub mod channel;
