//! Batches of few bytes that would be much in memory are refused before anything is built.

use std::num::NonZeroU32;

use access::{Entry, Gate, Identity, Scope, Secret, Tokens};
use atlas_events::{
    Clock, PublishRequest, PublishStreamResponse, publish_stream_response::Outcome,
};
use bytes::Bytes;
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use prost::Message;
use test_support::{TestDatabase, custom_event};
use tokio::time::timeout;
use tonic::{Code, Request, Status, client::Grpc, transport::Channel};

use crate::{
    calls::unreadable::Raw,
    common::{DEADLINE, Server, error_of, expectation, fact},
};

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

/// What a publish stream answers to messages as they are on the wire.
async fn answers(server: &Server, token: &str, messages: Vec<Bytes>) -> Vec<Result<Bytes, Status>> {
    let channel = Channel::from_shared(server.url.clone()).unwrap();
    let mut client = Grpc::new(channel.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = Request::new(stream::iter(messages));
    let header = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", header);
    let path = "/atlas.events.EventPublisher/PublishStream"
        .parse()
        .unwrap();
    let calling = client.streaming(request, path, Raw);
    let answers = timeout(DEADLINE, calling).await.unwrap().unwrap();
    let answers = answers.into_inner().collect::<Vec<_>>();
    timeout(DEADLINE, answers).await.unwrap()
}

fn outcome(answer: &Result<Bytes, Status>) -> Outcome {
    let answer = answer.as_ref().unwrap().clone();
    PublishStreamResponse::decode(answer)
        .unwrap()
        .outcome
        .unwrap()
}

fn refusal(answer: &Result<Bytes, Status>) -> (String, String) {
    match outcome(answer) {
        Outcome::Refused(refused) => (refused.reason, refused.message),
        other => panic!("{other:?}"),
    }
}

fn request(n: u64) -> PublishRequest {
    PublishRequest {
        events: vec![custom_event(n)],
        ..PublishRequest::default()
    }
}

/// One event of objects with an entry each, of six bytes.
fn objects(count: usize) -> Vec<u8> {
    let object: &[u8] = &[0x0a, 4, 0x2a, 2, 0x0a, 0];
    // The path from the request to the list, by the numbers of the fields.
    [1u8, 30, 2, 1, 2, 6]
        .into_iter()
        .rev()
        .fold(object.repeat(count), |inner, number| {
            let mut outer = Vec::new();
            prost::encoding::encode_key(
                number.into(),
                prost::encoding::WireType::LengthDelimited,
                &mut outer,
            );
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        })
}

#[tokio::test]
async fn much_in_few_bytes_is_refused_unbuilt_and_a_stream_goes_on() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let before = peak_bytes();
    let goes_on = PublishRequest {
        continue_after_refusal: true,
        ..request(1)
    };
    let messages = vec![
        goes_on.encode_to_vec().into(),
        Bytes::from([0x0a, 0].repeat(2_097_120)),
        objects(690_000).into(),
        request(2).encode_to_vec().into(),
    ];
    let answers = answers(&server, "", messages).await;
    assert_eq!(answers.len(), 4, "{answers:?}");
    let (reason, message) = refusal(&answers[1]);
    assert_eq!(reason, "BATCH_TOO_LARGE");
    assert_eq!(
        message,
        "events: 2097120 in one batch are more than the limit, 1000"
    );
    let (reason, message) = refusal(&answers[2]);
    assert_eq!(reason, "BATCH_TOO_LARGE");
    assert!(message.contains("64 MiB of memory"), "{message}");
    for (answer, position) in [(&answers[0], 1), (&answers[3], 2)] {
        match outcome(answer) {
            Outcome::Stored(stored) => assert_eq!(stored.receipts[0].position, position),
            other => panic!("{other:?}"),
        }
    }
    // The client is in this process, too.
    let grown = peak_bytes() - before;
    assert!(grown < 100_000_000, "{grown}");

    // Calls are refused in the same words, and the first refused message ends another stream.
    let mut client = server.client().await;
    let events = vec![atlas_events::Event::default(); 1_001];
    let refused = client.try_publish(events).await.unwrap_err();
    let expected = expectation(Code::ResourceExhausted, "BATCH_TOO_LARGE", "events");
    assert_eq!(error_of(&refused), expected);
    let messages = vec![objects(690_000).into(), request(3).encode_to_vec().into()];
    let mut answers = self::answers(&server, "", messages).await;
    assert_eq!(answers.len(), 2, "{answers:?}");
    let refused = answers.pop().unwrap().unwrap_err();
    assert_eq!(error_of(&refused), expected);
    assert_eq!(fact(&refused, "memory_bytes_max"), "67108864");
    server.stop().await;
}

#[tokio::test]
async fn what_a_token_may_send_is_counted_as_it_arrives() {
    let secret = Secret::generate().unwrap();
    let identity = Identity::Token(secret.hash());
    let mut entry = Entry::new("small", identity, vec![Scope::Publish]);
    entry.batch_bytes_max = Some(300);
    entry.events_per_second = NonZeroU32::new(1_000);
    let database = TestDatabase::create().await;
    let config = StreamConfig {
        gate: Gate::Tokens(Tokens::new(vec![entry], Clock::system())),
        ..StreamConfig::default()
    };
    let server = Server::start_with(&database, LogConfig::default(), config).await;
    let within = PublishRequest {
        continue_after_refusal: true,
        ..request(1)
    };
    let within = within.encode_to_vec();
    // A field that nobody knows, and that nothing is built from.
    let unknown = [&[0x7a, 0xac, 0x02][..], &[0; 300]].concat();
    let beyond = [&within[..], &unknown].concat();
    let messages = vec![within.into(), beyond.clone().into()];
    let answers = answers(&server, secret.expose(), messages).await;
    assert!(matches!(outcome(&answers[0]), Outcome::Stored(_)));
    let (reason, message) = refusal(&answers[1]);
    assert_eq!(reason, "BATCH_BYTES_TOO_LARGE");
    assert!(
        message.contains(&format!("{} bytes", beyond.len())),
        "{message}"
    );
    server.stop().await;
}
