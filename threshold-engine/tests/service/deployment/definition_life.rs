//! The life of definitions is emitted: whoever folds the engine's log knows what REST says.

use std::collections::BTreeSet;

use atlas_events::{
    DefinitionChange, DefinitionChangedEvent, DefinitionKind, Event, RegimeTransitionEvent,
    event::Payload,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use sqlx::PgPool;
use test_support::eventually;

use crate::{
    bed::{Bed, DEADLINE, Form},
    deployment::folded::Folded,
    process::life::Life,
    scenario::{Folder, HIGH, MORE, Script},
};

const ENGINE: &str = "threshold_engine";

/// The pattern [`HIGH`] with another threshold.
fn high_above(threshold: u32) -> String {
    let text = HIGH.replace("ALPHA > 50", &format!("ALPHA > {threshold}"));
    text.replace("clear_when = 'ALPHA < 40'", "")
}

fn changes(events: &[Event]) -> Vec<&DefinitionChangedEvent> {
    let changes = events.iter().filter_map(|event| match &event.payload {
        Some(Payload::DefinitionChanged(changed)) => Some(changed),
        _ => None,
    });
    changes.collect()
}

fn transitions(events: &[Event]) -> Vec<(&Event, &RegimeTransitionEvent)> {
    let transitions = events.iter().filter_map(|event| match &event.payload {
        Some(Payload::RegimeTransition(transition)) => Some((event, transition)),
        _ => None,
    });
    transitions.collect()
}

/// Waits until so many changes of definitions were emitted.
async fn emitted_after(bed: &Bed, count: usize) -> Vec<Event> {
    eventually(DEADLINE, async || {
        changes(&bed.emitted(ENGINE).await).len() >= count
    })
    .await;
    bed.emitted(ENGINE).await
}

/// Each event of a definition says what it is and what became of its state, and a regime that changes by it says by what.
#[tokio::test(flavor = "multi_thread")]
async fn each_change_of_a_definition_is_emitted_with_what_became_of_its_state() {
    let bed = Bed::create(Folder::empty()).await;
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    bed.log.append(Script::new(9).drafts(300)).await.unwrap();
    bed.caught_up(&pool).await;
    for (name, text) in MORE {
        bed.folder.write(name, text);
    }
    // Every value of this scenario is at least 0.
    bed.folder
        .write("high.toml", &high_above(0).replace('>', ">="));
    let emissions = emitted_after(&bed, 4).await;
    let deployed = changes(&emissions)[0];
    assert_eq!(deployed.kind(), DefinitionKind::Pattern);
    assert_eq!(deployed.change(), DefinitionChange::Deployed);
    assert_eq!(deployed.definition_id, "alpha-high");
    assert_eq!(deployed.name, "Alpha is high");
    assert_eq!(deployed.series_ids, ["ALPHA"]);
    assert_eq!(deployed.before, None);
    let after = deployed.after.as_ref().unwrap();
    assert_eq!((after.state.as_str(), after.active), ("active", Some(true)));
    let regimes = Folded::of(&emissions).regimes;
    assert_ne!(regimes["mood"], "calm");

    bed.folder.write("high.toml", &high_above(1_000));
    let emissions = emitted_after(&bed, 5).await;
    let replaced = changes(&emissions)[4];
    assert_eq!(replaced.change(), DefinitionChange::Replaced);
    assert_eq!(replaced.previous_version, deployed_version(&emissions));
    assert_eq!(replaced.before.as_ref().unwrap().active, Some(true));
    assert_eq!(replaced.after.as_ref().unwrap().active, Some(false));
    let (_, shifted) = *transitions(&emissions).last().unwrap();
    let by = emissions.iter().find(|event| {
        matches!(&event.payload, Some(Payload::DefinitionChanged(changed)) if changed == replaced)
    });
    assert_eq!(shifted.definition_event_id, by.unwrap().event_id);
    assert_eq!(shifted.from_regime, regimes["mood"]);
    assert_eq!(shifted.to_regime, "calm");
    assert_eq!(
        (shifted.cause_event_id.as_str(), shifted.cause_position),
        ("", 0)
    );

    life.post("/v1/patterns/alpha-high/disable", "flickers")
        .await;
    let emissions = emitted_after(&bed, 6).await;
    let suspended = changes(&emissions)[5];
    assert_eq!(suspended.change(), DefinitionChange::Suspended);
    assert_eq!(suspended.reason, "flickers");
    assert_eq!(suspended.version, replaced.version);
    assert_eq!(suspended.after, None);

    bed.folder.remove("high.toml");
    bed.folder.remove("mood.toml");
    let emissions = emitted_after(&bed, 8).await;
    let removed = &changes(&emissions)[6..];
    let ids: BTreeSet<_> = removed.iter().map(|c| c.definition_id.as_str()).collect();
    assert_eq!(ids, ["alpha-high", "mood"].into());
    assert!(
        removed
            .iter()
            .all(|c| c.change() == DefinitionChange::Removed)
    );
    assert_eq!(Folded::of(&emissions), Folded::of_rest(&life).await);
    life.stop().await;
}

fn deployed_version(emissions: &[Event]) -> String {
    changes(emissions)[0].version.clone()
}

async fn recorded(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from definition_changes")
        .fetch_one(pool)
        .await
        .unwrap()
}

/// One edit, or some observations.
async fn act(bed: &Bed, life: &Life, random: &mut StdRng, script: &mut Script) {
    match random.random_range(0..12) {
        0..=2 => {
            let threshold = random.random_range(0..90);
            bed.folder.write("high.toml", &high_above(threshold));
        }
        3 => {
            let (name, text) = MORE[random.random_range(0..MORE.len())];
            let text = text.replace("> 10", &format!("> {}", random.random_range(1..15)));
            bed.folder.write(name, &text);
        }
        4 if random.random_ratio(1, 2) => {
            let name = MORE[random.random_range(0..MORE.len())].0;
            let _ = std::fs::remove_file(bed.folder.path().join(name));
        }
        5 => life.post("/v1/patterns/alpha-high/disable", "off").await,
        6 => life.post("/v1/patterns/alpha-high/enable", "on").await,
        7 => life.post("/v1/definitions/reload", "").await,
        _ => {
            let count = random.random_range(1..30);
            bed.log.append(script.drafts(count)).await.unwrap();
        }
    }
}

async fn agree(bed: &Bed, life: &Life) {
    eventually(DEADLINE, async || {
        Folded::of(&bed.emitted(ENGINE).await) == Folded::of_rest(life).await
    })
    .await;
}

/// Two engines of one database are edited at random and restarted; every change is emitted once.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_folds_the_log_knows_what_rest_says_whatever_is_edited() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut random = StdRng::seed_from_u64(128);
    let mut script = Script::new(128);
    let start = async |form| Life::start(bed.config(ENGINE), bed.source(form)).await;
    let mut lives = [start(Form::InProcess).await, start(Form::Grpc).await];
    let pool = bed.pool(ENGINE).await;
    for _ in 0..80 {
        let chosen = random.random_range(0..2);
        if random.random_ratio(1, 12) {
            let fresh = start(Form::InProcess).await;
            std::mem::replace(&mut lives[chosen], fresh).stop().await;
        }
        act(&bed, &lives[chosen], &mut random, &mut script).await;
        if random.random_ratio(1, 3) {
            agree(&bed, &lives[1 - chosen]).await;
        }
    }
    bed.caught_up(&pool).await;
    // Which edits met which observations depends on the machine; these two change the regime on any.
    for (name, text) in MORE {
        bed.folder.write(name, text);
    }
    lives[0].post("/v1/patterns/alpha-high/enable", "on").await;
    for text in [high_above(0).replace('>', ">="), high_above(1_000)] {
        bed.folder.write("high.toml", &text);
        lives[0].post("/v1/definitions/reload", "").await;
    }
    for life in &lives {
        agree(&bed, life).await;
    }
    for life in lives {
        life.stop().await;
    }
    let emissions = bed.emitted(ENGINE).await;
    let (changes, transitions) = (changes(&emissions), transitions(&emissions));
    assert_eq!(changes.len() as i64, recorded(&pool).await);
    assert!(changes.len() > 12, "{}", changes.len());
    let by_definition =
        |(_, t): &&(&Event, &RegimeTransitionEvent)| !t.definition_event_id.is_empty();
    let by_definition = transitions.iter().filter(by_definition).count();
    assert!(by_definition > 0);
    // Nothing of it is emitted again by an engine that starts anew.
    let life = start(Form::InProcess).await;
    agree(&bed, &life).await;
    life.stop().await;
    assert_eq!(bed.emitted(ENGINE).await, emissions);
}
