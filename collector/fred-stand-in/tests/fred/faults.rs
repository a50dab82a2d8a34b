//! Failures on request.

use std::time::Duration;

use fred_stand_in::Fault;

use crate::client::{Answer, Fred, asking, small};

async fn ask(fred: &Fred) -> Answer {
    fred.ask("series", "series_id=SMALL").await
}

#[tokio::test]
async fn failing_statuses_are_answered_as_often_as_configured() {
    let fred = Fred::start(small()).await;
    fred.stand_in.fail_next(2, Fault::InternalError);
    fred.stand_in.fail_next(1, Fault::Unavailable);
    fred.stand_in.fail_next(
        1,
        Fault::TooManyRequests {
            retry_after_seconds: Some(7),
        },
    );
    fred.stand_in.fail_next(
        1,
        Fault::TooManyRequests {
            retry_after_seconds: None,
        },
    );

    let internal = r#"{"error_code":500,"error_message":"Internal Server Error"}"#;
    for _ in 0..2 {
        let answer = ask(&fred).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (500, internal)
        );
    }
    let answer = ask(&fred).await;
    assert_eq!(
        (answer.status.as_u16(), answer.content_type()),
        (503, "text/html; charset=UTF-8")
    );
    let answer = ask(&fred).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let answer = ask(&fred).await;
    assert_eq!(
        (answer.status.as_u16(), answer.headers.get("retry-after")),
        (429, None)
    );
    assert_eq!(ask(&fred).await.status, 200);
}

#[tokio::test]
async fn bodies_can_be_anything_but_what_was_asked_for() {
    let fred = Fred::start(small()).await;
    let right = ask(&fred).await.body;

    fred.stand_in.fail_next(1, Fault::HtmlPage);
    let answer = ask(&fred).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with("<!DOCTYPE html>"));

    fred.stand_in.fail_next(1, Fault::Xml);
    let answer = ask(&fred).await;
    assert_eq!(
        (answer.status.as_u16(), answer.content_type()),
        (200, "text/xml; charset=UTF-8")
    );
    assert!(
        answer
            .body
            .starts_with("<?xml version=\"1.0\" encoding=\"utf-8\" ?>\n<seriess ")
    );

    fred.stand_in.fail_next(1, Fault::MalformedJson);
    let answer = ask(&fred).await;
    assert_eq!(
        (answer.status.as_u16(), answer.content_type()),
        (200, "application/json; charset=UTF-8")
    );
    assert_eq!(answer.body, right[..right.len() / 2]);

    assert_eq!(ask(&fred).await.body, right);
}

#[tokio::test]
async fn a_connection_can_break_half_way_through_the_body() {
    let fred = Fred::start(small()).await;
    let right = ask(&fred).await.body;
    fred.stand_in.fail_next(1, Fault::CutMidBody);

    let url = format!(
        "{}{}",
        fred.stand_in.base_url(),
        asking("series", "series_id=SMALL")
    );
    let mut response = fred.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.content_length(), Some(right.len() as u64));
    let first = response.chunk().await.unwrap().unwrap();
    assert_eq!(first, right[..right.len() / 2]);
    assert!(response.chunk().await.is_err());

    assert_eq!(ask(&fred).await.body, right);
}

#[tokio::test]
async fn an_answer_can_take_longer_than_a_client_waits() {
    let fred = Fred::start(small()).await;
    fred.stand_in
        .fail_next(1, Fault::Hang { millis: 3_600_000 });
    let url = format!(
        "{}{}",
        fred.stand_in.base_url(),
        asking("series", "series_id=SMALL")
    );
    let given_up = fred
        .http
        .get(&url)
        .timeout(Duration::from_millis(50))
        .send()
        .await
        .unwrap_err();
    assert!(given_up.is_timeout());

    fred.stand_in.fail_next(1, Fault::Hang { millis: 30 });
    let asked = tokio::time::Instant::now();
    assert_eq!(ask(&fred).await.status, 200);
    assert!(asked.elapsed() >= Duration::from_millis(30));
}

#[tokio::test]
async fn stopping_ends_hanging_requests_and_frees_the_port() {
    let fred = Fred::start(small()).await;
    fred.stand_in
        .fail_next(1, Fault::Hang { millis: 3_600_000 });
    let url = format!(
        "{}{}",
        fred.stand_in.base_url(),
        asking("series", "series_id=SMALL")
    );
    let hanging = tokio::spawn(fred.http.get(&url).send());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while fred.stand_in.requests().is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the request did not arrive"
        );
        tokio::task::yield_now().await;
    }
    let address = fred.stand_in.base_url().replace("http://", "");
    tokio::time::timeout(Duration::from_secs(10), fred.stand_in.stop())
        .await
        .unwrap();
    assert_eq!(hanging.await.unwrap().unwrap().status(), 200);
    tokio::net::TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn faults_can_be_meant_for_one_series_and_be_forgotten() {
    let fred = Fred::start(small()).await;
    fred.stand_in.fail_next_of("OTHER", 1, Fault::InternalError);
    assert_eq!(ask(&fred).await.status, 200);
    assert_eq!(fred.ask("series", "series_id=OTHER").await.status, 500);
    assert_eq!(fred.ask("series", "series_id=OTHER").await.status, 400);

    fred.stand_in.fail_next(10, Fault::InternalError);
    fred.stand_in.clear_faults();
    assert_eq!(ask(&fred).await.status, 200);
}
