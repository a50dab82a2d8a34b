use std::{fmt, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use prost::Message;
use ulid::Ulid;

use crate::{
    Any, EVENT_BYTES_MAX, Event, EventType, Timestamp, Violation,
    event::Payload,
    event_type::is_registered_name,
    rules::{NAME_CHARS_MAX, check_payload, complete_nulls},
    text::{check_name, check_text},
};

/// How far the time embedded in an event's id and its `occurred_at` may be apart.
///
/// The log finds an earlier event of the same id by looking this far around the id's time, so the
/// rule is what makes an id unique for the life of the log.
pub const ID_TIME_TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// What field names take in JSON, roughly.
const JSON_NAMES_BYTES: usize = 64;

/// Knows the types that services registered for their events.
pub trait RegisteredTypes: fmt::Debug + Send + Sync {
    /// The payload in the proto3 JSON mapping of [`Any`].
    ///
    /// # Errors
    /// The type is not registered, or the payload is not one of it; the field is within the payload.
    fn payload_json(&self, payload: &Any) -> Result<String, Violation>;
}

/// What an event is judged by when it is accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// The present; `occurred_at` may be one hour ahead of it.
    pub now: DateTime<Utc>,
    /// The oldest `occurred_at` that the log keeps.
    pub earliest: DateTime<Utc>,
    /// Source of the random part of ids that the server makes.
    pub entropy: fn() -> u128,
    /// The registered types; `None`: there are none.
    pub types: Option<Arc<dyn RegisteredTypes>>,
}

impl Acceptance {
    /// Acceptance with the entropy of the operating system.
    pub fn new(now: DateTime<Utc>, earliest: DateTime<Utc>) -> Self {
        Self {
            now,
            earliest,
            entropy: || Ulid::generate().random(),
            types: None,
        }
    }
}

/// An event that keeps the rules of the contract, ready to be stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Identity.
    pub event_id: Ulid,
    /// When it happened, in whole microseconds.
    pub occurred_at: DateTime<Utc>,
    /// Who published it.
    pub source_service: String,
    /// Name of its type.
    pub event_type: EventType,
    /// The series that it is about, each once.
    pub series_ids: Vec<String>,
    /// What happened; never a marker. Boxed, for it is large and drafts are moved.
    pub payload: Box<Payload>,
    /// The payload in the proto3 JSON mapping.
    pub payload_json: String,
    /// The whole event in the binary format, without position and `recorded_at`.
    pub encoded: Bytes,
}

impl Draft {
    /// Checks an event against the rules of the contract and completes its id and time.
    ///
    /// # Errors
    /// The first rule that is broken, with the path of the field in [`Event`].
    pub fn new(mut event: Event, acceptance: &Acceptance) -> Result<Self, Violation> {
        let payload = event.payload.as_mut().ok_or_else(missing_payload)?;
        let event_type = EventType::of(payload).ok_or_else(|| {
            Violation::new(
                "payload",
                "is a marker of streams, which cannot be published",
            )
        })?;
        check_name("source_service", &event.source_service, NAME_CHARS_MAX)?;
        check_text("traceparent", &event.traceparent, NAME_CHARS_MAX)?;
        let (event_id, occurred_at) = identify(&event.event_id, event.occurred_at, acceptance)?;
        let series_ids = check_payload(payload, occurred_at)?;
        complete_nulls(payload);
        let typed_json = match payload {
            Payload::Typed(any) => Some(check_typed(any, acceptance)?),
            _ => None,
        };

        let mut id_text = [0; ulid::ULID_LEN];
        let id_text = event_id.array_to_str(&mut id_text);
        if event.event_id != *id_text {
            id_text.clone_into(&mut event.event_id);
        }
        event.occurred_at = Some(occurred_at.into());
        event.position = 0;
        event.recorded_at = None;
        let encoded = event.encode_to_vec();
        if encoded.len() > EVENT_BYTES_MAX {
            let problem = format!("makes an event of over {EVENT_BYTES_MAX} bytes");
            return Err(Violation::new("payload", problem));
        }
        let payload = Box::new(event.payload.ok_or_else(missing_payload)?);
        let payload_json = match typed_json {
            Some(json) => json,
            None => payload_json(&payload, encoded.len() + JSON_NAMES_BYTES)?,
        };
        Ok(Self {
            event_id,
            occurred_at,
            source_service: event.source_service,
            event_type,
            series_ids,
            payload,
            payload_json,
            encoded: encoded.into(),
        })
    }
}

fn missing_payload() -> Violation {
    let known = "series_collected, collection_failed, threshold_crossed, regime_transition, \
                 definition_changed, alert_changed, delivery_changed, custom and typed";
    Violation::new(
        "payload",
        format!("is missing or of an unknown kind; known are {known}"),
    )
}

