//! The `EventLog` service: what a log is and holds.

use atlas_events::{
    FindEventRequest, FindEventResponse, GetLogInfoRequest, GetLogInfoResponse, KNOWN_EVENT_TYPES,
    Violation, event_log_server,
};
use event_log::EventLog;
use tonic::{Code, Request, Response, Status};
use ulid::Ulid;

use crate::status::Refusal;

#[derive(Debug)]
pub(crate) struct LogInfoService(pub(crate) EventLog);

#[tonic::async_trait]
impl event_log_server::EventLog for LogInfoService {
    async fn get_log_info(
        &self,
        _: Request<GetLogInfoRequest>,
    ) -> Result<Response<GetLogInfoResponse>, Status> {
        let log = &self.0;
        let head = log.head().await.map_err(|failure| {
            Refusal::from_read(failure, "reading the head of the log").into_status()
        })?;
        Ok(Response::new(GetLogInfoResponse {
            log_id: log.log_id().to_string(),
            first_position: head.first_position,
            last_position: head.last_position,
            latest_occurred_at: head.latest_occurred_at.map(Into::into),
            latest_recorded_at: head.latest_recorded_at.map(Into::into),
            earliest_accepted: Some(log.earliest_accepted(&head).into()),
            edition: log.edition().to_owned(),
            event_types: KNOWN_EVENT_TYPES.map(str::to_owned).to_vec(),
        }))
    }

    async fn find_event(
        &self,
        request: Request<FindEventRequest>,
    ) -> Result<Response<FindEventResponse>, Status> {
        let text = request.into_inner().event_id;
        let event_id = Ulid::from_string(&text).map_err(|_| {
            Refusal::invalid(Violation::new("event_id", "is not a ULID")).into_status()
        })?;
        let found = self.0.find(event_id).await.map_err(|failure| {
            Refusal::from_read(failure, "finding an event by its id").into_status()
        })?;
        match found {
            Some(event) => Ok(Response::new(FindEventResponse { event: Some(event) })),
            None => {
                let message = format!("the log holds no event {event_id}");
                Err(Refusal::new(Code::NotFound, "NO_SUCH_EVENT", message).into_status())
            }
        }
    }
}
