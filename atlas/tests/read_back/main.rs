//! Whatever one way in accepts, every way out can read: gRPC with prost, Go and Python, REST, SQL and
//! the engine. Real processes, and the readers that people use.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod candidates;
mod coverage;
mod publish;
mod readers;
mod typed;
mod up;

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use test_support::{TestDatabase, eventually};

use typed::Typed;
use up::Up;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_is_accepted_is_read_by_every_reader() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = TestDatabase::create().await;
    let up = Up::start(&database);
    let typed = Typed::register(&up).await;
    let mut candidates = candidates::all();
    candidates.extend(typed::candidates(candidates::texts()));
    let mut accepted = 0;
    for candidate in &candidates {
        let by_rest = publish::over_rest(&up, candidate).await;
        let by_grpc = publish::over_grpc(&up, &typed, candidate).await;
        assert_eq!(by_rest, by_grpc, "REST and gRPC on {candidate}");
        accepted += u64::from(by_rest) * 2;
    }
    // Bounds are met from both sides.
    assert!(accepted > candidates.len() as u64, "{accepted}");
    assert!(accepted < candidates.len() as u64 * 2, "{accepted}");

    let expected = readers::by_prost(&up, &typed).await;
    assert_eq!(expected.len() as u64, accepted);
    // Every field and variant of every event that can be stored was among them.
    assert_eq!(coverage::missing(&expected), BTreeSet::new());
    assert_same(&expected, &readers::by_go(&up).await, "Go");
    assert_same(&expected, &readers::by_rest(&up).await, "REST");
    let stored = readers::stored(&database).await;
    let encoded = stored.iter().map(|event| &event.encoded);
    let by_python = readers::by_python(encoded, &typed).await;
    for ((expected, stored), by_python) in expected.iter().zip(&stored).zip(&by_python) {
        // What is stored lacks what the server adds.
        let mut published = expected.clone();
        for member in ["position", "recordedAt"] {
            published.as_object_mut().unwrap().remove(member).unwrap();
        }
        assert_same_event(&published, by_python, "Python");
        let name = payload_of(expected);
        assert_same_event(&expected[name], &stored.payload, "SQL");
    }
    assert_eq!(
        (stored.len(), by_python.len()),
        (expected.len(), expected.len())
    );

    // The engine has read all of them and set none aside.
    eventually(DEADLINE, async || {
        let checkpoints = up.engine("/v1/checkpoints").await;
        checkpoints["checkpoints"][0]["position"].as_u64() == Some(accepted)
    })
    .await;
    let parked = up.engine("/v1/parked").await;
    assert_eq!(parked["events"].as_array().unwrap().len(), 0, "{parked}");
}

/// The name of the payload's member.
fn payload_of(event: &Value) -> &'static str {
    let known = [
        "custom",
        "seriesCollected",
        "collectionFailed",
        "thresholdCrossed",
        "regimeTransition",
        "definitionChanged",
        "alertChanged",
        "deliveryChanged",
        "typed",
    ];
    known
        .into_iter()
        .find(|name| event.get(name).is_some())
        .unwrap()
}

fn assert_same(expected: &[Value], read: &[Value], reader: &str) {
    for (expected, read) in expected.iter().zip(read) {
        assert_same_event(expected, read, reader);
    }
    assert_eq!(expected.len(), read.len(), "{reader}");
}

fn assert_same_event(expected: &Value, read: &Value, reader: &str) {
    assert!(
        candidates::is_same(expected, read),
        "{reader} reads {read}\ninstead of {expected}"
    );
}
