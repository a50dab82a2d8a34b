//! The ways in.

use atlas_events::{Event, PublishRequest, event_publisher_client::EventPublisherClient};
use tonic::Code;

use crate::{typed::Typed, up::Up};

/// Whether it is accepted; refused is it as the client's fault only.
pub(crate) async fn over_rest(up: &Up, event: &str) -> bool {
    let request = up
        .client
        .post(format!("{}/v1/events", up.collector_rest))
        .header("content-type", "application/json")
        .body(format!(r#"{{"events":[{event}]}}"#));
    let answer = request.send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(
        status == 201 || status.is_client_error(),
        "{status} {text} for {event}"
    );
    status == 201
}

/// As [`over_rest`]. What cannot even be put into the message is refused by the client itself.
pub(crate) async fn over_grpc(up: &Up, typed: &Typed, event: &str) -> bool {
    let Some(event) = typed.encoded(event) else {
        return false;
    };
    let Ok(event) = serde_json::from_str::<Event>(&event) else {
        return false;
    };
    let request = PublishRequest {
        events: vec![event],
        ..PublishRequest::default()
    };
    match EventPublisherClient::new(up.channel.clone())
        .publish(request)
        .await
    {
        Ok(_) => true,
        Err(status) => {
            let is_clients = [
                Code::InvalidArgument,
                Code::ResourceExhausted,
                Code::OutOfRange,
            ];
            assert!(is_clients.contains(&status.code()), "{status}");
            false
        }
    }
}
