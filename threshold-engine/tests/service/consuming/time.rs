//! Days that pass while nothing comes.

use atlas_events::{CrossingDirection, event::Payload};
use chrono::{TimeDelta, Utc};
use test_support::{EventIds, eventually};

use crate::{
    bed::{Bed, DEADLINE, Form},
    consuming::too_old::alpha,
    process::life::Life,
    scenario::Folder,
};

const ENGINE: &str = "threshold_engine";
const FEED: &str = r#"
id = "feed"
name = "Feed"
description = "Alpha is collected every day."
severity = "warning"
when = 'ALPHA > 50'
on_no_data = "emit"

[inputs.ALPHA]
unit = "points"
frequency = "daily"
max_age = "4d"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_stopped_is_emitted_once_by_however_many_engines() {
    let bed = Bed::create(Folder::empty()).await;
    bed.folder.write("feed.toml", FEED);
    let mut ids = EventIds::new(5);
    let old = Utc::now() - TimeDelta::days(6);
    let date = old.date_naive().to_string();
    // It was well when the engine began.
    bed.log
        .append(vec![alpha(&mut ids, old, &date, "60")])
        .await
        .unwrap();
    let lives = [
        Life::start(bed.config(ENGINE), bed.source(Form::Grpc)).await,
        Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await,
    ];
    eventually(DEADLINE, async || {
        !crossings(&bed, "NoData").await.is_empty()
    })
    .await;
    let yesterday = (Utc::now() - TimeDelta::days(1)).date_naive().to_string();
    for life in &lives {
        eventually(DEADLINE, async || {
            let shown = life.get("/v1/patterns/feed").await;
            shown["state"] == "no_data" && shown["active"] == true
        })
        .await;
    }
    let [life, other] = lives;
    other.stop().await;
    // There are data again, of today.
    let now = Utc::now();
    let date = now.date_naive().to_string();
    bed.log
        .append(vec![alpha(&mut ids, now, &date, "61")])
        .await
        .unwrap();
    eventually(DEADLINE, async || !crossings(&bed, "Data").await.is_empty()).await;
    life.stop().await;
    let emissions = crossings(&bed, "").await;
    assert_eq!(emissions.len(), 3, "{emissions:?}");
    assert!(emissions[0].starts_with("Entered"), "{emissions:?}");
    assert_eq!(
        emissions[1],
        format!("NoData {yesterday} active without a cause")
    );
    assert_eq!(emissions[2], format!("Data {date} active"));
}

async fn crossings(bed: &Bed, direction: &str) -> Vec<String> {
    let emitted = bed.emitted(ENGINE).await;
    let crossings = emitted.iter().filter_map(|event| match &event.payload {
        Some(Payload::ThresholdCrossed(crossed)) => Some(crossed),
        _ => None,
    });
    let lines = crossings.map(|crossed| {
        let direction: CrossingDirection = crossed.direction();
        let active = if crossed.active() { " active" } else { "" };
        let cause = match crossed.cause_event_id.is_empty() {
            true => " without a cause",
            false => "",
        };
        format!("{direction:?} {}{active}{cause}", crossed.observation_date)
    });
    lines.filter(|line| line.starts_with(direction)).collect()
}
