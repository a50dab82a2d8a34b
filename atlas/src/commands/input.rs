//! What is to be published: one event from flags, or a file of them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

use atlas_events::{Event, KNOWN_EVENT_TYPES, MESSAGE_BYTES_MAX, Timestamp};
use chrono::Utc;
use prost::Message;
use serde_json::{Value, json};
use ulid::Ulid;

use crate::{arguments::PublishOptions, client::failure::Failure};

/// Room is left for what the transport adds.
const BATCH_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 64 * 1024;

/// The event that flags describe.
pub(crate) fn from_flags(options: &PublishOptions) -> Result<Event, Failure> {
    let event_type = options.event_type.as_deref().unwrap_or_default();
    let data: Value = serde_json::from_str(&options.data)
        .map_err(|error| Failure::Input(format!("--data is not JSON: {error}")))?;
    if !data.is_object() {
        return Err(Failure::Input("--data is not a JSON object".to_owned()));
    }
    let field = match KNOWN_EVENT_TYPES
        .iter()
        .position(|known| *known == event_type)
    {
        Some(0) => "seriesCollected",
        Some(1) => "collectionFailed",
        Some(2) => "thresholdCrossed",
        Some(3) => "regimeTransition",
        Some(4) => "definitionChanged",
        Some(5) => "alertChanged",
        Some(6) => "deliveryChanged",
        _ => "custom",
    };
    let payload = match field {
        "custom" => json!({ "type": event_type, "data": data }),
        _ => data,
    };
    let mut event: Event = serde_json::from_value(json!({ field: payload }))
        .map_err(|error| Failure::Input(format!("--data: {error}")))?;
    event.event_id = options.id.clone().unwrap_or_default();
    event.occurred_at = options.occurred_at;
    complete(&mut event, &options.source);
    Ok(event)
}

/// Gives an event the id under which it can be published again: without it, a publish whose
/// outcome is unknown could not be repeated.
fn complete(event: &mut Event, source: &str) {
    if event.source_service.is_empty() {
        source.clone_into(&mut event.source_service);
    }
    if event.event_id.is_empty() {
        let at = event.occurred_at.and_then(Timestamp::to_utc);
        let milliseconds = at.unwrap_or_else(Utc::now).timestamp_millis();
        // A time before 1970 has no ULID; the server says so.
        if let Ok(milliseconds) = u64::try_from(milliseconds) {
            let random = Ulid::generate().random();
            event.event_id = Ulid::from_parts(milliseconds, random).to_string();
        }
    }
}

/// Batches of events from lines of JSON; holds one batch at a time.
pub(crate) struct EventFile {
    name: String,
    lines: Box<dyn BufRead>,
    line_number: u64,
    source: String,
    batch_events_max: u64,
    /// Read already, but did not fit into the batch before.
    left_over: Option<Event>,
}

impl EventFile {
    /// Opens a file; `-` is standard input.
    pub(crate) fn open(path: &Path, options: &PublishOptions) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let lines: Box<dyn BufRead> = match name.as_str() {
            "-" => Box::new(BufReader::new(io::stdin())),
            _ => Box::new(BufReader::new(File::open(path).map_err(|error| {
                Failure::Input(format!("cannot open {name}: {error}"))
            })?)),
        };
        Ok(Self {
            name,
            lines,
            line_number: 0,
            source: options.source.clone(),
            batch_events_max: options.batch,
            left_over: None,
        })
    }

    /// The next batch; empty at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Vec<Event>, Failure> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while (batch.len() as u64) < self.batch_events_max {
            let next = match self.left_over.take() {
                Some(event) => Some(event),
                None => self.next_event()?,
            };
            let Some(event) = next else { break };
            bytes += event.encoded_len();
            if bytes > BATCH_BYTES_MAX && !batch.is_empty() {
                self.left_over = Some(event);
                break;
            }
            batch.push(event);
        }
        Ok(batch)
    }

    fn next_event(&mut self) -> Result<Option<Event>, Failure> {
        let mut line = String::new();
        loop {
            line.clear();
            self.line_number += 1;
            let at = |problem: String| {
                Failure::Input(format!("{}:{}: {problem}", self.name, self.line_number))
            };
            let read = self.lines.read_line(&mut line);
            if read.map_err(|error| at(error.to_string()))? == 0 {
                return Ok(None);
            }
            if line.trim().is_empty() {
                continue;
            }
            let mut event: Event =
                serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
            complete(&mut event, &self.source);
            return Ok(Some(event));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &'static str, batch_events_max: u64) -> EventFile {
        EventFile {
            name: "events.jsonl".to_owned(),
            lines: Box::new(text.as_bytes()),
            line_number: 0,
            source: "test".to_owned(),
            batch_events_max,
            left_over: None,
        }
    }

    const THREE: &str = r#"{"custom":{"type":"A","data":{"n":1}},"occurredAt":"2026-01-01T00:00:00Z"}

{"custom":{"type":"A"},"sourceService":"own"}
{"seriesCollected":{"seriesId":"ICSA","dataPoints":[{"date":"2026-01-03","value":"1"}]}}
"#;

    #[test]
    fn a_file_is_read_in_batches_and_each_event_gets_an_id() {
        let mut file = file(THREE, 2);
        let first = file.next_batch().unwrap();
        let second = file.next_batch().unwrap();
        assert_eq!((first.len(), second.len()), (2, 1));
        assert!(file.next_batch().unwrap().is_empty());
        assert_eq!(first[0].source_service, "test");
        assert_eq!(first[1].source_service, "own");
        let id = Ulid::from_string(&first[0].event_id).unwrap();
        assert_eq!(id.timestamp_ms(), 1_767_225_600_000);
        assert_ne!(first[1].event_id, second[0].event_id);
    }

    #[test]
    fn a_bad_line_is_named() {
        let mut file = file("{\"custom\":{\"type\":\"A\"}}\n{\"custom\":7}\n", 10);
        let problem = file.next_batch().unwrap_err().to_string();
        assert!(problem.starts_with("events.jsonl:2: "), "{problem}");
    }
}
