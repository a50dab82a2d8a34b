//! What somebody asks to be evaluated costs a bounded amount of work, memory and time.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{rest::Asked, scenario::HIGH};

/// A refusal takes no longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

async fn check_refused(asked: &Asked, definition: &str, reason: &str) {
    let began = Instant::now();
    let request = Some(json!({"definition": definition}));
    let (status, problem) = asked.ask(Method::POST, "/v1/evaluate", request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(reason), "{detail}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

fn test_with(values: &str) -> String {
    let from = "2020-01-01";
    format!(
        "[[tests]]\nname = \"t\"\nexpect = []\n\
         series.ALPHA = {{ from = \"{from}\", every = \"1mo\", values = \"{values}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_bounded_before_it_costs_anything() {
    let asked = Asked::create().await;
    let with = |tests: &str| format!("{HIGH}\n{tests}");
    let count = usize::MAX;
    let counts = format!("1 1*{count}");
    check_refused(&asked, &with(&test_with(&counts)), "at most 5000 values").await;
    let many = test_with("1*5000").repeat(50);
    check_refused(&asked, &with(&many), "more than 200000 values").await;
    let many = test_with("1").repeat(101);
    check_refused(&asked, &with(&many), "at most 100 tests").await;
    let long = format!("{HIGH}# {}", "x".repeat(300_000));
    check_refused(&asked, &long, "longer than").await;
    let named = HIGH.replacen("name = \"", &format!("name = \"{}", "long ".repeat(40)), 1);
    check_refused(&asked, &named, "a name has").await;
    // It goes on to serve.
    let request = json!({"definition": HIGH});
    asked.post("/v1/evaluate", request).await;
    asked.life.stop().await;
}
