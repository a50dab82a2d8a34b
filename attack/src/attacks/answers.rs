//! Answers that nobody takes, or takes a byte at a time.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, ensure};
use atlas_events::TimeRangeRequest;
use futures::future::join_all;
use h2::{RecvStream, client::ResponseFuture};
use pbjson_types::{Struct, Value};
use prost::Message;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::{Instant, interval, timeout},
};
use tonic::Code;

use crate::{
    clients,
    target::{Process, Target},
    trial::Attack,
    wire::{ANSWER_TIMEOUT, Call, Connection, framed, send_all, status},
};

/// Type of the events that streams are asked for.
const KIND: &str = "Untaken";
/// Type of those that pages are asked for.
const ESCAPED: &str = "Escaped";
/// Each of these is a page of a stream by itself.
const EVENT_BYTES: usize = 300_000;
/// Twice as much as one caller may leave untaken.
const STREAMS: usize = 500;
const REQUESTS: usize = 40;
/// By then the services have ended what is not taken.
const DEADLINE: Duration = Duration::from_secs(75);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "answers-streams-untaken",
            "500 streams of large events, of each of which a byte is taken",
            |target| Box::pin(streams(target)),
        )
        // 64 are the caller's share, 30 the events in the ring; docs/security.md has the rest.
        .memory_mib(192),
        Attack::new(
            "answers-rest-unread",
            "40 large pages of REST, of which nothing is taken, or a byte a second",
            |target| Box::pin(rest(target)),
        )
        .memory_mib(256),
    ]
}

/// Stores tens of large events, of one character each.
async fn fill(target: &Target, kind: &str, character: &str, tens: usize) -> Result<()> {
    let channel = clients::channel(target.collector.grpc).await?;
    let text = Value::from(character.repeat(EVENT_BYTES));
    let data = || Struct::from(HashMap::from([("text".to_owned(), text.clone())]));
    for _ in 0..tens {
        let events = (0..10).map(|_| clients::custom(kind, Some(data())));
        clients::publish(&channel, target.tokens.full.expose(), events.collect()).await?;
    }
    Ok(())
}

/// What a stream comes to whose client takes its first byte and no more.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// To a page, of which the server holds the rest.
    Held,
    /// To an end.
    Ended(Code),
}

async fn streams(target: &Target) -> Result<String> {
    fill(target, KIND, "x", 10).await?;
    // A window of nothing would have the server read nothing.
    let connection = Connection::with_window(target.collector.grpc, 1).await?;
    let request = TimeRangeRequest {
        // What is filtered is copied for the one reader, wherever it is read from.
        event_types: vec![format!("custom:{KIND}")],
        ..TimeRangeRequest::default()
    };
    let message = request.encode_to_vec();
    let call = Call::new("EventStream/GetEventsSince", target.tokens.full.expose());
    let mut began = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let (response, mut stream) = connection.begin(call).await?;
        send_all(&mut stream, framed(&message, message.len(), false), true).await?;
        began.push(response);
    }
    // Together, since the server waits for a while before it refuses one.
    let outcomes = join_all(began.into_iter().map(outcome)).await;
    // Neither is the window of a body opened nor its stream reset before all are counted.
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    let held = outcomes.iter().filter(|(came, _)| *came == Came::Held);
    let held = held.count();
    let refused = |(came, _): &&(Came, _)| *came == Came::Ended(Code::ResourceExhausted);
    let refused = outcomes.iter().filter(refused).count();
    ensure!(
        held + refused == STREAMS,
        "{} ended otherwise",
        STREAMS - held - refused
    );
    ensure!(held > 0, "none of them was read");
    ensure!(refused > 0, "all {STREAMS} of them hold a page");
    Ok(format!("{held} hold a page, {refused} were refused"))
}

/// What a stream comes to, and the rest of its body, which nobody reads.
async fn outcome(response: ResponseFuture) -> Result<(Came, RecvStream)> {
    let (head, mut body) = timeout(ANSWER_TIMEOUT, response).await??.into_parts();
    if let Some(answer) = status(&head.headers) {
        return Ok((Came::Ended(answer.code), body));
    }
    let came = match timeout(ANSWER_TIMEOUT, body.data()).await? {
        Some(data) => data.map(|_| Came::Held)?,
        None => {
            let trailers = body.trailers().await?.unwrap_or_default();
            Came::Ended(status(&trailers).context("no status")?.code)
        }
    };
    Ok((came, body))
}

async fn rest(target: &Target) -> Result<String> {
    // In JSON each character takes six, more than the buffers of the system take.
    fill(target, ESCAPED, "\u{1}", 3).await?;
    let began = Instant::now();
    let token = target.tokens.full.expose();
    let asking = (0..REQUESTS).map(|index| page(&target.collector, token, index % 2 == 0));
    let statuses = join_all(asking).await;
    let statuses = statuses.into_iter().collect::<Result<Vec<_>>>()?;
    let of = |status: &str| statuses.iter().filter(|s| *s == status).count();
    let (given, refused) = (of("200"), of("503"));
    ensure!(given + refused == REQUESTS, "{statuses:?}");
    ensure!(given > 0, "none was answered");
    ensure!(refused > 0, "all {REQUESTS} pages were given");
    Ok(format!(
        "{given} were answered, {refused} refused, all closed within {:.1?}",
        began.elapsed()
    ))
}

/// Asks for a page and takes no more than its status, or a byte a second; the status, once the server has
/// closed the connection.
async fn page(process: &Process, token: &str, trickles: bool) -> Result<String> {
    let socket = TcpSocket::new_v4()?;
    // So that little of it is taken by this system.
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(process.rest).await?;
    let path = format!("/v1/events?event_type=custom:{ESCAPED}&limit=100&after_position=0");
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    timeout(DEADLINE, stream.read_exact(&mut head)).await??;
    let status = String::from_utf8_lossy(&head);
    let status = status.rsplit(' ').next().unwrap_or_default().to_owned();
    let mut turn = interval(Duration::from_secs(1));
    let mut byte = [0];
    let closed = async {
        loop {
            turn.tick().await;
            // The end lies behind what is not taken; a writer gets an error there.
            let is_open = stream.write_all(b"\r\n").await.is_ok();
            let is_open = is_open && (!trickles || matches!(stream.read(&mut byte).await, Ok(1..)));
            if !is_open {
                return;
            }
        }
    };
    let closed = if status == "200" {
        timeout(DEADLINE, closed).await
    } else {
        Ok(())
    };
    closed.with_context(|| format!("a page that nobody takes is held for {DEADLINE:?}"))?;
    Ok(status)
}
