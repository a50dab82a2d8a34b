//! Requests that no generated client sends: malformed, compressed, too large, or full of text.

use atlas_events::{Event, FindEventRequest, SubscriptionRequest};
use bytes::{Buf, BufMut, Bytes};
use futures::stream;
use test_support::{TestDatabase, custom_event};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::common::{DEADLINE, Server, after, custom_events, error_of, expectation, fact, next};

/// The calls that read one message, or, the last of them, many.
const CALLS: [&str; 8] = [
    "/atlas.events.EventPublisher/Publish",
    "/atlas.events.EventStream/SubscribeToEvents",
    "/atlas.events.EventStream/GetEventsSince",
    "/atlas.events.EventStream/GetEventsBetween",
    "/atlas.events.EventStream/GetLatestEventTime",
    "/atlas.events.EventLog/GetLogInfo",
    "/atlas.events.EventLog/FindEvent",
    "/atlas.events.EventPublisher/PublishStream",
];
/// A tag of a wire type that there is not.
const MALFORMED: &[u8] = &[0x0f, 0xff];

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// How a call with this message is answered that is to fail.
async fn refused(server: &Server, path: &str, message: Bytes, encoding: &str) -> Status {
    let channel = Channel::from_shared(server.url.clone()).unwrap();
    let mut client = Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = Request::new(stream::iter([message]));
    if !encoding.is_empty() {
        let value = encoding.parse().unwrap();
        request.metadata_mut().insert("grpc-encoding", value);
    }
    let calling = client.streaming(request, path.parse().unwrap(), Raw);
    match timeout(DEADLINE, calling).await.unwrap() {
        Err(status) => status,
        Ok(answer) => {
            let mut answers = answer.into_inner();
            timeout(DEADLINE, answers.message())
                .await
                .unwrap()
                .expect_err(path)
        }
    }
}

#[tokio::test]
async fn a_malformed_message_is_the_fault_of_its_sender() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    for path in CALLS {
        let status = refused(&server, path, Bytes::from_static(MALFORMED), "").await;
        let expected = expectation(Code::InvalidArgument, "MALFORMED", "");
        assert_eq!(error_of(&status), expected, "{path}: {status}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_compressed_message_is_refused_with_what_is_possible() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    for path in CALLS {
        let status = refused(&server, path, Bytes::new(), "gzip").await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}: {status}");
        let accepted = status.metadata().get("grpc-accept-encoding");
        assert_eq!(accepted.unwrap(), "identity", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_request_to_read_is_not_as_large_as_one_to_publish() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    for path in &CALLS[1..4] {
        let message = Bytes::from(vec![0; 300 * 1024]);
        let status = refused(&server, path, message, "").await;
        let expected = expectation(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", "");
        assert_eq!(error_of(&status), expected, "{path}");
        assert_eq!(fact(&status, "message_bytes_max"), (256 * 1024).to_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn what_a_client_sent_is_repeated_to_it_in_part_only() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let long = "x".repeat(50_000);
    let request = SubscriptionRequest {
        event_types: vec![long.clone()],
        ..after(0)
    };
    let refused = client.try_subscribe(request).await.unwrap_err();
    assert_eq!(error_of(&refused).2, "event_types[0]");
    let request = FindEventRequest {
        event_id: long.clone(),
    };
    let not_found = client.log.find_event(request).await.unwrap_err();
    let event = Event {
        event_id: long,
        ..custom_event(1)
    };
    let not_stored = client.try_publish(vec![event]).await.unwrap_err();
    for status in [refused, not_found, not_stored] {
        let bytes = status.message().len() + status.details().len();
        assert!(bytes < 4_000, "{bytes}");
    }
    server.stop().await;
}

#[tokio::test]
async fn names_that_no_event_can_have_do_not_reach_the_database() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let names = ["custom:A\0", "custom:", "custom:A B"];
    for name in names {
        let request = SubscriptionRequest {
            event_types: vec![name.to_owned()],
            ..after(0)
        };
        let refused = client.try_subscribe(request).await.unwrap_err();
        let expected = expectation(Code::InvalidArgument, "INVALID_ARGUMENT", "event_types[0]");
        assert_eq!(error_of(&refused), expected, "{name:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_id_is_one_event_in_either_case_and_no_other_text_is_it() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = server.client().await;
    let [event] = &*client.publish(custom_events(1..2)).await else {
        panic!("one event was published");
    };
    let id = event.event_id.clone();
    let small = FindEventRequest {
        event_id: id.to_lowercase(),
    };
    let found = client.log.find_event(small).await.unwrap().into_inner();
    assert_eq!(found.event.unwrap().event_id, id);
    // The first character of an id is 0 to 7. With 8 more it would be the same 128 bits.
    let first = id.chars().next().unwrap().to_digit(10).unwrap();
    let beyond = format!(
        "{}{}",
        ["8", "9", "A", "B", "C", "D", "E", "F"][first as usize],
        &id[1..]
    );
    let request = FindEventRequest { event_id: beyond };
    let refused = client.log.find_event(request).await.unwrap_err();
    let expected = expectation(Code::InvalidArgument, "INVALID_ARGUMENT", "event_id");
    assert_eq!(error_of(&refused), expected);
    // A receipt has the id as it is stored.
    let again = Event {
        event_id: id.to_lowercase(),
        ..custom_event(1)
    };
    let receipts = client.try_publish(vec![again]).await.unwrap();
    assert_eq!(
        (&*receipts[0].event_id, receipts[0].duplicate),
        (&*id, true)
    );
    let mut stream = client.subscribe(after(0)).await;
    assert_eq!(next(&mut stream).await.unwrap().event_id, id);
    server.stop().await;
}
