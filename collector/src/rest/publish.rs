//! Publishing to the log.

use std::{borrow::Cow, collections::BTreeMap};

use atlas_events::{
    BATCH_EVENTS_MAX, Draft, Event,
    wire::{BUILT_BYTES_MAX, Excess, json_outline},
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
};
use chrono::{DateTime, Utc};
use event_log::{LogError, Receipt, TypesSnapshot};
use serde::Serialize;
use serde_json::Value;
use trace_context::TraceContext;
use utoipa::{
    IntoResponses, PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr, Response, Schema},
};

use service::rest::{
    FieldError, Problem, ProblemKind,
    extract::{Caller, JsonText, field_of},
    problems,
};

use super::{
    App,
    document::{Always, Body, EventDocument},
};

/// At most this many problems with events are reported.
const ERRORS_MAX: usize = 20;

/// Where the events are.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Receipts {
    /// One for each event, in the order of the request.
    receipts: Vec<ReceiptView>,
}

/// Where an event is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReceiptView {
    /// The id given, or the one that was made.
    event_id: String,
    /// Its position.
    position: u64,
    /// Whether the log held it already.
    duplicate: bool,
    /// When the log stored it.
    recorded_at: DateTime<Utc>,
}

/// One event, or several in `events`: a batch, of which all or nothing is stored.
pub(super) enum PublishBody {}

impl ToSchema for PublishBody {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Publish")
    }
}

impl PartialSchema for PublishBody {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name(EventDocument::name());
        let events = ArrayBuilder::new()
            .items(event())
            .min_items(Some(1))
            .max_items(Some(BATCH_EVENTS_MAX))
            .build();
        let batch = ObjectBuilder::new()
            .property("events", events)
            .required("events")
            .build();
        OneOfBuilder::new().item(event()).item(batch).into()
    }
}

/// Problems of publishing.
pub(super) enum Publishing {}

impl IntoResponses for Publishing {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            ProblemKind::InvalidEvent,
            ProblemKind::Overloaded,
            ProblemKind::OutcomeUnknown,
            ProblemKind::DatabaseUnavailable,
            ProblemKind::ShuttingDown,
        ])
    }
}

