//! The gRPC services `ParkedEvents` and `Checkpoints`.

use std::{collections::HashMap, time::Duration};

use atlas_events::{
    self as wire, DiscardParkedEventsRequest, DiscardParkedEventsResponse, ListCheckpointsRequest,
    ListCheckpointsResponse, ListParkedEventsRequest, ListParkedEventsResponse, ParkedEventState,
    ResetCheckpointRequest, ResetCheckpointResponse, RetryParkedEventsRequest,
    RetryParkedEventsResponse, Timestamp, Violation,
    checkpoints_server::{Checkpoints, CheckpointsServer},
    parked_events_server::{ParkedEvents, ParkedEventsServer},
    reset_checkpoint_request::Target,
};
use chrono::{DateTime, Utc};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::warn;
use uuid::Uuid;

use crate::{AdminError, Checkpoint, ConsumerAdmin, ParkedEvent, ParkedFilter, ParkedState, Reset};

const DOMAIN: &str = "atlas.events";
/// At most this many bytes of a request: 1,000 numbers, a few texts.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1_000;
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The service `atlas.events.ParkedEvents` of one consumer.
#[derive(Debug, Clone)]
pub struct ParkedEventsService(ConsumerAdmin);

impl ParkedEventsService {
    /// Ready to be added to a server.
    pub fn server(admin: ConsumerAdmin) -> ParkedEventsServer<Self> {
        ParkedEventsServer::new(Self(admin)).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

/// The service `atlas.events.Checkpoints` of one consumer.
#[derive(Debug, Clone)]
pub struct CheckpointsService(ConsumerAdmin);

impl CheckpointsService {
    /// Ready to be added to a server.
    pub fn server(admin: ConsumerAdmin) -> CheckpointsServer<Self> {
        CheckpointsServer::new(Self(admin)).max_decoding_message_size(REQUEST_BYTES_MAX)
    }

    async fn list(&self) -> Result<Vec<wire::Checkpoint>, Status> {
        let checkpoints = self.0.checkpoints().await.map_err(refuse)?;
        let service = self.0.service();
        let listed = checkpoints
            .into_iter()
            .map(|found| checkpoint(service, found));
        Ok(listed.collect())
    }
}

#[tonic::async_trait]
impl ParkedEvents for ParkedEventsService {
    async fn list_parked_events(
        &self,
        request: Request<ListParkedEventsRequest>,
    ) -> Result<Response<ListParkedEventsResponse>, Status> {
        let request = request.into_inner();
        let filter = filter(request.filter.unwrap_or_default()).map_err(invalid)?;
        let page_size = match request.page_size {
            0 => PAGE_DEFAULT,
            size if size <= PAGE_MAX => size,
            _ => {
                let problem = format!("is more than {PAGE_MAX}");
                return Err(invalid(Violation::new("page_size", problem)));
            }
        };
        let page = self.0.parked(&filter, request.after_id, page_size).await;
        let page = page.map_err(refuse)?;
        let last = page.events.last().filter(|_| page.has_more);
        let next_after_id = last.map_or(0, |last| last.id);
        Ok(Response::new(ListParkedEventsResponse {
            parked_events: page.events.into_iter().map(parked_event).collect(),
            next_after_id,
        }))
    }

    async fn retry_parked_events(
        &self,
        request: Request<RetryParkedEventsRequest>,
    ) -> Result<Response<RetryParkedEventsResponse>, Status> {
        note(&request, |request| format!("{:?}", request.filter));
        let request = request.into_inner();
        let filter = required_filter(request.filter).map_err(invalid)?;
        let wait = match request.wait {
            None => Duration::ZERO,
            Some(wait) => Duration::try_from(wait)
                .ok()
                .filter(|wait| *wait <= WAIT_MAX)
                .ok_or_else(|| invalid(Violation::new("wait", "is not between 0 and 60 s")))?,
        };
        let retried = self.0.retry(&filter, wait).await.map_err(refuse)?;
        Ok(Response::new(RetryParkedEventsResponse {
            marked: retried.marked,
            resolved: retried.resolved,
            failed: retried.failed,
        }))
    }

    async fn discard_parked_events(
        &self,
        request: Request<DiscardParkedEventsRequest>,
    ) -> Result<Response<DiscardParkedEventsResponse>, Status> {
        note(&request, |request| format!("{:?}", request.filter));
        let filter = required_filter(request.into_inner().filter).map_err(invalid)?;
        let discarded = self.0.discard(&filter).await.map_err(refuse)?;
        Ok(Response::new(DiscardParkedEventsResponse { discarded }))
    }
}

#[tonic::async_trait]
impl Checkpoints for CheckpointsService {
    async fn list_checkpoints(
        &self,
        _: Request<ListCheckpointsRequest>,
    ) -> Result<Response<ListCheckpointsResponse>, Status> {
        let checkpoints = self.list().await?;
        Ok(Response::new(ListCheckpointsResponse { checkpoints }))
    }

    async fn reset_checkpoint(
        &self,
        request: Request<ResetCheckpointRequest>,
    ) -> Result<Response<ResetCheckpointResponse>, Status> {
        note(&request, |request| format!("{request:?}"));
        let request = request.into_inner();
        let source = Some(request.source.as_str()).filter(|source| !source.is_empty());
        let to = target(request.target).map_err(invalid)?;
        self.0.reset(source, to).await.map_err(refuse)?;
        let checkpoints = self.list().await?;
        let is_meant =
            |listed: &wire::Checkpoint| source.is_none_or(|source| listed.source == source);
        let checkpoints = checkpoints.into_iter().filter(is_meant).collect();
        Ok(Response::new(ResetCheckpointResponse { checkpoints }))
    }
}

/// Says for the audit log what is asked for.
fn note<T>(request: &Request<T>, describe: impl FnOnce(&T) -> String) {
    if let Some(caller) = request.extensions().get::<access::Caller>() {
        caller.note(describe(request.get_ref()));
    }
}

fn target(target: Option<Target>) -> Result<Reset, Violation> {
    match target {
        Some(Target::Time(at)) => Ok(Reset::Time(time("time", at)?)),
        Some(Target::Position(position)) => Ok(Reset::Position(position)),
        Some(Target::Beginning(true)) => Ok(Reset::Beginning),
        Some(Target::ContinueIn(given)) => Ok(Reset::ContinueIn {
            log_id: log_id("continue_in.log_id", &given.log_id)?,
            common_position: given.common_position,
        }),
        Some(Target::LogPosition(given)) => Ok(Reset::PositionIn {
            log_id: log_id("log_position.log_id", &given.log_id)?,
            position: given.position,
        }),
        Some(Target::Beginning(false)) => Err(Violation::new("beginning", "can only be true")),
        None => Err(Violation::new(
            "target",
            "is required: one of time, position, beginning, continue_in and log_position",
        )),
    }
}

fn log_id(field: &str, given: &str) -> Result<Uuid, Violation> {
    given
        .parse()
        .map_err(|_| Violation::new(field, "is no UUID of a log"))
}

fn required_filter(given: Option<wire::ParkedEventFilter>) -> Result<ParkedFilter, Violation> {
    let given =
        given.ok_or_else(|| Violation::new("filter", "is required; an empty one means all"))?;
    filter(given)
}

fn filter(given: wire::ParkedEventFilter) -> Result<ParkedFilter, Violation> {
    let within = |violation: Violation| violation.within("filter");
    let states: Result<Vec<_>, _> = given.states.iter().copied().map(state).collect();
    let states = states.map_err(within)?;
    let at = |field, given: Option<Timestamp>| given.map(|at| time(field, at)).transpose();
    let text = |text: String| Some(text).filter(|text| !text.is_empty());
    let filter = ParkedFilter {
        ids: Some(given.ids).filter(|ids| !ids.is_empty()),
        source: text(given.source),
        event_type: text(given.event_type),
        reason_contains: text(given.reason_contains),
        parked_since: at("parked_since", given.parked_since).map_err(within)?,
        parked_before: at("parked_before", given.parked_before).map_err(within)?,
        states: Some(states).filter(|states| !states.is_empty()),
    };
    filter.check().map_err(within)?;
    Ok(filter)
}

fn state(number: i32) -> Result<ParkedState, Violation> {
    match ParkedEventState::try_from(number) {
        Ok(ParkedEventState::Parked) => Ok(ParkedState::Parked),
        Ok(ParkedEventState::Retrying) => Ok(ParkedState::Retrying),
        Ok(ParkedEventState::Resolved) => Ok(ParkedState::Resolved),
        Ok(ParkedEventState::Discarded) => Ok(ParkedState::Discarded),
        Ok(ParkedEventState::Unspecified) | Err(_) => {
            Err(Violation::new("states", "holds one that is not known"))
        }
    }
}

fn time(field: &str, at: Timestamp) -> Result<DateTime<Utc>, Violation> {
    at.to_utc()
        .ok_or_else(|| Violation::new(field, "is not a time in the years 1 to 9999"))
}

fn parked_event(parked: ParkedEvent) -> wire::ParkedEvent {
    let state = match parked.state {
        ParkedState::Parked => ParkedEventState::Parked,
        ParkedState::Retrying => ParkedEventState::Retrying,
        ParkedState::Resolved => ParkedEventState::Resolved,
        ParkedState::Discarded => ParkedEventState::Discarded,
    };
    wire::ParkedEvent {
        id: parked.id,
        source: parked.source,
        handler: parked.handler,
        reason: parked.reason,
        attempts: u32::try_from(parked.attempts).unwrap_or(u32::MAX),
        parked_at: Some(parked.parked_at.into()),
        attempted_at: Some(parked.attempted_at.into()),
        state: state.into(),
        event: Some(parked.event),
    }
}

fn checkpoint(service: &str, found: Checkpoint) -> wire::Checkpoint {
    let (last_event_id, last_event_position) = found
        .last_event
        .map(|last| (last.event_id, last.position))
        .unwrap_or_default();
    let (stopped_reason, stopped_at) = found.stop.map(|stop| (stop.reason, stop.at)).unzip();
    wire::Checkpoint {
        last_event_id,
        last_event_position,
        stopped_reason: stopped_reason.unwrap_or_default(),
        stopped_at: stopped_at.map(Into::into),
        service: service.to_owned(),
        source: found.source,
        log_id: found.log_id.map(|id| id.to_string()).unwrap_or_default(),
        position: found.position,
        last_processed: found.last_processed.map(Into::into),
        updated_at: Some(found.updated_at.into()),
    }
}

fn invalid(violation: Violation) -> Status {
    let mut details = ErrorDetails::new();
    details.set_error_info("INVALID_ARGUMENT", DOMAIN, HashMap::new());
    details.add_bad_request_violation(violation.field.clone(), violation.problem.clone());
    Status::with_error_details(Code::InvalidArgument, violation.to_string(), details)
}

/// The words of the database go to the log of the process and never to a client.
fn refuse(error: AdminError) -> Status {
    let (code, reason, message) = match &error {
        AdminError::NoCheckpoint { .. } => (Code::NotFound, "NO_CHECKPOINT", error.to_string()),
        AdminError::Invalid(violation) => return invalid(violation.clone()),
        AdminError::NoLog => (Code::FailedPrecondition, "NO_LOG", error.to_string()),
        AdminError::Database(cause) => {
            warn!(%cause, "the database failed");
            let message = "the database failed; try again".to_owned();
            (Code::Unavailable, "DATABASE_UNAVAILABLE", message)
        }
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}
