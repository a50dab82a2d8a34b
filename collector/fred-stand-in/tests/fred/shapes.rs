//! Answers, byte for byte.

use fred_stand_in::StandIn;

use crate::client::{Fred, KEY, day, small};

#[tokio::test]
async fn series_is_answered_in_freds_shape() {
    let fred = Fred::start(small()).await;
    let answer = fred.ask("series", "series_id=SMALL").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.content_type(), "application/json; charset=UTF-8");
    let expected =
        r#"{"realtime_start":"2020-12-01","realtime_end":"2020-12-01","seriess":[{"id":"SMALL","#
            .to_owned()
            + r#""realtime_start":"2020-12-01","realtime_end":"2020-12-01","title":"A \"small\" series","#
            + r#""observation_start":"2019-10-01","observation_end":"2020-04-01","frequency":"Quarterly","#
            + r#""frequency_short":"Q","units":"Percent","units_short":"%","#
            + r#""seasonal_adjustment":"Not Seasonally Adjusted","seasonal_adjustment_short":"NSA","#
            + r#""last_updated":"2020-10-29 07:46:02-06","popularity":7,"#
            + r#""notes":"See https:\/\/example.org\/a & b"}]}"#;
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn observations_are_answered_in_freds_shape() {
    let fred = Fred::start(small()).await;
    let answer = fred.ask("series/observations", "series_id=SMALL").await;
    assert_eq!(answer.status, 200);
    let row = |date, value| {
        format!(
            r#"{{"realtime_start":"2020-12-01","realtime_end":"2020-12-01","date":"{date}","value":"{value}"}}"#
        )
    };
    let rows = [
        row("2019-10-01", "99.50"),
        row("2020-01-01", "101.5000"),
        row("2020-04-01", "98"),
        row("2020-07-01", "."),
    ];
    let expected = r#"{"realtime_start":"2020-12-01","realtime_end":"2020-12-01","#.to_owned()
        + r#""observation_start":"1600-01-01","observation_end":"9999-12-31","units":"lin","output_type":1,"#
        + r#""file_type":"json","order_by":"observation_date","sort_order":"asc","count":4,"offset":0,"#
        + &format!(r#""limit":100000,"observations":[{}]}}"#, rows.join(","));
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn vintage_dates_are_answered_in_freds_shape() {
    let fred = Fred::start(small()).await;
    let answer = fred.ask("series/vintagedates", "series_id=SMALL").await;
    assert_eq!(answer.status, 200);
    let expected =
        r#"{"realtime_start":"1776-07-04","realtime_end":"9999-12-31","order_by":"vintage_date","#
            .to_owned()
            + r#""sort_order":"asc","count":5,"offset":0,"limit":10000,"#
            + r#""vintage_dates":["2020-01-30","2020-04-29","2020-05-28","2020-07-30","2020-10-29"]}"#;
    assert_eq!(answer.body, expected);
}

#[tokio::test]
async fn without_file_type_every_answer_is_xml() {
    let fred = Fred::start(small()).await;
    let ask = async |path: &str, query: &str| {
        let query = format!("/fred/{path}?api_key={KEY}&series_id=SMALL{query}");
        let answer = fred.get(&query).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.content_type(), "text/xml; charset=UTF-8");
        answer.body
    };
    let series = ask("series", "").await;
    assert!(
        series.contains(
            "<seriess realtime_end=\"2020-12-01\" realtime_start=\"2020-12-01\">\n<series "
        )
    );
    assert!(series.contains("title=\"A &quot;small&quot; series\""));
    assert!(series.contains("notes=\"See https://example.org/a &amp; b\""));
    let observations = ask("series/observations", "&file_type=xml").await;
    assert!(observations.contains(" file_type=\"xml\" "));
    assert!(observations.contains(
        r#"<observation date="2020-04-01" realtime_end="2020-12-01" realtime_start="2020-12-01" value="98"/>"#
    ));
    let vintages = ask("series/vintagedates", "").await;
    assert!(vintages.contains("<vintage_date>2020-01-30</vintage_date>\n"));
    assert!(vintages.ends_with("</vintage_dates>\n"));
}

#[tokio::test]
async fn rows_come_in_pages_in_either_order() {
    let fred = Fred::start(small()).await;
    let rows = fred
        .rows("sort_order=desc&limit=2&offset=1&observation_start=2020-01-01")
        .await;
    let today = "2020-12-01..2020-12-01";
    assert_eq!(
        rows,
        [
            format!("2020-04-01 {today} 98"),
            format!("2020-01-01 {today} 101.5000")
        ]
    );

    let page = "series_id=SMALL&limit=2&offset=1&sort_order=desc&observation_start=2020-01-01&observation_end=2020-07-01";
    let json = fred.ask("series/observations", page).await.json();
    assert_eq!(json["count"], 3, "counts the rows of all pages");
    assert_eq!((&json["offset"], &json["limit"]), (&1.into(), &2.into()));
    assert_eq!(
        (&json["sort_order"], &json["observation_end"]),
        (&"desc".into(), &"2020-07-01".into())
    );

    let json = fred
        .ask("series/vintagedates", "series_id=SMALL&limit=1&offset=4")
        .await
        .json();
    assert_eq!(json["vintage_dates"], serde_json::json!(["2020-10-29"]));
}

#[tokio::test]
async fn the_committed_series_are_served_with_their_digits() {
    let fred = Fred::start(StandIn::builder().rate_limit(None).today(day("2010-06-01"))).await;
    let ask = async |id: &str, query: &str| {
        fred.ask("series/observations", &format!("series_id={id}&{query}"))
            .await
            .json()
    };
    let first = ask("CPIAUCSL", "limit=1").await;
    assert_eq!(first["observations"][0]["date"], "1959-04-01");
    assert_eq!(first["observations"][0]["value"], "28.980");
    let holiday = ask(
        "DCOILWTICO",
        "observation_start=2009-12-25&observation_end=2009-12-25",
    )
    .await;
    assert_eq!(holiday["observations"][0]["value"], ".");

    let span = "realtime_start=1959-01-01&realtime_end=1959-12-31&observation_end=1959-01-01";
    let estimates = ask("GDPC1", span).await;
    let known: Vec<&str> = (0..3)
        .map(|n| {
            estimates["observations"][n]["realtime_start"]
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(
        known,
        ["1959-04-28", "1959-05-28", "1959-06-29"],
        "advance, second and third"
    );
    assert_eq!(estimates["observations"][2]["value"], "2710.349");

    for id in fred_stand_in::bundled_ids() {
        let answer = fred.ask("series", &format!("series_id={id}")).await;
        assert_eq!(answer.status, 200, "{id}");
        let generated = answer.body.contains("generated look-alike, not real data");
        assert_eq!(generated, ["VIXCLS", "UMCSENT"].contains(&id), "{id}");
    }
}
