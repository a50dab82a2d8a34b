//! Files of definitions that change in ways that nobody meant.

use std::collections::BTreeMap;

use sqlx::PgPool;
use test_support::eventually;
use threshold_engine::config::Config;

use crate::{
    bed::{Bed, DEADLINE, Form},
    process::life::Life,
    scenario::{Folder, HIGH, Script},
};

const ENGINE: &str = "threshold_engine";

async fn recorded(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from definition_changes")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// A folder that cannot be read takes nothing away, whatever it is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_away_takes_nothing_away() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let named = bed.folder.path().with_extension("d");
    std::fs::rename(bed.folder.path(), &named).unwrap();
    let mut config: Config = bed.config(ENGINE);
    config.patterns.folder = named.clone();
    let life = Life::start(config, bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    let before = recorded(&pool).await;
    std::fs::rename(&named, bed.folder.path()).unwrap();
    eventually(DEADLINE, async || {
        let found = life.get("/v1/definitions").await;
        found["mistakes"].as_array().unwrap().len() == 1
    })
    .await;
    life.post("/v1/definitions/reload", "").await;
    assert_eq!(recorded(&pool).await, before);
    std::fs::rename(bed.folder.path(), &named).unwrap();
    eventually(DEADLINE, async || {
        let found = life.get("/v1/definitions").await;
        found["mistakes"].as_array().unwrap().is_empty()
    })
    .await;
    assert_eq!(recorded(&pool).await, before);
    std::fs::rename(&named, bed.folder.path()).unwrap();
    life.stop().await;
}

/// Two engines of one database whose files differ: the files that changed last count, and both say so.
#[tokio::test(flavor = "multi_thread")]
async fn engines_with_different_files_report_it_and_do_not_fight() {
    let bed = Bed::create(Folder::empty()).await;
    let other = Folder::empty();
    bed.folder.write("high.toml", HIGH);
    other.write("high.toml", &HIGH.replace("ALPHA > 50", "ALPHA > 60"));
    let first = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let mut config = bed.config(ENGINE);
    config.patterns.folder = other.path().to_owned();
    let second = Life::start(config, bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    assert_eq!(recorded(&pool).await, 2);
    // Looked at again for whatever reason, nothing is undone.
    for _ in 0..3 {
        first.post("/v1/definitions/reload", "").await;
        second.post("/v1/definitions/reload", "").await;
    }
    assert_eq!(recorded(&pool).await, 2);
    let found = first.get("/v1/definitions").await;
    let conflict = &found["conflicts"][0];
    assert_eq!(conflict["id"], "alpha-high", "{found}");
    assert_ne!(conflict["own_version"], conflict["running_version"]);
    let found = second.get("/v1/definitions").await;
    assert_eq!(found["conflicts"].as_array().unwrap().len(), 0, "{found}");

    bed.folder
        .write("high.toml", &HIGH.replace("ALPHA > 50", "ALPHA > 70"));
    eventually(DEADLINE, async || recorded(&pool).await == 3).await;
    second.post("/v1/definitions/reload", "").await;
    let found = second.get("/v1/definitions").await;
    assert_eq!(found["conflicts"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(recorded(&pool).await, 3);
    first.stop().await;
    second.stop().await;
}

/// What is stored is what was compiled, however often a file is written meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_text_that_is_stored_is_the_one_that_was_compiled() {
    let bed = Bed::create(Folder::empty()).await;
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    let mut versions: BTreeMap<String, String> = BTreeMap::new();
    for limit in 0..300 {
        let text = HIGH.replace("ALPHA > 50", &format!("ALPHA > {limit}"));
        let pattern = threshold_engine::pattern::Pattern::read("high.toml".as_ref(), &text);
        versions.insert(pattern.unwrap().version, text.clone());
        bed.folder.write("high.toml", &text);
        if limit % 10 == 0 {
            life.post("/v1/definitions/reload", "").await;
        }
    }
    let stored: Vec<(String, String)> =
        sqlx::query_as("select version, content from definition_changes")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert!(stored.len() >= 30, "{}", stored.len());
    for (version, content) in stored {
        assert_eq!(versions[&version], content);
    }
    life.stop().await;
}

/// Whatever a log of another contract holds, the engine's own statements do not fail for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_database_can_store_is_parked_by_itself() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(41);
    bed.log.append(script.drafts(20)).await.unwrap();
    let broken = ["-250000-01-01", "+99999-01-01", "2024-02-30"];
    for date in broken {
        let event = script.dated(date);
        bed.log.append(vec![event]).await.unwrap();
    }
    bed.log.append(script.drafts(20)).await.unwrap();
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    bed.caught_up(&pool).await;
    let reasons: Vec<String> =
        sqlx::query_scalar("select reason from parked_events order by position")
            .fetch_all(&pool)
            .await
            .unwrap();
    let expected = broken.map(|date| format!("data_points[0].date \"{date}\" is no date"));
    assert_eq!(reasons, expected);
    life.stop().await;
}
