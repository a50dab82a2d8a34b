//! What generic tools rely on: health checks, and reflection for `grpcurl`.

use atlas_events::SubscriptionRequest;
use event_log::LogConfig;
use event_stream::StreamConfig;
use futures::{StreamExt, stream};
use prost::Message;
use prost_types::FileDescriptorProto;
use test_support::TestDatabase;
use tokio::time::timeout;
use tonic::{Code, transport::Channel};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
};

use crate::common::{Client, DEADLINE, Server, after};

const SERVICES: [&str; 7] = [
    "atlas.events.EventLog",
    "atlas.events.EventPublisher",
    "atlas.events.EventStream",
    "atlas.events.EventTypes",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

async fn channel(server: &Server) -> Channel {
    let endpoint = Channel::from_shared(server.url.clone()).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn each_service_is_healthy() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", SERVICES[0], SERVICES[1], SERVICES[2], SERVICES[3]] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status, ServingStatus::Serving as i32);
    }
    let service = "atlas.events.Nothing".to_owned();
    let unknown = health
        .check(HealthCheckRequest { service })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn who_watches_a_service_learns_that_it_stops() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut health = HealthClient::new(channel(&server).await);
    let service = SERVICES[2].to_owned();
    let watch = health.watch(HealthCheckRequest { service }).await.unwrap();
    let mut statuses = watch.into_inner();
    let first = timeout(DEADLINE, statuses.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.unwrap().status, ServingStatus::Serving as i32);
    server.begin_shutdown();
    let last = timeout(DEADLINE, statuses.message())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.unwrap().status, ServingStatus::NotServing as i32);
    // The stream ends too, or it would keep the server from stopping.
    server.stopped().await;
}

/// The two versions of reflection differ in nothing but their name.
macro_rules! reflection_tests {
    ($version:ident) => {
        mod $version {
            use tonic_reflection::pb::$version::{
                ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            use super::*;

            async fn ask(server: &Server, request: MessageRequest) -> MessageResponse {
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(request),
                };
                let mut client = ServerReflectionClient::new(channel(server).await);
                let answers = client.server_reflection_info(stream::iter([request])).await;
                let answer = answers.unwrap().into_inner().next().await;
                answer.unwrap().unwrap().message_response.unwrap()
            }

            #[tokio::test]
            async fn lists_the_services() {
                let database = TestDatabase::create().await;
                let server = Server::start(&database).await;
                let answer = ask(&server, MessageRequest::ListServices(String::new())).await;
                let MessageResponse::ListServicesResponse(list) = answer else {
                    panic!("{answer:?}");
                };
                let mut names: Vec<_> = list.service.into_iter().map(|s| s.name).collect();
                names.sort();
                // Each version describes itself alone.
                let wanted: Vec<_> = SERVICES
                    .into_iter()
                    .filter(|name| {
                        let own = concat!("grpc.reflection.", stringify!($version), ".");
                        !name.starts_with("grpc.reflection.") || name.starts_with(own)
                    })
                    .collect();
                assert_eq!(names, wanted);
            }

            #[tokio::test]
            async fn an_unknown_name_is_answered_in_its_place() {
                let database = TestDatabase::create().await;
                let server = Server::start(&database).await;
                let asked = [
                    MessageRequest::FileContainingSymbol("atlas.events.Nope".to_owned()),
                    MessageRequest::FileByFilename("nope.proto".to_owned()),
                    MessageRequest::FileContainingSymbol("atlas.events.Event".to_owned()),
                ];
                let requests = asked.map(|request| ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(request),
                });
                let mut client = ServerReflectionClient::new(channel(&server).await);
                let answers = client.server_reflection_info(stream::iter(requests)).await;
                let mut answers = answers.unwrap().into_inner();
                for _ in 0..2 {
                    let answer = answers.next().await.unwrap().unwrap();
                    let Some(MessageResponse::ErrorResponse(error)) = answer.message_response
                    else {
                        panic!("{answer:?}");
                    };
                    assert_eq!(error.error_code, Code::NotFound as i32);
                }
                let known = answers.next().await.unwrap().unwrap().message_response;
                assert!(matches!(
                    known,
                    Some(MessageResponse::FileDescriptorResponse(_))
                ));
            }

            #[tokio::test]
            async fn is_not_there_where_it_is_switched_off() {
                let database = TestDatabase::create().await;
                let config = StreamConfig {
                    reflection: false,
                    ..StreamConfig::default()
                };
                let server = Server::start_with(&database, LogConfig::default(), config).await;
                let request = ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(MessageRequest::ListServices(String::new())),
                };
                let mut client = ServerReflectionClient::new(channel(&server).await);
                let asked = client.server_reflection_info(stream::iter([request])).await;
                assert_eq!(asked.unwrap_err().code(), Code::Unimplemented);
            }

            #[tokio::test]
            async fn describes_services_and_messages() {
                let database = TestDatabase::create().await;
                let server = Server::start(&database).await;
                for symbol in [
                    "atlas.events.EventStream",
                    "atlas.events.EventPublisher.PublishStream",
                    "atlas.events.SeriesCollectedEvent",
                ] {
                    let request = MessageRequest::FileContainingSymbol(symbol.to_owned());
                    let answer = ask(&server, request).await;
                    let MessageResponse::FileDescriptorResponse(files) = answer else {
                        panic!("{answer:?}");
                    };
                    let encoded = &files.file_descriptor_proto[0];
                    let file = FileDescriptorProto::decode(encoded.as_slice()).unwrap();
                    assert_eq!(file.name(), "atlas/events/events.proto");
                    assert_eq!(file.service[0].method[0].name(), "SubscribeToEvents");
                    // What it imports is there as well, or a tool could not make sense of it.
                    for import in &file.dependency {
                        let request = MessageRequest::FileByFilename(import.clone());
                        let answer = ask(&server, request).await;
                        let found = matches!(answer, MessageResponse::FileDescriptorResponse(_));
                        assert!(found, "{import}: {answer:?}");
                    }
                }
            }
        }
    };
}

reflection_tests!(v1);
reflection_tests!(v1alpha);

#[tokio::test]
async fn an_unknown_method_is_unimplemented() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let mut client = tonic::client::Grpc::new(channel(&server).await);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<SubscriptionRequest, atlas_events::Event>::default();
    let path = http::uri::PathAndQuery::from_static("/atlas.events.EventStream/Unsubscribe");
    let answer = client
        .server_streaming(tonic::Request::new(after(0)), path, codec)
        .await;
    assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    let mut client: Client = server.client().await;
    client.info().await;
}
