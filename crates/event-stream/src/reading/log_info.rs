//! The `EventLog` service: what a log is and holds.

use atlas_events::{
    FindEventRequest, FindEventResponse, GetLogInfoRequest, GetLogInfoResponse, KNOWN_EVENT_TYPES,
    WantedEvents, event_log_server, parse_event_id,
};
use event_log::EventLog;
use tonic::{Code, Request, Response, Status};
use tracing::warn;

use crate::{guard, status::Refusal};

#[derive(Debug)]
pub(crate) struct LogInfoService(pub(crate) EventLog);

#[tonic::async_trait]
impl event_log_server::EventLog for LogInfoService {
    async fn get_log_info(
        &self,
        request: Request<GetLogInfoRequest>,
    ) -> Result<Response<GetLogInfoResponse>, Status> {
        let access = guard::access(request.extensions());
        let failed =
            |failure| Refusal::from_read(failure, "reading the head of the log").into_status();
        let log = &self.0;
        let mut head = log.head().await.map_err(failed)?;
        if access.is_limited() {
            let own = access.narrow(WantedEvents::default());
            let own = own.map_err(|denied| Refusal::denied(denied).into_status())?;
            // The only part that can fail where the rest is known, and nobody needs it to read on.
            let latest = log.latest_occurred_at(&own).await;
            head.latest_occurred_at = latest.unwrap_or_else(|failure| {
                warn!(error = %failure, "the latest time of a limited caller's events is left out");
                None
            });
            // Times of others' events are theirs; the positions are what cursors need.
            head.latest_recorded_at = None;
        }
        Ok(Response::new(GetLogInfoResponse {
            log_id: log.log_id().to_string(),
            first_position: head.first_position,
            last_position: head.last_position,
            latest_occurred_at: head.latest_occurred_at.map(Into::into),
            latest_recorded_at: head.latest_recorded_at.map(Into::into),
            earliest_accepted: Some(log.earliest_accepted(&head).into()),
            edition: log.edition().to_owned(),
            event_types: KNOWN_EVENT_TYPES.map(str::to_owned).to_vec(),
            limited: access.is_limited(),
        }))
    }

    async fn find_event(
        &self,
        request: Request<FindEventRequest>,
    ) -> Result<Response<FindEventResponse>, Status> {
        let access = guard::access(request.extensions());
        let text = request.into_inner().event_id;
        let event_id =
            parse_event_id(&text).map_err(|violation| Refusal::invalid(violation).into_status())?;
        let found = self.0.find(event_id).await.map_err(|failure| {
            Refusal::from_read(failure, "finding an event by its id").into_status()
        })?;
        // What is not theirs is not there, in the same words.
        match found.filter(|event| access.sees(event)) {
            Some(event) => Ok(Response::new(FindEventResponse { event: Some(event) })),
            None => {
                let message = format!("the log holds no event {event_id}");
                Err(Refusal::new(Code::NotFound, "NO_SUCH_EVENT", message).into_status())
            }
        }
    }
}
