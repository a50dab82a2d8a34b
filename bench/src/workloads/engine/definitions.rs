//! The patterns that are active while the engine is measured.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use threshold_engine::pattern::Pattern;

use super::history::{Frequency, SERIES, series_id};

/// How many patterns are active.
pub(super) const PATTERNS: usize = 50;

/// Each with what its windows need: conditions over `A`, and over a second series `B` of the same
/// frequency. Comparisons, windows by calendar and by count, nested windows, changes, statistics.
const CONDITIONS: [&str; 10] = [
    "A > 105",
    "A - B < -2",
    "A.mean(\"90d\") > A.mean(\"360d\")",
    "A.mean(\"3mo\") - A.mean(\"3mo\").lowest(\"12mo\", excluding_current) >= 0.5",
    "A.yoy() < -5",
    "A / B > 1.1 && A.change(5) > 0",
    "(A.change(1) < 0).sustained(5)",
    "A.highest(\"52w\") - A > 10",
    "A.zscore(60) > 2.5",
    "A.percentile(\"360d\") >= 95",
];

/// The files of the patterns, in a folder that is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Definitions {
    folder: PathBuf,
    pub(super) patterns: Vec<Arc<Pattern>>,
}

impl Definitions {
    pub(super) fn write() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("atlas-bench-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder)?;
        let mut definitions = Self {
            folder,
            patterns: Vec::with_capacity(PATTERNS),
        };
        for number in 0..PATTERNS {
            let file = format!("p{number:02}.toml");
            let text = text(number);
            let pattern = Pattern::read(Path::new(&file), &text)?;
            definitions.patterns.push(Arc::new(pattern));
            std::fs::write(definitions.folder.join(file), text)?;
        }
        Ok(definitions)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Every series is read by patterns; each of the ten conditions by five.
fn text(number: usize) -> String {
    let when = CONDITIONS[(number + number / SERIES) % CONDITIONS.len()];
    let first = number % SERIES;
    let mut text = format!(
        "id = \"p{number:02}\"\nname = \"Pattern {number}\"\ndescription = \"Measured.\"\n\
         severity = \"info\"\nwhen = '{when}'\n"
    );
    for (name, series) in [("A", first), ("B", neighbour(first))] {
        if when.contains(name) {
            text += &format!(
                "[inputs.{name}]\nseries = \"{}\"\nunit = \"points\"\nfrequency = \"{}\"\n",
                series_id(series),
                Frequency::of(series).name()
            );
        }
    }
    text
}

/// The next series of the same frequency.
fn neighbour(series: usize) -> usize {
    let same = |other: &usize| Frequency::of(*other) == Frequency::of(series);
    (series + 1..SERIES)
        .chain(0..SERIES)
        .find(same)
        .unwrap_or(series)
}
