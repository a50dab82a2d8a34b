//! The attacks, one file for each kind.

mod answers;
mod bodies;
mod connections;
mod definitions;
mod fields;
mod filters;
mod floods;
mod messages;
mod names;
mod nesting;
mod texts;

use crate::trial::Attack;

/// All there are.
pub(crate) fn all() -> Vec<Attack> {
    let kinds = [
        answers::attacks(),
        bodies::attacks(),
        connections::attacks(),
        messages::attacks(),
        nesting::attacks(),
        definitions::attacks(),
        filters::attacks(),
        texts::attacks(),
        names::attacks(),
        floods::attacks(),
    ];
    kinds.into_iter().flatten().collect()
}
