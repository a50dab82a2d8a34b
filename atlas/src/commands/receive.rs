//! `atlas alerts receive`: a receiver of webhooks that prints what it gets, to try channels and rules with.

use std::net::SocketAddr;

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde_json::Value;
use tokio::{net::TcpListener, sync::mpsc};

use crate::{
    client::failure::Failure,
    print::{
        output::{Output, note},
        text::clean,
    },
};

/// Messages that were not printed yet; more are refused, and come again.
const WAITING_MAX: usize = 100;

/// Prints messages until it is stopped. Signatures are not checked.
pub(super) async fn run(listen: SocketAddr, output: &mut Output) -> Result<(), Failure> {
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::Usage(format!("cannot listen at {listen}: {error}")))?;
    note(format_args!(
        "receiving webhooks at http://{}/",
        listener.local_addr()?
    ));
    let (received, mut messages) = mpsc::channel(WAITING_MAX);
    let router = Router::new().fallback(post(receive)).with_state(received);
    let serving = axum::serve(listener, router).into_future();
    tokio::pin!(serving);
    loop {
        let message = tokio::select! {
            served = &mut serving => return Ok(served?),
            message = messages.recv() => message,
        };
        let Some(message) = message else {
            return Ok(());
        };
        output.line(line(&message))?;
        output.flush()?;
    }
}

async fn receive(State(received): State<mpsc::Sender<Value>>, body: Bytes) -> StatusCode {
    let Ok(message) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    match received.try_send(message) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A message of a webhook channel: when, what it reports, title and text.
fn line(message: &Value) -> String {
    let of = |value: &Value| clean(value.as_str().unwrap_or_default());
    let data = &message["data"];
    let (at, kind) = (of(&message["timestamp"]), of(&message["type"]));
    let (title, text) = (of(&data["title"]), of(&data["text"]));
    let severity = of(&data["severity"]);
    format!("{at}  {kind:<16}  {severity:<8}  {title}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_and_controls_no_terminal() {
        let message = serde_json::json!({
            "type": "alert.firing", "timestamp": "2026-11-28T12:00:00Z",
            "data": {"title": "A\u{1b}[2Jtitle", "text": "first\nsecond", "severity": "warning"},
        });
        let line = line(&message);
        assert!(
            line.starts_with("2026-11-28T12:00:00Z  alert.firing      warning   A"),
            "{line}"
        );
        assert!(!line.contains(char::is_control), "{line}");
    }
}
