//! Generates the types, clients, servers and the JSON mapping from the contract, without protoc.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const CONTRACT: [&str; 4] = [
    "atlas/events/events.proto",
    "atlas/events/consumer.proto",
    "atlas/events/alerts.proto",
    "atlas/events/event_types.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in CONTRACT {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(CONTRACT, ["."])?;
    let encoded = descriptors.encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.binpb"), &encoded)?;

    tonic_prost_build::configure()
        .extern_path(".google.protobuf.Any", "crate::Any")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .extern_path(".google.protobuf.Duration", "::pbjson_types::Duration")
        .extern_path(".google.protobuf.Struct", "::pbjson_types::Struct")
        .btree_map(".")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .extern_path(".google.protobuf.Any", "crate::Any")
        .extern_path(".google.protobuf.Timestamp", "crate::Timestamp")
        .extern_path(".google.protobuf.Duration", "::pbjson_types::Duration")
        .extern_path(".google.protobuf.Struct", "::pbjson_types::Struct")
        .btree_map(["."])
        .build(&[".atlas.events"])?;
    Ok(())
}
