//! One file for each command.

pub(crate) mod consumption;
pub(crate) mod input;
pub(crate) mod inspect;
pub(crate) mod manual;
pub(crate) mod publish;
pub(crate) mod series;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod up;
