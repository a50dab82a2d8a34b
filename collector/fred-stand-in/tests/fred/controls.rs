//! Releases, revisions, faults and the day, from within and over `/stand-in/`.

use fred_stand_in::{Release, StandInError};
use serde_json::json;

use crate::client::{Fred, day, small};

const ALWAYS: &str =
    "realtime_start=1776-07-04&realtime_end=9999-12-31&observation_start=2020-07-01";

#[tokio::test]
async fn a_released_value_is_known_from_its_day_on() {
    let fred = Fred::start(small()).await;
    let revision = Release::new(day("2020-07-01"), "96.10");
    let released = fred.stand_in.release("SMALL", revision).unwrap();
    assert_eq!(released.realtime_start, Some(day("2020-12-01")));
    let new = Release::new(day("2020-08-01"), "96.2").known_since(day("2020-11-05"));
    fred.stand_in.release("SMALL", new).unwrap();
    let next_year = Release::new(day("2020-09-01"), "96.3").known_since(day("2021-01-05"));
    fred.stand_in.release("SMALL", next_year).unwrap();

    let known = [
        "2020-07-01 2020-10-29..2020-11-30 .",
        "2020-07-01 2020-12-01..9999-12-31 96.10",
        "2020-08-01 2020-11-05..9999-12-31 96.2",
    ];
    assert_eq!(fred.rows(ALWAYS).await, known);
    fred.stand_in.set_today(day("2021-01-05"));
    assert_eq!(
        fred.rows(ALWAYS).await.last().unwrap(),
        "2020-09-01 2021-01-05..9999-12-31 96.3"
    );
}

#[tokio::test]
async fn a_release_that_cannot_be_is_refused() {
    let fred = Fred::start(small()).await;
    let release = |id, value| {
        fred.stand_in
            .release(id, Release::new(day("2020-08-01"), value))
    };
    assert!(matches!(
        release("NONE", "1"),
        Err(StandInError::UnknownSeries { .. })
    ));
    assert!(matches!(
        release("SMALL", "NaN"),
        Err(StandInError::InvalidValue { .. })
    ));
}

#[tokio::test]
async fn another_process_can_do_the_same() {
    let fred = Fred::start(small()).await;
    let url = |path: &str| format!("{}/stand-in/{path}", fred.stand_in.base_url());
    let send =
        async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();

    let observation =
        json!({ "date": "2020-07-01", "value": "96.1", "realtime_start": "2020-11-01" });
    let release = |id: &str, body| {
        fred.http
            .post(url(&format!("series/{id}/observations")))
            .json(body)
    };
    assert_eq!(send(release("SMALL", &observation)).await, 201);
    assert_eq!(send(release("NONE", &observation)).await, 404);
    assert_eq!(
        send(release(
            "SMALL",
            &json!({ "date": "2020-07-01", "value": "?" })
        ))
        .await,
        400
    );
    assert_eq!(
        fred.rows(ALWAYS).await.last().unwrap(),
        "2020-07-01 2020-11-01..9999-12-31 96.1"
    );

    let faults =
        json!({ "times": 2, "fault": { "kind": "too_many_requests", "retry_after_seconds": 3 } });
    assert_eq!(send(fred.http.post(url("faults")).json(&faults)).await, 204);
    assert_eq!(
        fred.ask("series", "series_id=SMALL").await.headers["retry-after"],
        "3"
    );
    assert_eq!(send(fred.http.delete(url("faults"))).await, 204);
    assert_eq!(fred.ask("series", "series_id=SMALL").await.status, 200);

    assert_eq!(
        send(
            fred.http
                .put(url("today"))
                .json(&json!({ "today": "2021-02-01" }))
        )
        .await,
        204
    );
    assert_eq!(fred.stand_in.today(), day("2021-02-01"));
    assert_eq!(
        fred.get("/stand-in/today").await.json(),
        json!({ "today": "2021-02-01" })
    );
    let summary = json!([{
        "id": "SMALL", "title": "A \"small\" series", "observations": 5,
        "last_date": "2020-10-01", "last_value": "97.5",
    }]);
    assert_eq!(fred.get("/stand-in/series").await.json(), summary);
}
