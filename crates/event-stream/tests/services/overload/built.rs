//! Batches that take far more in memory than on the wire: nothing is built before a call is complete,
//! and what is built counts.

use std::time::Duration;

use access::ByteBudget;
use atlas_events::{
    CustomEvent, Event, PublishRequest, event::Payload, publish_stream_response::Outcome,
};
use bytes::{BufMut, Bytes, BytesMut};
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::future::join_all;
use pbjson_types::{ListValue, Struct, Value, value::Kind};
use prost::Message;
use test_support::{TestDatabase, custom_event, eventually};
use tokio::time::timeout;
use tonic::Code;

use crate::{
    common::{DEADLINE, Server, error_of},
    overload::unfinished::{PUBLISH, all_of, channel, unfinished},
};

const MEBIBYTE: u64 = 1024 * 1024;
/// Four bytes each on the wire.
const NULLS: usize = 200_000;

pub(crate) fn event(kind: Kind) -> Event {
    let value = Value { kind: Some(kind) };
    let custom = CustomEvent {
        r#type: "Test".to_owned(),
        data: Some(Struct {
            fields: [("v".to_owned(), value)].into(),
        }),
    };
    Event {
        source_service: "Test".to_owned(),
        payload: Some(Payload::Custom(custom)),
        ..Event::default()
    }
}

fn nulls() -> Event {
    let null = Value {
        kind: Some(Kind::NullValue(0)),
    };
    let values = vec![null; NULLS];
    event(Kind::ListValue(ListValue { values }))
}

fn config(budget: &ByteBudget) -> StreamConfig {
    StreamConfig {
        request_bytes: all_of(budget),
        message_timeout: Duration::from_secs(5),
        ..StreamConfig::default()
    }
}

#[tokio::test]
async fn what_is_built_from_a_batch_counts_until_it_is_queued() {
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 8 * MEBIBYTE);
    let server = Server::start_with(&database, LogConfig::default(), config(&budget)).await;
    let mut client = server.client().await;
    let nulls = nulls();
    assert!((nulls.encoded_len() as u64) < MEBIBYTE);
    let text = event(Kind::StringValue("x".repeat(nulls.encoded_len())));
    let refused = client.try_publish(vec![nulls.clone()]).await.unwrap_err();
    let (code, reason, _) = error_of(&refused);
    assert_eq!(code, Code::ResourceExhausted);
    assert_eq!(reason, "TOO_MANY_BYTES");
    // As long on the wire.
    client.try_publish(vec![text]).await.unwrap();
    let requests = [nulls, custom_event(1)].map(|event| PublishRequest {
        events: vec![event],
        continue_after_refusal: true,
        ..PublishRequest::default()
    });
    let answers = client
        .publisher
        .publish_stream(futures::stream::iter(requests));
    let mut answers = answers.await.unwrap().into_inner();
    let mut reasons = Vec::new();
    while let Some(answer) = timeout(DEADLINE, answers.message()).await.unwrap().unwrap() {
        reasons.push(match answer.outcome {
            Some(Outcome::Refused(refusal)) => refusal.reason,
            _ => "stored".to_owned(),
        });
    }
    assert_eq!(reasons, ["TOO_MANY_BYTES", "stored"]);
    eventually(DEADLINE, async || budget.held() == 0).await;
    server.stop().await;
}

/// The most that this process has had in memory, as the system reports it.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1_024
}

/// A message that is there as a whole is not built while its client does not end the call.
#[tokio::test]
async fn nothing_is_built_before_a_call_is_complete() {
    const CALLS: u64 = 20;
    let database = TestDatabase::create().await;
    let budget = ByteBudget::new("server", 64 * MEBIBYTE);
    let server = Server::start_with(&database, LogConfig::default(), config(&budget)).await;
    let message = {
        let request = PublishRequest {
            events: vec![nulls()],
            ..PublishRequest::default()
        };
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(request.encoded_len()).unwrap());
        request.encode(&mut framed).unwrap();
        framed.freeze()
    };
    let length = message.len() as u64 - 5;
    // What the test itself has built is within it.
    let before = peak_bytes();
    let channel = channel(&server).await;
    let call = |sent: Bytes| unfinished(channel.clone(), PUBLISH, sent);
    let calls = tokio::spawn(join_all((0..CALLS).map(|_| call(message.clone()))));
    eventually(DEADLINE, async || budget.held() == CALLS * length).await;
    for status in timeout(DEADLINE, calls).await.unwrap().unwrap() {
        assert_eq!(error_of(&status).1, "MESSAGE_TIMED_OUT");
    }
    let grown = peak_bytes() - before;
    // Built, each takes some 15 MB.
    assert!(grown < 100 * MEBIBYTE, "{grown}");
    server.stop().await;
}