/// Publish events
///
/// All of them are stored or none, and are durable when this answers. An event whose id the log
/// holds already is not stored again; its receipt names the first position.
#[utoipa::path(
    post, path = "/v1/events", operation_id = "publishEvents", tag = "events",
    security(("token" = ["publish"])), extensions(("x-body-bytes-max" = json!(4_194_304))),
    request_body(content = inline(PublishBody), description = "One event, or `{\"events\": […]}` with 1 to 1,000"),
    responses(
        (status = 201, description = "Stored", body = Receipts),
        (status = 200, description = "The log held all of them already", body = Receipts),
        Always, Body, Publishing
    )
)]
pub(super) async fn publish(
    State(app): State<App>,
    Caller(access): Caller,
    headers: HeaderMap,
    text: JsonText,
) -> Result<(StatusCode, axum::Json<Receipts>), Problem> {
    access.check_batch_bytes(text.0.len())?;
    check_bounds(&text)?;
    let mut batch = Batch::read(text.read()?, &app.log.types())?;
    let context = TraceContext::of_headers(&headers).or_else(TraceContext::current);
    let context = context.map(|context| context.to_string());
    let drafts = batch.drafts(&app, context.as_deref().unwrap_or_default())?;
    access.publish(&drafts, |index| batch.path(index, ""))?;
    let ids: Vec<String> = drafts
        .iter()
        .map(|draft| draft.event_id.to_string())
        .collect();
    let receipts = app
        .log
        .append(drafts)
        .await
        .map_err(|failure| batch.problem(failure))?;
    let fresh = receipts.iter().filter(|receipt| !receipt.duplicate).count();
    let status = if fresh > 0 {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let receipts = ids.into_iter().zip(receipts).map(view).collect();
    Ok((status, axum::Json(Receipts { receipts })))
}

fn view((event_id, receipt): (String, Receipt)) -> ReceiptView {
    ReceiptView {
        event_id,
        position: receipt.position,
        duplicate: receipt.duplicate,
        recorded_at: receipt.recorded_at,
    }
}

/// What was sent.
struct Batch {
    events: Vec<Event>,
    /// Whether it was sent as one event, whose fields then have no path before them.
    is_single: bool,
}

impl Batch {
    fn read(body: Value, types: &TypesSnapshot) -> Result<Self, Problem> {
        let (values, is_single) = match body {
            Value::Object(mut fields) if fields.contains_key("events") => {
                let events = fields.remove("events");
                if let Some(name) = fields.keys().next() {
                    let problem = "is not known beside events";
                    return Err(Problem::field(ProblemKind::InvalidRequest, name, problem));
                }
                let Some(Value::Array(values)) = events else {
                    let problem = "is to be an array of events";
                    return Err(Problem::field(
                        ProblemKind::InvalidRequest,
                        "events",
                        problem,
                    ));
                };
                (values, false)
            }
            Value::Object(_) => (vec![body], true),
            _ => {
                let problem = "is to be an event, or {\"events\": […]}";
                return Err(Problem::field(ProblemKind::InvalidRequest, "body", problem));
            }
        };
        check_count(values.len())?;
        let mut batch = Self {
            events: Vec::with_capacity(values.len()),
            is_single,
        };
        let mut errors = Vec::new();
        for (index, mut value) in values.into_iter().enumerate() {
            if let Err(violation) = types.encode_typed(&mut value) {
                errors.push(FieldError {
                    field: batch.path(index, &violation.field),
                    problem: violation.problem,
                });
                continue;
            }
            match serde_path_to_error::deserialize::<_, Event>(value) {
                Ok(event) => batch.events.push(event),
                Err(error) => errors.push(FieldError {
                    field: batch.path(index, &field_of(&error, "")),
                    problem: error.inner().to_string(),
                }),
            }
        }
        refuse(ProblemKind::InvalidRequest, errors)?;
        Ok(batch)
    }

    /// The path of a field of an event in what was sent.
    fn path(&self, index: usize, field: &str) -> String {
        match (self.is_single, field) {
            (true, "") => "body".to_owned(),
            (true, field) => field.to_owned(),
            (false, "") => format!("events[{index}]"),
            (false, field) => format!("events[{index}].{field}"),
        }
    }

    fn drafts(&mut self, app: &App, traceparent: &str) -> Result<Vec<Draft>, Problem> {
        let acceptance = app.log.acceptance();
        let mut drafts = Vec::with_capacity(self.events.len());
        let mut errors = Vec::new();
        for (index, mut event) in std::mem::take(&mut self.events).into_iter().enumerate() {
            if event.traceparent.is_empty() {
                traceparent.clone_into(&mut event.traceparent);
            }
            match Draft::new(event, &acceptance) {
                Ok(draft) => drafts.push(draft),
                Err(violation) => errors.push(FieldError {
                    field: self.path(index, &violation.field),
                    problem: violation.problem,
                }),
            }
        }
        refuse(ProblemKind::InvalidEvent, errors)?;
        Ok(drafts)
    }

    fn problem(&self, failure: LogError) -> Problem {
        match failure {
            LogError::TooOld { index, earliest } => {
                service::rest::too_old(self.path(index, "occurred_at"), earliest)
            }
            failure => failure.into(),
        }
    }
}

/// Keeps the bounds of a batch before anything is built from it. What is not JSON is found where it
/// is read.
fn check_bounds(text: &JsonText) -> Result<(), Problem> {
    let Ok(outline) = json_outline(&text.0) else {
        return Ok(());
    };
    match outline.excess {
        Some(Excess::Events) => check_count(outline.events.unwrap_or_default()),
        Some(Excess::Memory) => {
            let most = BUILT_BYTES_MAX / 1024 / 1024;
            let detail = format!(
                "what the events hold takes more than {most} MiB of memory; publish fewer at once"
            );
            Err(Problem::new(ProblemKind::TooLarge, detail))
        }
        None => Ok(()),
    }
}

fn check_count(count: usize) -> Result<(), Problem> {
    let problem = match count {
        0 => "is empty; send at least one event".to_owned(),
        1..=BATCH_EVENTS_MAX => return Ok(()),
        _ => format!("holds {count} events; at most {BATCH_EVENTS_MAX} can be published at once"),
    };
    Err(Problem::field(
        ProblemKind::InvalidRequest,
        "events",
        problem,
    ))
}

fn refuse(kind: ProblemKind, mut errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() {
        return Ok(());
    }
    errors.truncate(ERRORS_MAX);
    Err(Problem::fields(kind, errors))
}
