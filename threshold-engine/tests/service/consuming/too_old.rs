//! What is caused by events that are older than the engine's own log keeps.

use atlas_events::{
    CrossingDirection, DataPoint, DefinitionChange, Draft, Event, SeriesCollectedEvent,
    event::Payload,
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use test_support::{EventIds, draft};

use crate::{
    bed::{Bed, Form},
    deployment::folded::Folded,
    process::life::Life,
    scenario::{Folder, HIGH},
};

const ENGINE: &str = "threshold_engine";
const MODEL: &str = r#"
id = "mood"
name = "Mood"
description = "How things are."
initial = "calm"

[[states]]
id = "tense"
enter = 'pattern("alpha-high")'

[[states]]
id = "calm"
"#;

pub(crate) fn alpha(
    ids: &mut EventIds,
    occurred_at: DateTime<Utc>,
    date: &str,
    value: &str,
) -> Draft {
    draft(Event {
        event_id: ids.make(occurred_at).to_string(),
        occurred_at: Some(occurred_at.into()),
        source_service: "test".to_owned(),
        payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
            series_id: "ALPHA".to_owned(),
            data_points: vec![DataPoint {
                date: date.to_owned(),
                value: Some(value.to_owned()),
                known_from: None,
            }],
            collected_at: None,
            release_part: None,
        })),
        ..Event::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_stated_in_sum_and_never_referred_to() {
    let bed = Bed::create(Folder::empty()).await;
    bed.folder.write("high.toml", HIGH);
    bed.folder.write("mood.toml", MODEL);
    let mut config = bed.config(ENGINE);
    config.common.events.retention_days = Some(5);
    let life = Life::start(config, bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    let (mut ids, now) = (EventIds::new(3), Utc::now().trunc_subsecs(3));
    let old = now - TimeDelta::days(10);
    let first = alpha(&mut ids, old, "2000-01-01", "60");
    bed.log.append(vec![first]).await.unwrap();
    bed.caught_up(&pool).await;
    let emissions = bed.emitted(ENGINE).await;
    let stated: Vec<_> = emissions[2..]
        .iter()
        .map(|event| match &event.payload {
            Some(Payload::DefinitionChanged(changed)) => changed,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(stated.len(), 2, "{stated:?}");
    assert!(
        stated
            .iter()
            .all(|s| s.change() == DefinitionChange::Stated)
    );
    let folded = Folded::of(&emissions);
    assert!(folded.patterns["alpha-high"]);
    assert_eq!(folded.regimes["mood"], "tense");
    assert_eq!(folded, Folded::of_rest(&life).await);

    // It is withdrawn, and another turn is emitted and withdrawn.
    for (date, value) in [
        ("2000-01-01", "10"),
        ("2000-01-02", "70"),
        ("2000-01-02", "20"),
    ] {
        let event = alpha(&mut ids, now, date, value);
        bed.log.append(vec![event]).await.unwrap();
        bed.caught_up(&pool).await;
        let emissions = bed.emitted(ENGINE).await;
        assert_eq!(Folded::of(&emissions), Folded::of_rest(&life).await);
    }
    let emissions = bed.emitted(ENGINE).await;
    let revised: Vec<_> = emissions
        .iter()
        .filter_map(|event| match &event.payload {
            Some(Payload::ThresholdCrossed(crossed))
                if crossed.direction() == CrossingDirection::Revised =>
            {
                Some(&crossed.revises_event_id)
            }
            Some(Payload::RegimeTransition(transition)) if transition.revised => {
                Some(&transition.revises_event_id)
            }
            _ => None,
        })
        .collect();
    assert_eq!(revised.len(), 4, "{emissions:?}");
    assert_eq!((revised[0].as_str(), revised[1].as_str()), ("", ""));
    let is_there = |id: &String| emissions.iter().any(|event| event.event_id == *id);
    assert!(revised[2..].iter().all(|id| is_there(id)), "{revised:?}");
    life.stop().await;
}
