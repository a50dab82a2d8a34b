//! What was known when.

use fred_stand_in::StandIn;

use crate::client::{Fred, day, small};

const ALWAYS: &str = "realtime_start=1776-07-04&realtime_end=9999-12-31";

#[tokio::test]
async fn every_value_in_force_in_the_period_is_listed_and_cut_to_it() {
    let fred = Fred::start(small()).await;
    let first_quarter =
        |period: &str| format!("observation_start=2020-01-01&observation_end=2020-01-01&{period}");
    for (period, expected) in [
        (
            ALWAYS,
            vec![
                "2020-01-01 2020-04-29..2020-05-27 100.0",
                "2020-01-01 2020-05-28..9999-12-31 101.5000",
            ],
        ),
        (
            "realtime_start=2020-05-01&realtime_end=2020-06-30",
            vec![
                "2020-01-01 2020-05-01..2020-05-27 100.0",
                "2020-01-01 2020-05-28..2020-06-30 101.5000",
            ],
        ),
        (
            "realtime_start=2020-05-27&realtime_end=2020-05-27",
            vec!["2020-01-01 2020-05-27..2020-05-27 100.0"],
        ),
        (
            "realtime_start=2020-05-28&realtime_end=2020-05-28",
            vec!["2020-01-01 2020-05-28..2020-05-28 101.5000"],
        ),
        (
            "realtime_start=2020-05-28",
            vec!["2020-01-01 2020-05-28..2020-12-01 101.5000"],
        ),
        ("realtime_start=2020-02-01&realtime_end=2020-04-28", vec![]),
    ] {
        assert_eq!(
            fred.rows(&first_quarter(period)).await,
            expected,
            "{period}"
        );
    }
}

#[tokio::test]
async fn initial_releases_are_not_cut_and_leave_out_the_first_vintage_date() {
    let fred = Fred::start(small()).await;
    let rows = [
        "2020-01-01 2020-04-29..2020-05-27 100.0",
        "2020-04-01 2020-07-30..9999-12-31 98",
        "2020-07-01 2020-10-29..9999-12-31 .",
    ];
    assert_eq!(fred.rows(&format!("output_type=4&{ALWAYS}")).await, rows);
    let may_on = fred
        .rows("output_type=4&realtime_start=2020-05-01&realtime_end=2020-08-01")
        .await;
    assert_eq!(may_on, rows[..2]);
    assert_eq!(
        fred.rows("output_type=4").await,
        rows[1..],
        "those in force today"
    );
}

#[tokio::test]
async fn what_becomes_known_later_is_not_shown() {
    let fred = Fred::start(small()).await;
    assert_eq!(fred.rows(ALWAYS).await.len(), 5);
    fred.stand_in.set_today(day("2021-01-28"));
    let rows = fred.rows(ALWAYS).await;
    assert_eq!(
        rows.last().unwrap(),
        "2020-10-01 2021-01-28..9999-12-31 97.5"
    );

    fred.stand_in.set_today(day("2020-05-01"));
    let rows = fred.rows(ALWAYS).await;
    let known = [
        "2019-10-01 2020-01-30..9999-12-31 99.50",
        "2020-01-01 2020-04-29..9999-12-31 100.0",
    ];
    assert_eq!(
        rows, known,
        "a later revision does not end a value's time yet"
    );
    let json = fred.ask("series", "series_id=SMALL").await.json();
    assert_eq!(json["seriess"][0]["observation_end"], "2020-01-01");
    assert_eq!(json["seriess"][0]["last_updated"], "2020-04-29 07:46:02-06");
}

#[tokio::test]
async fn vintage_dates_are_those_in_the_period() {
    let fred = Fred::start(small()).await;
    let period = "series_id=SMALL&realtime_start=2020-04-29&realtime_end=2020-07-29";
    let json = fred.ask("series/vintagedates", period).await.json();
    assert_eq!(
        json["vintage_dates"],
        serde_json::json!(["2020-04-29", "2020-05-28"])
    );
}

#[tokio::test]
async fn more_than_two_thousand_vintage_dates_are_refused() {
    let builder = StandIn::builder()
        .series(["DCOILWTICO"])
        .rate_limit(None)
        .today(day("2020-01-01"));
    let fred = Fred::start(builder).await;
    let answer = fred
        .ask(
            "series/observations",
            &format!("series_id=DCOILWTICO&{ALWAYS}"),
        )
        .await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.body,
        r#"{"error_code":400,"error_message":"Bad Request.  There are 8611 vintage dates in the specified real-time period: 1776-07-04 to 9999-12-31.  This exceeds the maximum number of vintage dates allowed (2000)."}"#
    );
    let dates = fred
        .ask("series/vintagedates", "series_id=DCOILWTICO&offset=0")
        .await
        .json();
    let (first, last) = (&dates["vintage_dates"][0], &dates["vintage_dates"][1999]);
    let period = format!(
        "series_id=DCOILWTICO&realtime_start={}&realtime_end={}",
        first.as_str().unwrap(),
        last.as_str().unwrap()
    );
    let answer = fred.ask("series/observations", &period).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["count"]),
        (200, &2000.into())
    );
}
