//! Definitions that change while the engine runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use sqlx::PgPool;
use test_support::eventually;
use threshold_engine::{config::Uncollected, service::Registry};

use crate::{
    bed::{Bed, DEADLINE, Form},
    process::life::Life,
    scenario::{Folder, HIGH, MORE, Script},
};

const ENGINE: &str = "threshold_engine";

/// Ids and versions of what is running, as the database has it.
async fn at_work(pool: &PgPool) -> Vec<(String, Option<String>)> {
    sqlx::query_as(
        "select id, version from (select distinct on (kind, id) * from definition_changes
                                  order by kind, id, change desc) as last
         where version is not null order by id",
    )
    .fetch_all(pool)
    .await
    .unwrap()
}

async fn count_emitted(bed: &Bed, pattern: &str) -> usize {
    let emissions = bed.emissions(ENGINE).await;
    let of = |event: &&atlas_events::Event| {
        matches!(&event.payload, Some(atlas_events::event::Payload::ThresholdCrossed(crossed))
            if crossed.pattern_id == pattern)
    };
    emissions.iter().filter(of).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_taken_up_while_the_engine_runs() {
    let bed = Bed::create(Folder::empty()).await;
    let mut script = Script::new(5);
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    bed.log.append(script.drafts(300)).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(count_emitted(&bed, "alpha-high").await, 0);

    bed.folder.write("high.toml", HIGH);
    eventually(DEADLINE, async || at_work(&pool).await.len() == 1).await;
    assert_eq!(
        count_emitted(&bed, "alpha-high").await,
        0,
        "nothing is emitted about the past"
    );
    bed.log.append(script.drafts(300)).await.unwrap();
    bed.caught_up(&pool).await;
    let emissions = count_emitted(&bed, "alpha-high").await;
    assert!(emissions > 2, "{emissions}");

    let first = at_work(&pool).await;
    bed.folder
        .write("high.toml", &HIGH.replace("ALPHA > 50", "ALPHA > 45"));
    eventually(DEADLINE, async || at_work(&pool).await != first).await;
    assert_eq!(at_work(&pool).await.len(), 1);

    bed.folder.remove("high.toml");
    eventually(DEADLINE, async || at_work(&pool).await.is_empty()).await;
    let emissions = count_emitted(&bed, "alpha-high").await;
    bed.log.append(script.drafts(300)).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(count_emitted(&bed, "alpha-high").await, emissions);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_leaves_what_ran_before() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(6);
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    let before = at_work(&pool).await;
    assert_eq!(before.len(), 4);
    bed.folder
        .write("high.toml", &HIGH.replace("ALPHA > 50", "ALPHA >> 50"));
    // A file that is read after the broken one.
    bed.folder
        .write("later.toml", &HIGH.replace("alpha-high", "later"));
    eventually(DEADLINE, async || at_work(&pool).await.len() == 5).await;
    bed.log.append(script.drafts(300)).await.unwrap();
    bed.caught_up(&pool).await;
    assert!(count_emitted(&bed, "alpha-high").await > 2);
    life.stop().await;

    // Neither does a restart take away what runs.
    let life = Life::start(bed.config(ENGINE), bed.source(Form::Grpc)).await;
    assert_eq!(at_work(&pool).await.len(), 5);
    life.stop().await;
}

const UNKNOWN: &str = r#"
id = "delta-high"
name = "Delta is high"
description = "Of a series that nobody has sent."
severity = "info"
when = 'DELTA > 50'

[inputs.DELTA]
unit = "points"
frequency = "daily"
"#;

/// Where it is not known what is collected, the series may come: until then there is no data, plainly.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_over_a_series_that_nobody_has_sent_says_so() {
    let bed = Bed::create(Folder::with_definitions()).await;
    bed.folder.write("unknown.toml", UNKNOWN);
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pattern = life.get("/v1/patterns/delta-high").await;
    assert_eq!(pattern["state"], "no_data");
    let said = "no event of this series has been received";
    assert_eq!(pattern["outcome"]["no_data"], format!("DELTA: {said}"));
    assert_eq!(pattern["outcome"]["inputs"][0]["no_data"], said);
    let found = life.get("/v1/definitions").await;
    let never: Vec<_> = found["never_received"].as_array().unwrap().iter().collect();
    assert_eq!(never.len(), 5, "all inputs of all definitions: {found}");
    let emissions = never
        .iter()
        .find(|emissions| emissions["file"] == "unknown.toml")
        .unwrap();
    assert_eq!(emissions["line"], 8);
    assert_eq!(
        emissions["reason"],
        "no event of series DELTA has been received yet"
    );

    // Once something came of the others, it alone is left.
    bed.log.append(Script::new(21).drafts(60)).await.unwrap();
    eventually(DEADLINE, async || {
        let found = life.get("/v1/definitions").await;
        found["never_received"].as_array().unwrap().len() == 1
    })
    .await;
    life.stop().await;
}