/// The payload in JSON, if it is one of a registered type.
fn check_typed(any: &mut Any, acceptance: &Acceptance) -> Result<String, Violation> {
    if !is_registered_name(any.type_name()) {
        let problem = "does not end with \"/\" and the full name of a message in a package";
        return Err(Violation::new("typed.type_url", problem));
    }
    any.complete_type_url();
    match &acceptance.types {
        Some(types) => types
            .payload_json(any)
            .map_err(|violation| violation.within("typed")),
        None => {
            let problem = "is not registered: no types are registered here";
            Err(Violation::new("typed.type_url", problem))
        }
    }
}

/// The id and the time of an event, each derived from the other where one is absent.
fn identify(
    event_id: &str,
    occurred_at: Option<Timestamp>,
    acceptance: &Acceptance,
) -> Result<(Ulid, DateTime<Utc>), Violation> {
    let given_id = match event_id {
        "" => None,
        text => Some(parse_event_id(text)?),
    };
    let given_time = match occurred_at {
        None => None,
        Some(timestamp) => Some(timestamp.to_utc().ok_or_else(|| {
            Violation::new("occurred_at", "is not a time in the years 1 to 9999")
        })?),
    };
    let occurred_at = match (given_time, given_id) {
        (Some(at), _) => at,
        (None, Some(id)) => id_time(id)?,
        (None, None) => acceptance.now,
    }
    .trunc_subsecs(6);
    check_time(occurred_at, acceptance)?;
    let id = match given_id {
        Some(id) => id,
        None => {
            let milliseconds = u64::try_from(occurred_at.timestamp_millis()).map_err(|_| {
                Violation::new("occurred_at", "lies before 1970, where ULIDs begin")
            })?;
            Ulid::from_parts(milliseconds, (acceptance.entropy)())
        }
    };
    let apart = (id_time(id)? - occurred_at).abs();
    if apart > ID_TIME_TOLERANCE {
        return Err(Violation::new(
            "event_id",
            format!(
                "its embedded time and occurred_at are {} s apart, more than one hour; make the id \
                 when the event occurs, or leave one of the two absent",
                apart.num_seconds()
            ),
        ));
    }
    Ok((id, occurred_at))
}

/// Reads the id of an event: a ULID, in upper or lower case.
///
/// The library drops what 26 characters hold beyond 128 bits, so that two texts were one id.
///
/// # Errors
/// A violation at `event_id` if the text is not a ULID.
pub fn parse_event_id(text: &str) -> Result<Ulid, Violation> {
    Ulid::from_string(text)
        .ok()
        .filter(|_| text.starts_with(|first| ('0'..='7').contains(&first)))
        .ok_or_else(|| {
            Violation::new(
                "event_id",
                "is not a ULID (26 characters of Crockford's base 32, the first of them 0 to 7)",
            )
        })
}

fn id_time(id: Ulid) -> Result<DateTime<Utc>, Violation> {
    i64::try_from(id.timestamp_ms())
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .ok_or_else(|| Violation::new("event_id", "its embedded time is out of range"))
}

fn check_time(occurred_at: DateTime<Utc>, acceptance: &Acceptance) -> Result<(), Violation> {
    if occurred_at < acceptance.earliest {
        let earliest = acceptance.earliest.to_rfc3339();
        let problem = format!("is older than the log keeps; the oldest it accepts is {earliest}");
        return Err(Violation::new("occurred_at", problem));
    }
    if occurred_at > acceptance.now + ID_TIME_TOLERANCE {
        let problem = "is more than one hour ahead of the server's clock";
        return Err(Violation::new("occurred_at", problem));
    }
    Ok(())
}

/// `bytes` is about how long it will be.
fn payload_json(payload: &Payload, bytes: usize) -> Result<String, Violation> {
    let mut json = Vec::with_capacity(bytes);
    match payload {
        Payload::SeriesCollected(message) => serde_json::to_writer(&mut json, message),
        Payload::CollectionFailed(message) => serde_json::to_writer(&mut json, message),
        Payload::ThresholdCrossed(message) => serde_json::to_writer(&mut json, message),
        Payload::RegimeTransition(message) => serde_json::to_writer(&mut json, message),
        Payload::DefinitionChanged(message) => serde_json::to_writer(&mut json, message),
        Payload::AlertChanged(message) => serde_json::to_writer(&mut json, message),
        Payload::DeliveryChanged(message) => serde_json::to_writer(&mut json, message),
        Payload::Custom(message) => serde_json::to_writer(&mut json, message),
        Payload::Typed(message) => serde_json::to_writer(&mut json, message),
        Payload::Heartbeat(message) => serde_json::to_writer(&mut json, message),
        Payload::CaughtUp(message) => serde_json::to_writer(&mut json, message),
        Payload::FellBehind(message) => serde_json::to_writer(&mut json, message),
        Payload::Undeliverable(message) => serde_json::to_writer(&mut json, message),
    }
    .map_err(|error| Violation::new("payload", error))?;
    String::from_utf8(json).map_err(|error| Violation::new("payload", error))
}
