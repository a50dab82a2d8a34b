//! A running stand-in with one small series, and a client that asks it.

use std::sync::Once;

use chrono::NaiveDate;
use fred_stand_in::{Series, SeriesInfo, StandIn, StandInBuilder, StandInHandle};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(crate) struct Fred {
    pub(crate) stand_in: StandInHandle,
    pub(crate) http: reqwest::Client,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    pub(crate) fn content_type(&self) -> &str {
        self.headers["content-type"].to_str().unwrap()
    }
}

impl Fred {
    pub(crate) async fn start(builder: StandInBuilder) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap();
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            stand_in: builder.start(listener).unwrap(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    /// Asks a path of the stand-in.
    pub(crate) async fn get(&self, path_and_query: &str) -> Answer {
        self.try_get(path_and_query).await.unwrap()
    }

    pub(crate) async fn try_get(&self, path_and_query: &str) -> reqwest::Result<Answer> {
        let url = format!("{}{path_and_query}", self.stand_in.base_url());
        let response = self.http.get(url).send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await?,
        })
    }

    /// Asks one of FRED's paths with a good key, for JSON.
    pub(crate) async fn ask(&self, path: &str, query: &str) -> Answer {
        self.get(&asking(path, query)).await
    }

    /// Observations of the small series as `[date, realtime_start, realtime_end, value]`.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        let answer = self
            .ask("series/observations", &format!("series_id=SMALL&{query}"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let json = answer.json();
        let rows = json["observations"].as_array().unwrap().iter();
        rows.map(|row| {
            let field = |name: &str| row[name].as_str().unwrap();
            let (start, end) = (field("realtime_start"), field("realtime_end"));
            format!("{} {start}..{end} {}", field("date"), field("value"))
        })
        .collect()
    }
}

pub(crate) fn asking(path: &str, query: &str) -> String {
    format!("/fred/{path}?api_key={KEY}&file_type=json&{query}")
}

pub(crate) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// A stand-in without limits, with the small series only, on the first of December 2020.
pub(crate) fn small() -> StandInBuilder {
    StandIn::builder()
        .series::<&str>([])
        .add_series(small_series())
        .today(day("2020-12-01"))
        .rate_limit(None)
}

fn small_series() -> Series {
    let info = SeriesInfo {
        id: "SMALL".to_owned(),
        title: "A \"small\" series".to_owned(),
        frequency: "Quarterly".to_owned(),
        frequency_short: "Q".to_owned(),
        units: "Percent".to_owned(),
        units_short: "%".to_owned(),
        seasonal_adjustment: "Not Seasonally Adjusted".to_owned(),
        seasonal_adjustment_short: "NSA".to_owned(),
        popularity: 7,
        notes: "See https://example.org/a & b".to_owned(),
    };
    let values = [
        ("2019-10-01", "2020-01-30", "99.50"),
        ("2020-01-01", "2020-04-29", "100.0"),
        ("2020-01-01", "2020-05-28", "101.5000"),
        ("2020-04-01", "2020-07-30", "98"),
        ("2020-07-01", "2020-10-29", "."),
        ("2020-10-01", "2021-01-28", "97.5"),
    ];
    values
        .iter()
        .fold(Series::new(info), |series, (date, known_since, value)| {
            series
                .with_value(day(date), day(known_since), value)
                .unwrap()
        })
}
