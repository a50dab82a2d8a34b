//! Limits on requests, and the record of requests.

use std::time::Duration;

use fred_stand_in::{Fault, RateLimit, RefusalBody, StandIn};

use crate::client::{Fred, KEY, asking, small};

#[tokio::test]
async fn a_third_request_within_a_second_gets_a_firewalls_page() {
    let fred = Fred::start(small().rate_limit(RateLimit::default())).await;
    let path = asking("series", "series_id=SMALL");
    let (one, two, three) = tokio::join!(fred.get(&path), fred.get(&path), fred.get(&path));
    let mut statuses = [
        one.status.as_u16(),
        two.status.as_u16(),
        three.status.as_u16(),
    ];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429]);
    let refused = [one, two, three]
        .into_iter()
        .find(|answer| answer.status == 429)
        .unwrap();
    assert_eq!(refused.content_type(), "text/html; charset=UTF-8");
    assert!(serde_json::from_str::<serde_json::Value>(&refused.body).is_err());

    let other_key = path.replace(KEY, "another0key0another0key0another0");
    assert_eq!(
        fred.get(&other_key).await.status,
        200,
        "keys are counted apart"
    );
}

#[tokio::test]
async fn a_hundred_and_twenty_requests_a_minute_are_allowed() {
    let limit = RateLimit {
        per_second: 1_000,
        body: RefusalBody::Fred,
        ..RateLimit::default()
    };
    let fred = Fred::start(small().rate_limit(limit)).await;
    let path = asking("series", "series_id=SMALL");
    for _ in 0..120 {
        assert_eq!(fred.get(&path).await.status, 200);
    }
    let refused = fred.get(&path).await;
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.body,
        r#"{"error_code":429,"error_message":"Too Many Requests.  Exceeded Rate Limit"}"#
    );
}

#[tokio::test]
async fn requests_are_recorded_with_their_times_and_without_the_key() {
    let fred = Fred::start(StandIn::builder().series(["UNRATE"]).rate_limit(None)).await;
    let slow = Duration::from_millis(20);
    fred.stand_in.fail_next(1, Fault::Hang { millis: 20 });
    fred.ask("series", "series_id=UNRATE&realtime_start=2000-01-01")
        .await;
    fred.ask("series/observations", "series_id=NONE").await;

    let requests = fred.stand_in.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(
        (requests[0].path.as_str(), requests[0].status),
        ("/fred/series", 200)
    );
    assert_eq!(
        (requests[0].series_id(), requests[1].series_id()),
        (Some("UNRATE"), Some("NONE"))
    );
    assert_eq!(
        (requests[1].path.as_str(), requests[1].status),
        ("/fred/series/observations", 400)
    );
    assert!(requests[1].since_start - requests[0].since_start >= slow);
    let parameters: Vec<&str> = requests[0].parameters.keys().map(String::as_str).collect();
    assert_eq!(parameters, ["file_type", "realtime_start", "series_id"]);

    let served = fred.get("/stand-in/requests").await.json();
    assert_eq!(
        served.as_array().unwrap().len(),
        2,
        "the stand-in's own paths are not recorded"
    );
    assert_eq!(served[1]["parameters"]["series_id"], "NONE");
    assert!(served[1]["since_start_millis"].as_u64() >= served[0]["since_start_millis"].as_u64());
}
