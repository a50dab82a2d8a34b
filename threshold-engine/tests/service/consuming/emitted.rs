//! What an engine emits is what the pure engine returns for the same points.

use std::{collections::BTreeMap, sync::Arc};

use atlas_events::{Event, Timestamp, event::Payload};
use chrono::SubsecRound;
use evaluation::series::{Cause, Point};
use test_support::eventually;
use threshold_engine::{Emission, Engine, library::Library};

use crate::{
    bed::{Bed, DEADLINE, Form, SOURCE, all_of},
    process::life::Life,
    scenario::{Folder, Script},
};

const ENGINE: &str = "threshold_engine";

/// What the pure engine says of a sequence of events.
fn expected(folder: &Folder, events: &[Event]) -> Vec<Emission> {
    let (library, mistakes) = Library::load(folder.path());
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let mut engine = Engine::new(library.patterns, library.regimes);
    let mut emissions = Vec::new();
    for event in events {
        let Some(Payload::SeriesCollected(collected)) = &event.payload else {
            continue;
        };
        let occurred_at = event.occurred_at.and_then(Timestamp::to_utc).unwrap();
        let mut by_moment: BTreeMap<_, Vec<Point>> = BTreeMap::new();
        for (index, point) in (0..).zip(&collected.data_points) {
            let known_from = point.known_from.and_then(Timestamp::to_utc).unwrap();
            let point = Point {
                cause: Cause {
                    source: SOURCE.into(),
                    position: event.position,
                    index,
                    event_id: event.event_id.parse().unwrap(),
                    occurred_at,
                },
                series: Arc::from(collected.series_id.as_str()),
                date: point.date.parse().unwrap(),
                known_from: known_from.trunc_subsecs(6),
                value: point.value.as_ref().map(|v| v.parse().unwrap()),
            };
            by_moment.entry(point.known_from).or_default().push(point);
        }
        for step in by_moment.values() {
            engine.apply(step, &mut emissions);
        }
    }
    emissions
}

async fn an_engine_emits_what_the_pure_engine_returns(form: Form) {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(1);
    let life = Life::start(bed.config(ENGINE), bed.source(form)).await;
    for count in [1, 7, 300, 2, 90, 600] {
        bed.log.append(script.drafts(count)).await.unwrap();
    }
    let pool = bed.pool(ENGINE).await;
    bed.caught_up(&pool).await;
    let emissions = bed.emissions(ENGINE).await;
    let expected = expected(&bed.folder, &all_of(&bed.log).await);
    let ids = |emissions: &[Emission]| -> Vec<String> {
        emissions.iter().map(|e| e.id().to_string()).collect()
    };
    let emitted_ids: Vec<_> = emissions
        .iter()
        .map(|event| event.event_id.clone())
        .collect();
    assert_eq!(emitted_ids, ids(&expected));
    assert!(
        emissions.len() > 100,
        "the scenario is to bring about more than {}",
        emissions.len()
    );
    check_content(&emissions, &expected);
    life.stop().await;
}

fn check_content(emissions: &[Event], expected: &[Emission]) {
    let mut transitions = 0;
    for (event, emission) in emissions.iter().zip(expected) {
        assert_eq!(event.source_service, "ThresholdEngine");
        assert_eq!(
            event.occurred_at.unwrap(),
            emission.cause().occurred_at.into()
        );
        match (event.payload.as_ref().unwrap(), emission) {
            (Payload::ThresholdCrossed(emissions), Emission::Crossing(crossing)) => {
                assert_eq!(emissions.pattern_id, crossing.pattern.id);
                assert_eq!(emissions.observation_date, crossing.date.to_string());
                assert_eq!(emissions.cause_position, crossing.cause.position);
                assert_eq!(emissions.message, crossing.message);
                assert!(!emissions.inputs.is_empty());
            }
            (Payload::RegimeTransition(emissions), Emission::Transition(transition)) => {
                transitions += 1;
                assert_eq!(emissions.to_regime, transition.to);
            }
            (payload, emission) => panic!("{payload:?} for {emission:?}"),
        }
    }
    assert!(transitions > 10, "{transitions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_emits_what_the_pure_engine_returns_over_grpc() {
    an_engine_emits_what_the_pure_engine_returns(Form::Grpc).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_emits_what_the_pure_engine_returns_in_process() {
    an_engine_emits_what_the_pure_engine_returns(Form::InProcess).await;
}

/// Others subscribe to the engine as they do to the collector.
#[tokio::test(flavor = "multi_thread")]
async fn an_engine_is_followed_by_another_consumer() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let life = Life::start(bed.config(ENGINE), bed.source(Form::Grpc)).await;
    let endpoint = tonic::transport::Endpoint::from_shared(life.grpc.clone()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = atlas_events::event_stream_client::EventStreamClient::new(channel);
    let request = atlas_events::SubscriptionRequest {
        after_position: Some(0),
        event_types: vec!["ThresholdCrossedEvent".to_owned()],
        ..atlas_events::SubscriptionRequest::default()
    };
    let mut stream = client
        .subscribe_to_events(request)
        .await
        .unwrap()
        .into_inner();
    bed.log.append(Script::new(2).drafts(200)).await.unwrap();
    let first = tokio::time::timeout(DEADLINE, stream.message())
        .await
        .unwrap();
    let first = first.unwrap().unwrap();
    assert!(
        matches!(first.payload, Some(Payload::ThresholdCrossed(_))),
        "{first:?}"
    );
    life.stop().await;
}

/// An event that cannot be evaluated is parked; those after it are processed.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_evaluated_is_parked() {
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut script = Script::new(3);
    bed.log.append(script.drafts(20)).await.unwrap();
    bed.log.append(vec![script.unreadable()]).await.unwrap();
    bed.log.append(script.drafts(20)).await.unwrap();
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    eventually(DEADLINE, async || {
        crate::bed::position(&pool).await == Some(41)
    })
    .await;
    let parked: Vec<(i64, String)> = sqlx::query_as("select position, reason from parked_events")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].0, 21);
    assert!(
        parked[0].1.contains("data_points[0].value \"a lot\""),
        "{parked:?}"
    );
    life.stop().await;
}
