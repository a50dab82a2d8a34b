//! The ways out. Each gives the events in the order of their positions, in the JSON mapping.

use std::{io::Write, path::PathBuf, process::Stdio};

use atlas_events::{FILE_DESCRIPTOR_SET, TimeRangeRequest, event_stream_client::EventStreamClient};
use serde_json::Value;
use sqlx::Connection;
use test_support::{Folder, TestDatabase};
use tokio::{process::Command, time::timeout};

use crate::{DEADLINE, typed::Typed, up::Up};

/// Reads length-delimited events by the contract's descriptors alone, and prints a JSON line for each.
const PYTHON: &str = r#"
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf import any_pb2, empty_pb2, struct_pb2, timestamp_pb2, duration_pb2
pool = descriptor_pool.Default()
for name in sys.argv[1:3]:
    files = descriptor_pb2.FileDescriptorSet.FromString(open(name, "rb").read())
    for file in files.file:
        if not file.name.startswith("google/"):
            pool.Add(file)
event = message_factory.GetMessageClass(pool.FindMessageTypeByName("atlas.events.Event"))
with open(sys.argv[3], "rb") as events:
    while length := events.read(8):
        read = event.FromString(events.read(int.from_bytes(length, "big")))
        print(json_format.MessageToJson(read, indent=None))
"#;

fn script(name: &str) -> Command {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts")).join(name);
    let mut command = Command::new(path);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Vec<u8> {
    let output = timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output.stdout
}

fn values(text: &[u8]) -> Vec<Value> {
    let values = serde_json::Deserializer::from_slice(text).into_iter();
    values.collect::<Result<_, _>>().unwrap()
}

/// All events, as this crate's own clients decode them.
pub(crate) async fn by_prost(up: &Up, typed: &Typed) -> Vec<Value> {
    let mut client = EventStreamClient::new(up.channel.clone());
    let stream = client.get_events_since(TimeRangeRequest::default()).await;
    let (mut stream, mut events) = (stream.unwrap().into_inner(), Vec::new());
    while let Some(event) = stream.message().await.unwrap() {
        events.push(typed.shown(&event));
    }
    events
}

/// By `grpcurl` and reflection, which is Go's protobuf.
pub(crate) async fn by_go(up: &Up) -> Vec<Value> {
    let mut command = script("grpcurl");
    let address = up.collector_grpc.trim_start_matches("http://");
    command.args([
        "-plaintext",
        address,
        "atlas.events.EventStream/GetEventsSince",
    ]);
    values(&output(command).await)
}

/// By Python's protobuf.
pub(crate) async fn by_python<'a>(
    encoded: impl Iterator<Item = &'a Vec<u8>>,
    typed: &Typed,
) -> Vec<Value> {
    let folder = Folder::create();
    let mut file = std::fs::File::create(folder.path().join("events")).unwrap();
    for event in encoded {
        file.write_all(&(event.len() as u64).to_be_bytes()).unwrap();
        file.write_all(event).unwrap();
    }
    std::fs::write(folder.path().join("contract"), FILE_DESCRIPTOR_SET).unwrap();
    std::fs::write(folder.path().join("types"), &typed.descriptors).unwrap();
    let mut command = script("python-protobuf");
    command
        .args(["-c", PYTHON])
        .arg(folder.path().join("contract"));
    command.arg(folder.path().join("types"));
    command.arg(folder.path().join("events"));
    values(&output(command).await)
}

/// By REST, page by page.
pub(crate) async fn by_rest(up: &Up) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), Some(0));
    while let Some(position) = after {
        let path = format!("/v1/events?after_position={position}");
        let mut page = up.collector(&path).await;
        events.append(page["events"].as_array_mut().unwrap());
        after = page["next"].as_u64();
    }
    events
}

/// An event as it is stored.
pub(crate) struct Stored {
    pub(crate) payload: Value,
    pub(crate) encoded: Vec<u8>,
}

pub(crate) async fn stored(database: &TestDatabase) -> Vec<Stored> {
    let mut connection = sqlx::PgConnection::connect(&database.url()).await.unwrap();
    let rows = sqlx::query_as("select payload, encoded from collector.events order by position");
    let rows: Vec<(Value, Vec<u8>)> = rows.fetch_all(&mut connection).await.unwrap();
    let stored = |(payload, encoded)| Stored { payload, encoded };
    rows.into_iter().map(stored).collect()
}
