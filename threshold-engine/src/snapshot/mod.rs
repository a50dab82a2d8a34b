//! The state of an engine as bytes: what cannot be computed from it otherwise.
//!
//! These are the observations in force, with those of the future, and what was emitted about each crossing.
//! Everything else (the dates of patterns and regimes, the columns of windows) follows from it, and is
//! computed at a start. Bytes are cut into parts by spans of years, which are named by their hashes:
//! history that has not changed since the snapshot before is the same part.

mod bytes;
mod decode;
mod encode;

use std::{collections::BTreeMap, sync::Arc};

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::{pattern::Known, regime::Key};
use evaluation::{
    machine::Turn,
    series::{Future, Observations},
};

pub(crate) use decode::{Damaged, Decoder};
pub(crate) use encode::encode;

/// How the bytes are to be read. Another number, and snapshots of before are ignored.
pub(crate) const FORMAT: i32 = 1;
/// By which rules points lead to a state. To be raised with every change of what is emitted for the
/// same points: snapshots of before are then ignored, and all points are played by the new rules.
pub(crate) const EVALUATION: i32 = 2;
/// Years of one part.
const PART_YEARS: i32 = 16;

/// Hash of a part: SHA-256.
pub(crate) type Hash = [u8; 32];

/// The state of an engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Image {
    /// The last date that any step has reached.
    pub(crate) reached: Option<NaiveDate>,
    /// In the order of their indices.
    pub(crate) series: Vec<SeriesImage>,
    pub(crate) patterns: Vec<EmittedImage<(NaiveDate, Turn)>>,
    pub(crate) regimes: Vec<EmittedImage<Key>>,
}

/// A series.
#[derive(Clone, Debug)]
pub(crate) struct SeriesImage {
    pub(crate) id: Arc<str>,
    pub(crate) observations: Arc<Observations>,
    /// Observations of dates that are not reached, by date.
    pub(crate) future: Vec<(NaiveDate, Future)>,
}

/// What was emitted about a pattern or a regime.
#[derive(Clone, Debug)]
pub(crate) struct EmittedImage<K> {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) emitted: Arc<BTreeMap<K, Known>>,
}

/// What a snapshot consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    reached: Option<NaiveDate>,
    series: Vec<SeriesEntry>,
    pub(crate) patterns: Vec<EmittedEntry>,
    pub(crate) regimes: Vec<EmittedEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SeriesEntry {
    id: String,
    /// Hashes in hexadecimal digits, by date.
    parts: Vec<String>,
    future: Vec<String>,
}

/// A definition, and what was emitted about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EmittedEntry {
    pub(crate) id: String,
    pub(crate) version: String,
    parts: Vec<String>,
}

/// The part that a date belongs to.
fn part_of(date: NaiveDate) -> i32 {
    date.year().div_euclid(PART_YEARS)
}

/// What crossings and transitions are distinguished by, as numbers.
pub(crate) trait EmittedKey: Ord + Copy {
    fn date(self) -> NaiveDate;
    fn numbers(self) -> [u64; 2];
    fn of(date: NaiveDate, numbers: [u64; 2]) -> Option<Self>;
}

impl EmittedKey for (NaiveDate, Turn) {
    fn date(self) -> NaiveDate {
        self.0
    }

    fn numbers(self) -> [u64; 2] {
        match self.1 {
            Turn::Entered => [0, 0],
            Turn::Cleared => [1, 0],
            Turn::NoData => [2, 0],
            Turn::Data => [3, 0],
        }
    }

    fn of(date: NaiveDate, numbers: [u64; 2]) -> Option<Self> {
        match numbers {
            [0, 0] => Some((date, Turn::Entered)),
            [1, 0] => Some((date, Turn::Cleared)),
            [2, 0] => Some((date, Turn::NoData)),
            [3, 0] => Some((date, Turn::Data)),
            _ => None,
        }
    }
}

impl EmittedKey for Key {
    fn date(self) -> NaiveDate {
        self.0
    }

    fn numbers(self) -> [u64; 2] {
        [self.1 as u64, self.2 as u64]
    }

    fn of(date: NaiveDate, [from, to]: [u64; 2]) -> Option<Self> {
        let (from, to) = (usize::try_from(from), usize::try_from(to));
        Some((date, from.ok()?, to.ok()?))
    }
}

#[cfg(test)]
mod tests;
