//! One file for each command.

pub(crate) mod alerts;
pub(crate) mod consumption;
pub(crate) mod input;
pub(crate) mod inspect;
pub(crate) mod manual;
pub(crate) mod publish;
mod receive;
pub(crate) mod series;
mod silences;
pub(crate) mod tail;
pub(crate) mod token;
pub(crate) mod up;
