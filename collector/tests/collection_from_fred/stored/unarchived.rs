//! A series whose past values FRED does not keep.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, Query},
    http::StatusCode,
};
use collector::fred::FredConfig;
use fred_stand_in::StandIn;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    bed::{Bed, day, quick},
    expected::assert_exact,
};

type Values = Arc<Mutex<Vec<(&'static str, &'static str, &'static str)>>>;

/// Answers as FRED does for such a series: real-time periods are refused.
async fn serve(values: Values) -> String {
    let answer = move |Path(path): Path<String>, Query(query): Query<HashMap<String, String>>| {
        let values = values.lock().unwrap().clone();
        async move { reply(&path, &query, &values) }
    };
    let router = Router::new().route("/fred/{*path}", axum::routing::get(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/fred")
}

fn reply(
    path: &str,
    query: &HashMap<String, String>,
    values: &[(&str, &str, &str)],
) -> (StatusCode, Json<Value>) {
    if query.contains_key("realtime_start") {
        let message = "Bad Request.  The series does not exist in ALFRED but may exist in FRED.";
        let body = json!({"error_code": 400, "error_message": message});
        return (StatusCode::BAD_REQUEST, Json(body));
    }
    let body = if path == "series" {
        json!({"seriess": [{"id": "OWN", "title": "Own", "frequency": "Daily, Close",
            "units": "Index", "seasonal_adjustment": "Not Seasonally Adjusted"}]})
    } else {
        let rows = values.iter().map(|(today, date, value)| {
            json!({"realtime_start": today, "realtime_end": today, "date": date, "value": value})
        });
        json!({"count": values.len(), "observations": rows.collect::<Vec<_>>()})
    };
    (StatusCode::OK, Json(body))
}

#[tokio::test]
async fn todays_values_are_taken_as_known_from_today_on() {
    let values = Values::default();
    let none: [&str; 0] = [];
    let bed = Bed::new(StandIn::builder().series(none)).await;
    let config = FredConfig {
        base_url: serve(Arc::clone(&values)).await,
        ..quick(&bed.fred)
    };
    let process = bed.process_with(config).await;
    process.seed(&["OWN"]).await;
    let mut reported = Vec::new();
    for today in [
        vec![("2024-05-02", "2024-05-01", "1.5")],
        vec![
            ("2024-05-03", "2024-05-01", "1.5"),
            ("2024-05-03", "2024-05-02", "1.75"),
        ],
        vec![
            ("2024-05-06", "2024-05-01", "1.5"),
            ("2024-05-06", "2024-05-02", "1.76"),
        ],
    ] {
        *values.lock().unwrap() = today;
        reported.push(
            process
                .registry
                .collect_now("OWN")
                .await
                .unwrap()
                .data_points,
        );
    }
    assert_eq!(reported, [1, 1, 1]);
    let decimal = atlas_events::parse_decimal;
    let expected = [
        (day("2024-05-02"), day("2024-05-01"), decimal("1.5")),
        (day("2024-05-03"), day("2024-05-02"), decimal("1.75")),
        (day("2024-05-06"), day("2024-05-02"), decimal("1.76")),
    ];
    assert_exact(&process, "OWN", &expected).await;
}
