//! Whatever text a client sends in whatever place, it is the client's fault.

use std::collections::BTreeSet;

use atlas_events::{
    CustomEvent, Event, FILE_DESCRIPTOR_SET, ParkedEventFilter, PublishRequest,
    PublishStreamResponse, ResetCheckpointRequest, SubscriptionRequest, event::Payload,
    publish_stream_response::Outcome, reset_checkpoint_request::Target,
};
use bytes::{Buf, BufMut, Bytes};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint},
};
use prost_types::{
    DescriptorProto, FileDescriptorSet, MethodDescriptorProto, field_descriptor_proto::Type,
};
use reqwest::{Method, StatusCode};
use test_support::{Text, hostile_requests, texts};
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::Channel,
};

use crate::{bed::DEADLINE, serving::rest::Asked};

/// Messages as they are on the wire.
#[derive(Debug, Clone, Copy)]
struct Raw;

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

/// The contract.
struct Contract(FileDescriptorSet);

impl Contract {
    fn read() -> Self {
        Self(FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap())
    }

    /// All calls: path and method.
    fn calls(&self) -> Vec<(String, &MethodDescriptorProto)> {
        let mut calls = Vec::new();
        for file in &self.0.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    calls.push((format!("/{package}.{service}/{}", method.name()), method));
                }
            }
        }
        calls
    }

    /// A message by its full name, which begins with a dot; also one within another.
    fn message(&self, name: &str) -> Option<&DescriptorProto> {
        self.0.file.iter().find_map(|file| {
            let rest = name.strip_prefix(&format!(".{}.", file.package()))?;
            let (outer, inner) = rest.split_once('.').unwrap_or((rest, ""));
            let outer = file.message_type.iter().find(|m| m.name() == outer)?;
            match inner {
                "" => Some(outer),
                inner => outer.nested_type.iter().find(|m| m.name() == inner),
            }
        })
    }

    /// The paths to all texts within a message, by the numbers of the fields.
    fn texts(&self, name: &str) -> Vec<Vec<u32>> {
        let (mut found, mut within) = (Vec::new(), BTreeSet::new());
        self.collect(name, &mut Vec::new(), &mut within, &mut found);
        found
    }

    fn collect(
        &self,
        name: &str,
        path: &mut Vec<u32>,
        within: &mut BTreeSet<String>,
        found: &mut Vec<Vec<u32>>,
    ) {
        // What holds itself is looked at once.
        if !within.insert(name.to_owned()) {
            return;
        }
        for field in &self.message(name).unwrap().field {
            path.push(field.number().cast_unsigned());
            match field.r#type() {
                Type::String => found.push(path.clone()),
                Type::Message => self.collect(field.type_name(), path, within, found),
                _ => {}
            }
            path.pop();
        }
        within.remove(name);
    }
}

/// A request that is fine, before something is added to it.
fn fine(path: &str) -> Vec<u8> {
    match path {
        "/atlas.events.EventStream/SubscribeToEvents" => SubscriptionRequest {
            after_position: Some(0),
            ..SubscriptionRequest::default()
        }
        .encode_to_vec(),
        "/atlas.events.EventPublisher/Publish" | "/atlas.events.EventPublisher/PublishStream" => {
            let events = vec![Event {
                source_service: "S".to_owned(),
                payload: Some(Payload::Custom(CustomEvent {
                    r#type: "T".to_owned(),
                    data: None,
                })),
                ..Event::default()
            }];
            let request = PublishRequest {
                events,
                ..PublishRequest::default()
            };
            request.encode_to_vec()
        }
        "/atlas.events.ParkedEvents/ListParkedEvents"
        | "/atlas.events.ParkedEvents/RetryParkedEvents"
        | "/atlas.events.ParkedEvents/DiscardParkedEvents" => {
            around(&[1], ParkedEventFilter::default().encode_to_vec())
        }
        "/atlas.events.Checkpoints/ResetCheckpoint" => ResetCheckpointRequest {
            source: String::new(),
            target: Some(Target::Position(1)),
        }
        .encode_to_vec(),
        _ => Vec::new(),
    }
}

fn around(path: &[u32], inner: Vec<u8>) -> Vec<u8> {
    path.iter().rev().fold(inner, |inner, number| {
        let mut outer = Vec::new();
        encode_key(*number, WireType::LengthDelimited, &mut outer);
        encode_varint(inner.len() as u64, &mut outer);
        outer.extend(inner);
        outer
    })
}

/// How a call with a message is answered at first.
async fn answer(channel: &Channel, path: &str, message: Vec<u8>) -> Result<Option<Bytes>, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let request = Request::new(futures::stream::iter([Bytes::from(message)]));
    let calling = client.streaming(request, path.parse().unwrap(), Raw);
    let answered = timeout(DEADLINE, calling).await.unwrap()?;
    let mut answers = answered.into_inner();
    let first = timeout(DEADLINE, answers.message()).await.unwrap()?;
    // Within a publish stream a refusal is a message.
    if let Some(first) = &first
        && path == "/atlas.events.EventPublisher/PublishStream"
        && let Some(Outcome::Refused(refused)) =
            PublishStreamResponse::decode(&**first).unwrap().outcome
    {
        return Err(Status::new(refused.code.into(), refused.message));
    }
    Ok(first)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_call_reaches_what_cannot_take_it() {
    let asked = Asked::create().await;
    let channel = Channel::from_shared(asked.life.grpc.clone()).unwrap();
    let channel = channel.connect().await.unwrap();
    let contract = Contract::read();
    let mut count = 0;
    let calls = contract.calls().into_iter();
    // The engine has no rules of alerts.
    let served = calls.filter(|(call, _)| !call.starts_with("/atlas.events.AlertRules/"));
    for (call, method) in served {
        for path in contract.texts(method.input_type()) {
            for (text, own) in texts() {
                let hostile = around(&path, own.into_bytes());
                // What is one message, not many, is merged with what was fine.
                let message = [fine(&call), hostile].concat();
                let answered = answer(&channel, &call, message).await;
                let message = format!("{call} {path:?} {text:?}: {answered:?}");
                match answered.map_err(|status| status.code()) {
                    Ok(_) => assert_ne!(text, Text::Nul, "{message}"),
                    Err(code) => assert!(
                        matches!(
                            code,
                            Code::InvalidArgument
                                | Code::NotFound
                                | Code::FailedPrecondition
                                | Code::ResourceExhausted
                        ),
                        "{message}"
                    ),
                }
                count += 1;
            }
        }
    }
    assert!(count > 150, "{count}");
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_request_reaches_what_cannot_take_it() {
    let asked = Asked::create().await;
    let (_, document) = asked.ask(Method::GET, "/openapi.json", None).await;
    let requests = hostile_requests(&document);
    assert!(requests.len() > 30, "{}", requests.len());
    for request in requests {
        let method: Method = request.method.parse().unwrap();
        let body = request.body.as_deref();
        let body = body.map(|body| serde_json::from_str(body).unwrap());
        let (status, answer) = asked.ask(method, &request.path, body).await;
        assert!(!status.is_server_error(), "{request:?}: {answer}");
        if request.text == Text::Nul {
            assert!(status.is_client_error(), "{request:?}: {answer}");
            // In words of ours, not for want of the database's.
            let of_database = "cannot be looked up or stored";
            let message = answer.to_string();
            assert!(!message.contains(of_database), "{request:?}: {message}");
        }
    }
    let (status, _) = asked.ask(Method::GET, "/readyz", None).await;
    assert_eq!(status, StatusCode::OK);
    asked.life.stop().await;
}
