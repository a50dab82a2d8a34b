//! Tests of definitions: how files are deployed, replaced, suspended and removed.

mod definition_life;
mod definitions;
mod files;
pub(crate) mod folded;
mod suspended;
