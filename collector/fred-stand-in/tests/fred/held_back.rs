//! Observations that are held back and released by and by.

use std::time::Duration;

use chrono::Utc;
use fred_stand_in::{Release, StandIn};

use crate::client::{Fred, day};

const IDS: [&str; 2] = ["GDPC1", "UEMPMED"];

#[tokio::test]
async fn each_step_is_a_day_and_brings_an_observation_back() {
    let builder = StandIn::builder()
        .series(IDS)
        .rate_limit(None)
        .today(day("2020-01-01"))
        .hold_back(2);
    let fred = Fred::start(builder).await;
    let newest = async |id: &str| {
        let query = format!("series_id={id}&sort_order=desc&limit=1");
        let json = fred.ask("series/observations", &query).await.json();
        let field = |name: &str| json["observations"][0][name].as_str().unwrap().to_owned();
        (field("date"), field("value"))
    };
    assert_eq!(newest("GDPC1").await.0, "2009-01-01");
    assert_eq!(
        newest("UEMPMED").await,
        ("2015-02-01".to_owned(), "13.1".to_owned())
    );

    let (id, advance) = fred.stand_in.release_next().unwrap().unwrap();
    assert_eq!(
        (id.as_str(), fred.stand_in.today()),
        ("GDPC1", day("2020-01-02"))
    );
    assert_eq!((advance.len(), advance[0].date), (1, day("2009-04-01")));
    assert_eq!(
        newest("GDPC1").await,
        ("2009-04-01".to_owned(), advance[0].value.clone())
    );
    let (id, _) = fred.stand_in.release_next().unwrap().unwrap();
    assert_eq!(
        (id.as_str(), newest("UEMPMED").await.0),
        ("UEMPMED", "2015-03-01".to_owned())
    );

    let (_, releases) = fred.stand_in.release_next().unwrap().unwrap();
    let known = |date, value: &str| Release::new(day(date), value).known_since(day("2020-01-04"));
    let right = [
        known("2009-04-01", "12901.504"),
        known("2009-07-01", "12990.341"),
    ];
    assert_eq!(
        releases, right,
        "the advance estimate is revised, the newest is final at once"
    );
    let vintages = "series_id=GDPC1&realtime_start=2020-01-01";
    let json = fred.ask("series/vintagedates", vintages).await.json();
    assert_eq!(
        json["vintage_dates"],
        serde_json::json!(["2020-01-02", "2020-01-04"])
    );

    assert!(fred.stand_in.release_next().unwrap().is_some());
    assert_eq!(fred.stand_in.release_next().unwrap(), None);
    assert_eq!(
        fred.stand_in.today(),
        day("2020-01-05"),
        "nothing to release, no day passes"
    );
}

#[tokio::test]
async fn released_by_itself_the_last_release_falls_on_the_real_day() {
    let steps = 5 * u64::try_from(IDS.len()).unwrap();
    let builder = StandIn::builder()
        .series(IDS)
        .hold_back(5)
        .release_every(Duration::from_millis(1));
    // FRED's day may be that before ours, and midnight may pass while this runs.
    let around_today =
        |date: chrono::NaiveDate| (-1..=2).contains(&(Utc::now().date_naive() - date).num_days());
    let fred = Fred::start(builder).await;

    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let json = fred.get("/stand-in/series").await.json();
        let last = |n: usize| json[n]["last_date"].as_str().unwrap().to_owned();
        if (last(0), last(1)) == ("2009-07-01".to_owned(), "2015-04-01".to_owned()) {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "not all released within 10 s of {steps} ms: {json}"
        );
    }
    assert!(
        around_today(fred.stand_in.today()),
        "{}",
        fred.stand_in.today()
    );
    assert_eq!(fred.stand_in.release_next().unwrap(), None);
}
