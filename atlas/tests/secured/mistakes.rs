//! The program `atlas` where people mistype, and what it prints.

use std::net::TcpListener;

use test_support::Folder;

use crate::harness::{Ended, Place};

/// Runs the program beside the services of this process.
async fn atlas(place: &Place, arguments: &[&str]) -> Ended {
    let mut command = place.command(arguments, &[]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code(),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_explained() {
    let place = Place::create().await;
    place.new_token("reader", "tokens.toml", &["--scope", "read"]);
    let secured = place.collector("tokens.toml", &[]).await;
    let plain = place.plain_collector().await;
    let without_tls = secured.grpc.replace("https://", "http://");
    let with_tls = plain.grpc.replace("http://", "https://");
    for (server, advice) in [
        (&*without_tls, "expects TLS: write https://"),
        (&with_tls, "does not use TLS: write http://"),
        (&plain.rest, "is a port of REST: gRPC has one of its own"),
        ("ftp://localhost:5001", "it begins with ftp://"),
    ] {
        for command in [&["info"][..], &["tail"], &["range"]] {
            let ended = atlas(&place, &[&["--server", server], command].concat()).await;
            assert_eq!(ended.code, Some(2), "{server}: {ended:?}");
            assert!(ended.errors.contains(advice), "{server}: {ended:?}");
        }
    }
    // Nobody listens there any more.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let nobody = format!("http://{}", free.unwrap());
    let ended = atlas(&place, &["tail", "--no-follow", "--server", &nobody]).await;
    assert_eq!(ended.code, Some(3), "{ended:?}");
    secured.stop().await;
    plain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_can_be_narrowed() {
    let place = Place::create().await;
    let plain = place.plain_collector().await;
    let server = ["--server", plain.grpc.as_str()];
    let publish = async |event_type: &str, data: &str| {
        let arguments = ["publish", "--type", event_type, "--data", data];
        let ended = atlas(&place, &[&server[..], &arguments].concat()).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
    };
    for n in 0..3 {
        let data = format!("{{\"n\": {n}, \"half\": {n}.5}}");
        publish("OrderPlaced", &data).await;
    }
    for (pattern, severity) in [("a", "warning"), ("b", "warning"), ("b", "critical")] {
        let crossed = format!(
            "{{\"patternId\": \"{pattern}\", \"severity\": \"{severity}\", \"direction\": \"CROSSING_DIRECTION_ENTERED\", \
             \"observationDate\": \"2026-01-02\", \"value\": \"0.333333333333\", \"threshold\": \"1\"}}"
        );
        publish("ThresholdCrossedEvent", &crossed).await;
    }
    let tail = async |flags: &[&str]| {
        let arguments = [&server[..], &["tail", "--no-follow"], flags].concat();
        let ended = atlas(&place, &arguments).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let positions = ended.output.lines().map(|line| {
            let position = line.split_whitespace().next().unwrap();
            position.parse::<u64>().unwrap()
        });
        (positions.collect::<Vec<_>>(), ended)
    };
    let (positions, _) = tail(&["--last", "2"]).await;
    assert_eq!(positions, [5, 6]);
    let (positions, _) = tail(&["--last", "100"]).await;
    assert_eq!(positions, [1, 2, 3, 4, 5, 6]);
    let (positions, all) = tail(&["--from-beginning", "--pattern", "b"]).await;
    assert_eq!(positions, [5, 6]);
    assert!(all.output.contains("(0.333333 against 1)"), "{all:?}");
    let only = [
        "--from-beginning",
        "--pattern",
        "b",
        "--severity",
        "critical",
    ];
    let (positions, _) = tail(&only).await;
    assert_eq!(positions, [6]);
    let (positions, orders) = tail(&["--from-beginning", "--type", "custom:OrderPlaced"]).await;
    assert_eq!(positions, [1, 2, 3]);
    let first = orders.output.lines().next().unwrap();
    assert!(first.ends_with("{\"half\":0.5,\"n\":0}"), "{first}");
    let (_, with_ids) = tail(&["--last", "1", "--ids"]).await;
    let id = with_ids.output.split_whitespace().nth(2).unwrap();
    assert_eq!(id.len(), 26, "{with_ids:?}");
    let (positions, nothing) = tail(&["--from-beginning", "--series", "UNRTE"]).await;
    assert!(positions.is_empty());
    assert!(
        nothing.errors.contains("matches series UNRTE"),
        "{nothing:?}"
    );

    let range = [&server[..], &["range", "--count", "2"]].concat();
    let ended = atlas(&place, &range).await;
    assert_eq!(ended.output.lines().count(), 2, "{ended:?}");
    let range = [&server[..], &["range", "--pattern", "c"]].concat();
    let ended = atlas(&place, &range).await;
    assert!(ended.errors.contains("matches pattern c"), "{ended:?}");
    plain.stop().await;
}

#[test]
fn shells_and_manuals_know_the_commands() {
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_atlas"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]);
        assert!(script.contains("from-beginning"), "{shell}");
    }
    let folder = Folder::create();
    run(&["man", folder.path().to_str().unwrap()]);
    for page in ["atlas.1", "atlas-tail.1", "atlas-token-new.1"] {
        let page = std::fs::read_to_string(folder.file(page)).unwrap();
        assert!(page.contains(".SH NAME"));
    }
}
