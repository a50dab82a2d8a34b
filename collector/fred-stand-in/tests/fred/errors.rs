//! FRED's refusals, in FRED's words.

use crate::client::{Fred, KEY, small};

/// The message of the JSON refusal, which must have the status and the shape of FRED's.
async fn refusal(fred: &Fred, path_and_query: &str, status: u16) -> String {
    let answer = fred.get(path_and_query).await;
    assert_eq!(answer.status, status, "{path_and_query}: {}", answer.body);
    let json = answer.json();
    let message = json["error_message"].as_str().unwrap().to_owned();
    let expected = serde_json::json!({ "error_code": status, "error_message": message });
    assert_eq!(json, expected);
    message
}

#[tokio::test]
async fn keys_are_checked_first() {
    let registered = "abcdefghijklmnopqrstuvwxyz012345";
    let fred = Fred::start(small().registered_keys([registered])).await;
    let more = "Read https://fred.stlouisfed.org/docs/api/api_key.html for more information.";
    let malformed = format!(
        "Bad Request.  The value for variable api_key is not a 32 character alpha-numeric lower-case string.  {more}"
    );
    for (key, expected) in [
        (
            "",
            format!("Bad Request.  Variable api_key is not set.  {more}"),
        ),
        (
            "&api_key=",
            format!("Bad Request.  Variable api_key is not set.  {more}"),
        ),
        ("&api_key=abc", malformed.clone()),
        (
            "&api_key=ABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
            malformed.clone(),
        ),
        ("&api_key=abcdefghijklmnopqrstuvwxyz01234-", malformed),
        (
            "&api_key=0123456789abcdef0123456789abcdef",
            format!("Bad Request.  The value for variable api_key is not registered.  {more}"),
        ),
    ] {
        let query = format!("/fred/series?file_type=json&series_id=NONE{key}");
        assert_eq!(refusal(&fred, &query, 400).await, expected, "{key}");
    }
    let good = format!("/fred/series?file_type=json&series_id=SMALL&api_key={registered}");
    assert_eq!(fred.get(&good).await.status, 200);
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let fred = Fred::start(small()).await;
    let date =
        |name| format!("Variable {name} is not a YYYY-MM-DD formatted date (e.g. 2000-02-24).");
    for (query, expected) in [
        ("", "Variable series_id is not set.".to_owned()),
        ("series_id=NONE", "The series does not exist.".to_owned()),
        ("series_id=SMALL&realtime_start=1/1/2015", date("realtime_start")),
        ("series_id=SMALL&realtime_end=2015-02-30", date("realtime_end")),
        ("series_id=SMALL&observation_start=2015-2-3", date("observation_start")),
        ("series_id=SMALL&observation_end=", date("observation_end")),
        (
            "series_id=SMALL&realtime_start=2020-12-02",
            "Variable realtime_start can not be after today's date (2020-12-01).".to_owned(),
        ),
        (
            "series_id=SMALL&realtime_end=2020-12-02",
            "Variable realtime_end can not be after today's date (2020-12-01) unless it's equal to the real-time max \
             date 9999-12-31."
                .to_owned(),
        ),
        (
            "series_id=SMALL&realtime_start=2020-05-02&realtime_end=2020-05-01",
            "Variable realtime_start can not be after realtime_end.".to_owned(),
        ),
        ("series_id=SMALL&limit=100001", "Variable limit is not between 1 and 100000.".to_owned()),
        ("series_id=SMALL&limit=0", "Variable limit is not between 1 and 100000.".to_owned()),
        ("series_id=SMALL&offset=-1", "Variable offset is not 0 or a positive integer.".to_owned()),
        ("series_id=SMALL&sort_order=up", "Variable sort_order is not one of the values: 'asc', 'desc'.".to_owned()),
        ("series_id=SMALL&output_type=2", "Variable output_type is not one of the values: '1', '4'.".to_owned()),
        ("series_id=SMALL&units=pch", "Variable units is not one of the values: 'lin'.".to_owned()),
        (
            "series_id=SMALL&realtime_start=2019-01-01&realtime_end=2020-01-29",
            "The series does not exist in ALFRED but may exist in FRED.  Try setting realtime_start and realtime_end \
             to today's date or removing the realtime_start and realtime_end variables."
                .to_owned(),
        ),
    ] {
        let path = crate::client::asking("series/observations", query);
        assert_eq!(refusal(&fred, &path, 400).await, format!("Bad Request.  {expected}"), "{query}");
    }
    let limit = crate::client::asking("series/vintagedates", "series_id=SMALL&limit=10001");
    let expected = "Bad Request.  Variable limit is not between 1 and 10000.";
    assert_eq!(refusal(&fred, &limit, 400).await, expected);
}

#[tokio::test]
async fn refusals_are_xml_unless_json_is_asked_for() {
    let fred = Fred::start(small()).await;
    let answer = fred
        .get(&format!("/fred/series?api_key={KEY}&series_id=NONE"))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.content_type()),
        (400, "text/xml; charset=UTF-8")
    );
    assert_eq!(
        answer.body,
        r#"<error code="400" message="Bad Request.  The series does not exist."/>"#
    );

    let answer = fred
        .get(&format!(
            "/fred/series?api_key={KEY}&series_id=SMALL&file_type=JSON"
        ))
        .await;
    let expected = "Bad Request.  Variable file_type is not one of the values: 'xml', 'json'.";
    assert_eq!(
        answer.body,
        format!(r#"<error code="400" message="{expected}"/>"#)
    );
}

#[tokio::test]
async fn every_other_path_is_not_found() {
    let fred = Fred::start(small()).await;
    for path in ["/", "/fred", "/fred/series/nothing", "/fred/release"] {
        let message = refusal(&fred, &format!("{path}?file_type=json&api_key={KEY}"), 404).await;
        assert_eq!(message, "Not Found");
    }
    let post = fred
        .http
        .post(format!("{}/fred/series", fred.stand_in.base_url()));
    assert_eq!(post.send().await.unwrap().status(), 404);
}
