//! A server whose stream is not what a log would send.

use std::pin::Pin;

use atlas_events::{
    Event, FindEventRequest, FindEventResponse, GetLogInfoRequest, GetLogInfoResponse,
    SubscriptionRequest, TimeRangeRequest, Timestamp,
    event_log_server::{EventLog, EventLogServer},
    event_stream_server::{EventStream, EventStreamServer},
};
use futures::{Stream, StreamExt, stream};
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

type Events = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

/// Answers every subscription with the same messages, and then with a status or with silence.
#[derive(Debug, Clone)]
pub(crate) struct Scripted {
    pub(crate) messages: Vec<Event>,
    pub(crate) end: Option<Status>,
}

impl Scripted {
    /// Serves it; returns its URL.
    pub(crate) async fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder()
            .add_service(EventStreamServer::new(self.clone()))
            .add_service(EventLogServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        url
    }
}

#[tonic::async_trait]
impl EventStream for Scripted {
    type SubscribeToEventsStream = Events;
    type GetEventsSinceStream = Events;
    type GetEventsBetweenStream = Events;

    async fn subscribe_to_events(
        &self,
        _: Request<SubscriptionRequest>,
    ) -> Result<Response<Events>, Status> {
        let messages = self.messages.clone().into_iter().map(Ok);
        let end = self.end.clone().map(Err);
        let messages = stream::iter(messages.chain(end)).chain(stream::pending());
        Ok(Response::new(Box::pin(messages)))
    }

    async fn get_events_since(
        &self,
        _: Request<TimeRangeRequest>,
    ) -> Result<Response<Events>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_events_between(
        &self,
        _: Request<TimeRangeRequest>,
    ) -> Result<Response<Events>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_latest_event_time(&self, _: Request<()>) -> Result<Response<Timestamp>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}

#[tonic::async_trait]
impl EventLog for Scripted {
    async fn get_log_info(
        &self,
        _: Request<GetLogInfoRequest>,
    ) -> Result<Response<GetLogInfoResponse>, Status> {
        Ok(Response::new(GetLogInfoResponse {
            log_id: "00000000-0000-0000-0000-000000000001".to_owned(),
            first_position: 1,
            last_position: 10,
            ..GetLogInfoResponse::default()
        }))
    }

    async fn find_event(
        &self,
        _: Request<FindEventRequest>,
    ) -> Result<Response<FindEventResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }
}
