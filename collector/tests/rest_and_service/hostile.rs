//! Whatever text a client sends in whatever place, it is the client's fault, and a batch costs what
//! it may cost.

use reqwest::Method;
use test_support::{TestDatabase, Text, hostile_requests};

use crate::{
    harness::{Collector, JSON, KEY},
    series::{asking, fred},
};

#[tokio::test]
async fn no_text_of_a_request_reaches_what_cannot_take_it() {
    let database = TestDatabase::create().await;
    let fred = fred().await;
    let collector = Collector::start_with(&database, &asking(&fred, KEY)).await;
    let document = collector.get("/openapi.json").await.ok();
    let requests = hostile_requests(&document);
    assert!(requests.len() > 50, "{}", requests.len());
    for request in requests {
        let method: Method = request.method.parse().unwrap();
        let body = request.body.clone().map(|body| (JSON, body));
        let answer = collector.send(method, &request.path, body).await;
        let status = answer.status.as_u16();
        assert!(status < 500, "{request:?}: {answer:?}");
        if request.text == Text::Nul {
            assert!((400..500).contains(&status), "{request:?}: {answer:?}");
            // In words of ours, not for want of the database's.
            let of_database = "cannot be looked up or stored";
            assert!(
                !answer.text.contains(of_database),
                "{request:?}: {answer:?}"
            );
        }
    }
    collector.stop().await;
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

#[tokio::test]
async fn a_batch_of_much_in_few_bytes_is_refused_before_it_is_built() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let before = peak_bytes();
    let many = |unit: &str, count: usize| vec![unit; count].join(",");
    let body = format!(r#"{{"events":[{}]}}"#, many("{}", 1_390_000));
    let body = Some((JSON, body));
    let answer = collector.send(Method::POST, "/v1/events", body).await;
    let words = "holds 1390000 events";
    answer.field_problem(400, "invalid-request", "events", words);
    for unit in [r#"{"a":1}"#, "[1]", "null"] {
        let values = many(unit, 4_100_000 / (unit.len() + 1));
        let custom = format!(r#"{{"custom":{{"type":"T","data":{{"v":[{values}]}}}}}}"#);
        let body = Some((JSON, format!(r#"{{"events":[{custom}]}}"#)));
        let answer = collector.send(Method::POST, "/v1/events", body).await;
        answer.problem(413, "too-large");
    }
    // The client's own copies of the text included.
    let grown = peak_bytes() - before;
    assert!(grown < 100_000_000, "{grown}");
    collector.stop().await;
}
