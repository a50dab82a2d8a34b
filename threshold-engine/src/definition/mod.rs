//! What definitions of patterns and of regimes have in common: reading TOML with places, content
//! hashes, inputs and tests.

mod case;
mod fields;
mod kind;
mod place;
mod version;

pub use case::{ExpectedSeries, SeriesText, TestCase};
pub(crate) use case::{RawCase, cases};
pub use fields::Severity;
pub(crate) use fields::{Evaluate, business_days, check_id, check_labels, check_name, inputs_of};
pub use kind::Kind;
pub use place::LoadError;
pub(crate) use place::{File, Refusal};
pub(crate) use version::version_of;
