//! A sequence of events that makes patterns and regimes change often, and definitions that do.

use std::path::{Path, PathBuf};

use atlas_events::{DataPoint, Draft, Event, SeriesCollectedEvent, event::Payload};
use chrono::{DateTime, Days, NaiveDate, SubsecRound, TimeDelta, Utc};
use rand::{Rng, SeedableRng, rngs::StdRng};
use test_support::{EventIds, custom_event, draft};

const SERIES: [&str; 3] = ["ALPHA", "BETA", "GAMMA"];

pub(crate) const HIGH: &str = r#"
id = "alpha-high"
name = "Alpha is high"
description = "Alpha is above 50."
severity = "warning"
when = 'ALPHA > 50'
clear_when = 'ALPHA < 40'

[inputs.ALPHA]
unit = "points"
frequency = "daily"
"#;

const SPREAD: &str = r#"
id = "spread-wide"
name = "Beta is far above its mean"
description = "Beta is more than 10 above its mean of 5 observations, twice in a row."
severity = "critical"
when = 'BETA - BETA.mean(5) > 10'
for = 2

[inputs.BETA]
unit = "points"
frequency = "daily"
"#;

const BOTH: &str = r#"
id = "both-rise"
name = "Alpha and gamma rise"
description = "Both are above where they were a week before."
severity = "info"
when = 'ALPHA.change("1w") > 0 && GAMMA.change("1w") > 0'

[inputs.ALPHA]
unit = "points"
frequency = "daily"

[inputs.GAMMA]
unit = "points"
frequency = "daily"
"#;

const MOOD: &str = r#"
id = "mood"
name = "Mood"
description = "How things are."
initial = "calm"

[[states]]
id = "tense"
enter = 'pattern("alpha-high") && pattern("spread-wide")'

[[states]]
id = "watchful"
enter = 'pattern("alpha-high")'

[[states]]
id = "calm"
"#;

/// Definitions besides [`HIGH`], by the names of their files.
pub(crate) const MORE: [(&str, &str); 3] = [
    ("spread.toml", SPREAD),
    ("both.toml", BOTH),
    ("mood.toml", MOOD),
];

/// A folder of definitions, gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// With the definitions of this scenario.
    pub(crate) fn with_definitions() -> Self {
        let folder = Self::empty();
        folder.write("high.toml", HIGH);
        for (name, text) in MORE {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn empty() -> Self {
        let id = test_support::EventIds::new(rand::rng().random()).make(Utc::now());
        let path = std::env::temp_dir().join(format!("atlas-definitions-{id}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // As deployments do, so that nobody ever sees half a file.
        let hidden = self.0.join(format!(".{name}"));
        std::fs::write(&hidden, text).unwrap();
        std::fs::rename(hidden, self.0.join(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes events: random walks of three series, several points in some, revisions of the past, and
/// events of other types in between.
pub(crate) struct Script {
    random: StdRng,
    ids: EventIds,
    made: u64,
    days: [u64; 3],
    values: [i64; 3],
    began: DateTime<Utc>,
}

impl Script {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            ids: EventIds::new(7),
            made: 0,
            days: [0; 3],
            values: [400; 3],
            began: Utc::now().trunc_subsecs(3) - TimeDelta::days(2),
        }
    }

    pub(crate) fn drafts(&mut self, count: usize) -> Vec<Draft> {
        (0..count).map(|_| draft(self.event())).collect()
    }

    /// An event that no engine can evaluate. No publisher could have stored it, but a log may have
    /// been made by a newer contract.
    pub(crate) fn unreadable(&mut self) -> Draft {
        self.unchecked("2001-01-01", "a lot")
    }

    /// One for a date that no publisher could have stored either.
    pub(crate) fn dated(&mut self, date: &str) -> Draft {
        self.unchecked(date, "1")
    }

    fn unchecked(&mut self, date: &str, value: &str) -> Draft {
        let mut broken = self.drafts(1).remove(0);
        let collected = SeriesCollectedEvent {
            series_id: "ALPHA".to_owned(),
            data_points: vec![DataPoint {
                date: date.to_owned(),
                value: Some(value.to_owned()),
                known_from: None,
            }],
            collected_at: None,
            release_part: None,
        };
        let event = Event {
            event_id: broken.event_id.to_string(),
            occurred_at: Some(broken.occurred_at.into()),
            source_service: "test".to_owned(),
            payload: Some(Payload::SeriesCollected(collected)),
            ..Event::default()
        };
        broken.encoded = prost::Message::encode_to_vec(&event).into();
        broken
    }

    fn event(&mut self) -> Event {
        self.made += 1;
        if self.random.random_ratio(1, 12) {
            return custom_event(self.made);
        }
        let which = self.random.random_range(0..3);
        let count = if self.random.random_ratio(1, 5) { 4 } else { 1 };
        let occurred_at = self.began + TimeDelta::milliseconds(self.made.cast_signed() * 10);
        let data_points = (0..count)
            .map(|n| self.point(which, n, occurred_at))
            .collect();
        let collected = SeriesCollectedEvent {
            series_id: SERIES[which].to_owned(),
            data_points,
            collected_at: None,
            release_part: None,
        };
        Event {
            event_id: self.ids.make(occurred_at).to_string(),
            occurred_at: Some(occurred_at.into()),
            source_service: "test".to_owned(),
            payload: Some(Payload::SeriesCollected(collected)),
            ..Event::default()
        }
    }

    fn point(&mut self, which: usize, n: i64, occurred_at: DateTime<Utc>) -> DataPoint {
        let step = self.random.random_range(-150..=150);
        self.values[which] = (self.values[which] + step).clamp(0, 900);
        let is_revision = self.days[which] > 10 && self.random.random_ratio(1, 6);
        let day = match is_revision {
            true => self.days[which] - self.random.random_range(1..=8),
            false => {
                self.days[which] += 1;
                self.days[which]
            }
        };
        let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        let value = self.values[which];
        // No two points of an event may have one date and one time; new ones are of one step.
        let known = if is_revision { n } else { 0 };
        let is_withdrawn = is_revision && self.random.random_ratio(1, 10);
        DataPoint {
            date: (first + Days::new(day)).to_string(),
            value: (!is_withdrawn).then(|| format!("{}.{}0", value / 10, value % 10)),
            known_from: Some((occurred_at + TimeDelta::microseconds(known)).into()),
        }
    }
}
