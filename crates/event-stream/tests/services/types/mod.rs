//! Types that services register, and events of them.

mod publishing;
mod registering;

use std::collections::HashMap;

use atlas_events::{
    Any, Compatibility, Event, RegisterTypesRequest, RegisterTypesResponse, event::Payload,
    event_types_client::EventTypesClient,
};
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use test_support::custom_event;
use tonic::{Status, transport::Channel};

use crate::common::Server;

const FILE: &str = "shop/v1/order.proto";
const FIELDS: &str = "string order_id = 1; int64 cents = 2; repeated Line lines = 3;";

/// What `protoc --include_imports --descriptor_set_out` writes for one file with these fields.
fn order(fields: &str) -> Vec<u8> {
    let source = format!(
        "syntax = \"proto3\"; package shop.v1;
         import \"google/protobuf/timestamp.proto\";
         message OrderPlaced {{ {fields} }}
         message Line {{ string name = 1; google.protobuf.Timestamp at = 2; }}"
    );
    compile(&[(FILE, &source)])
}

#[derive(Debug)]
struct Sources(HashMap<String, String>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let source = self
            .0
            .get(name)
            .ok_or_else(|| Error::file_not_found(name))?;
        File::from_source(name, source)
    }
}

fn compile(sources: &[(&str, &str)]) -> Vec<u8> {
    let owned = (sources.iter()).map(|(file, source)| ((*file).to_owned(), (*source).to_owned()));
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(owned.collect()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    (compiler.open_files(sources.iter().map(|(file, _)| *file))).unwrap();
    compiler.encode_file_descriptor_set()
}

async fn types(server: &Server) -> EventTypesClient<Channel> {
    EventTypesClient::connect(server.url.clone()).await.unwrap()
}

async fn register(server: &Server, set: Vec<u8>) -> Result<RegisterTypesResponse, Status> {
    let request = RegisterTypesRequest {
        subject: "shop".to_owned(),
        version: 0,
        compatibility: Compatibility::Unspecified.into(),
        file_descriptor_set: set,
    };
    let answer = types(server).await.register_types(request).await;
    answer.map(tonic::Response::into_inner)
}

/// An event of the type `shop.v1.OrderPlaced`.
fn placed(n: u64, value: Vec<u8>) -> Event {
    Event {
        payload: Some(Payload::Typed(Any::new("shop.v1.OrderPlaced", value))),
        ..custom_event(n)
    }
}
