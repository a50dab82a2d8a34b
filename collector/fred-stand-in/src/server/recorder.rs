//! Which requests arrived, and when.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

/// Older records than this many are forgotten.
const RECORDS_MAX: usize = 100_000;

/// A request to FRED's part of the stand-in. The key is not kept.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// When it arrived, by the machine's clock.
    pub arrived_at: DateTime<Utc>,
    /// When it arrived, counted from the start of the stand-in; steady, and so the one to measure pacing by. In
    /// milliseconds where it is served as JSON.
    #[serde(rename = "since_start_millis", serialize_with = "as_millis")]
    pub since_start: Duration,
    /// The path, such as `/fred/series/observations`.
    pub path: String,
    /// The parameters without `api_key`.
    pub parameters: BTreeMap<String, String>,
    /// The status of the answer.
    pub status: u16,
}

impl RequestRecord {
    /// The series that was asked for.
    pub fn series_id(&self) -> Option<&str> {
        self.parameters.get("series_id").map(String::as_str)
    }
}

fn as_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[derive(Debug)]
pub(crate) struct Recorder {
    started: Instant,
    records: VecDeque<RequestRecord>,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            records: VecDeque::new(),
        }
    }

    pub(crate) fn record(
        &mut self,
        arrived: Instant,
        path: &str,
        parameters: &BTreeMap<String, String>,
        status: u16,
    ) {
        if self.records.len() == RECORDS_MAX {
            self.records.pop_front();
        }
        let mut parameters = parameters.clone();
        parameters.remove("api_key");
        self.records.push_back(RequestRecord {
            arrived_at: Utc::now(),
            since_start: arrived.duration_since(self.started),
            path: path.to_owned(),
            parameters,
            status,
        });
    }

    pub(crate) fn records(&self) -> Vec<RequestRecord> {
        self.records.iter().cloned().collect()
    }
}