/// Where it is known what is collected, a definition that reads anything else is refused, with its
/// place, until something of it is received or somebody begins to collect it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_over_a_series_that_nobody_collects_is_refused() {
    let bed = Bed::create(Folder::with_definitions()).await;
    bed.folder.write("unknown.toml", UNKNOWN);
    let registered = Arc::new(Mutex::new(BTreeSet::from(["ALPHA", "BETA", "GAMMA"])));
    let asked = Arc::clone(&registered);
    let registry = Registry::new(move || {
        let ids = asked
            .lock()
            .unwrap()
            .iter()
            .map(|id| (*id).to_owned())
            .collect();
        Box::pin(async move { Ok(ids) })
    });
    let life = Life::start_knowing(bed.config(ENGINE), bed.source(Form::InProcess), registry).await;
    let pool = bed.pool(ENGINE).await;
    assert_eq!(at_work(&pool).await.len(), 4);
    let found = life.get("/v1/definitions").await;
    let mistake = &found["mistakes"][0];
    assert_eq!(mistake["file"], "unknown.toml");
    assert_eq!(mistake["line"], 8);
    let reason = "series DELTA is not collected, and no event of it has been received";
    assert_eq!(mistake["reason"], reason, "{found}");

    registered.lock().unwrap().insert("DELTA");
    eventually(DEADLINE, async || at_work(&pool).await.len() == 5).await;
    // It runs on when it is collected no longer.
    registered.lock().unwrap().remove("DELTA");
    eventually(DEADLINE, async || {
        let found = life.get("/v1/definitions").await;
        found["mistakes"].as_array().unwrap().len() == 1
    })
    .await;
    assert_eq!(at_work(&pool).await.len(), 5);
    life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pattern_is_at_work_once_its_series_is_received() {
    let bed = Bed::create(Folder::empty()).await;
    bed.folder.write("high.toml", HIGH);
    let mut config = bed.config(ENGINE);
    config.patterns.collected = Some(["BETA".to_owned()].into());
    let life = Life::start(config, bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    assert_eq!(at_work(&pool).await.len(), 0);
    bed.log.append(Script::new(22).drafts(60)).await.unwrap();
    eventually(DEADLINE, async || at_work(&pool).await.len() == 1).await;
    life.stop().await;

    let mut config = bed.config("lenient");
    config.patterns.collected = Some(["BETA".to_owned()].into());
    config.patterns.uncollected = Uncollected::Warn;
    let life = Life::start(config, bed.source(Form::InProcess)).await;
    assert_eq!(at_work(&bed.pool("lenient").await).await.len(), 1);
    life.stop().await;
}

/// Version of a pattern among what is running.
fn version_of<'a>(id: &str, at_work: &'a [(String, Option<String>)]) -> Option<&'a String> {
    let found = at_work.iter().find(|(known, _)| known == id)?;
    found.1.as_ref()
}

/// What was changed between two points is changed there after a restart, too; also where a new
/// definition reads a series that none read before.
#[tokio::test(flavor = "multi_thread")]
async fn restarts_do_not_show_where_definitions_were_changed() {
    let bed = Bed::create(Folder::empty()).await;
    let (restarted, lasting) = (bed.pool("restarted").await, bed.pool("lasting").await);
    let mut script = Script::new(7);
    let life = Life::start(bed.config("lasting"), bed.source(Form::InProcess)).await;
    let steps = [
        ("50", None),
        ("30", Some(0)),
        ("60", Some(1)),
        ("45", Some(2)),
    ];
    for (count, (threshold, more)) in (1..).zip(steps) {
        let other = Life::start(bed.config("restarted"), bed.source(Form::Grpc)).await;
        let before = at_work(&lasting).await;
        if let Some(more) = more {
            let (name, text) = MORE[more];
            bed.folder.write(name, text);
        }
        let text = HIGH.replace("ALPHA > 50", &format!("ALPHA > {threshold}"));
        bed.folder
            .write("high.toml", &text.replace("clear_when = 'ALPHA < 40'", ""));
        for pool in [&restarted, &lasting] {
            eventually(DEADLINE, async || {
                let now = at_work(pool).await;
                let is_new = version_of("alpha-high", &now) != version_of("alpha-high", &before);
                now.len() == count && is_new
            })
            .await;
        }
        bed.log.append(script.drafts(200)).await.unwrap();
        bed.caught_up(&restarted).await;
        bed.caught_up(&lasting).await;
        other.stop().await;
    }
    life.stop().await;
    let emissions = bed.emissions("lasting").await;
    assert!(emissions.len() > 50, "{}", emissions.len());
    assert_eq!(bed.emissions("restarted").await, emissions);
    let edits = bed.edits("lasting").await;
    assert!(edits.values().any(|of_one| of_one.len() == 4), "{edits:?}");
    assert_eq!(bed.edits("restarted").await, edits);
}
