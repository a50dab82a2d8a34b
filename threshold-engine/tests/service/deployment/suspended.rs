//! A definition whose evaluation fails is suspended, and takes nothing with it: not the data, nor others, nor the event
//! at which it failed.

use atlas_events::{
    DataPoint, DefinitionChange, DefinitionChangedEvent, Draft, Event, SeriesCollectedEvent,
    event::Payload,
};
use chrono::{DateTime, Days, NaiveDate, SubsecRound, TimeDelta, Utc};
use test_support::{EventIds, draft, eventually};

use crate::{
    bed::{Bed, DEADLINE, Form, all_of},
    deployment::folded::Folded,
    process::life::Life,
    scenario::{Folder, Script},
};

const ENGINE: &str = "threshold_engine";
/// So many daily observations of a series that is declared to be annual.
const DAYS: u64 = 2_400;

/// A standard deviation looks at every value of its window: of six years these are six, as declared.
const COSTLY: &str = r#"
id = "costly"
name = "Delta moves"
description = "Delta has a deviation."
severity = "info"
when = 'DELTA.stddev("6y") >= 0'

[inputs.DELTA]
unit = "points"
frequency = "annual"
"#;

const MODEL: &str = r#"
id = "moves"
name = "Moves"
description = "Whether delta moves."
initial = "calm"

[[states]]
id = "moving"
enter = 'pattern("costly")'

[[states]]
id = "calm"
"#;

/// Makes events of DELTA.
struct Delta {
    ids: EventIds,
    began: DateTime<Utc>,
    made: i64,
}

impl Delta {
    fn new() -> Self {
        Self {
            ids: EventIds::new(77),
            began: Utc::now().trunc_subsecs(3) - TimeDelta::hours(1),
            made: 0,
        }
    }

    fn event(&mut self, days: std::ops::Range<u64>, value: &str) -> Draft {
        self.made += 1;
        let occurred_at = self.began + TimeDelta::milliseconds(self.made * 10);
        let first = NaiveDate::from_ymd_opt(2000, 1, 1).unwrap();
        let points = days.map(|day| DataPoint {
            date: (first + Days::new(day)).to_string(),
            value: Some(format!("{value}{}", day % 10)),
            known_from: None,
        });
        draft(Event {
            event_id: self.ids.make(occurred_at).to_string(),
            occurred_at: Some(occurred_at.into()),
            source_service: "test".to_owned(),
            payload: Some(Payload::SeriesCollected(SeriesCollectedEvent {
                series_id: "DELTA".to_owned(),
                data_points: points.collect(),
                collected_at: None,
                release_part: None,
            })),
            ..Event::default()
        })
    }
}

fn with_costly(folder: Folder) -> Folder {
    folder.write("costly.toml", COSTLY);
    folder.write("moves.toml", MODEL);
    folder
}

/// The events of the scenario: others, and a revision of DELTA among them that costs too much.
async fn append_all(bed: &Bed) -> u64 {
    let (mut script, mut delta) = (Script::new(31), Delta::new());
    bed.log.append(script.drafts(100)).await.unwrap();
    bed.log
        .append(vec![delta.event(0..DAYS, "1")])
        .await
        .unwrap();
    let revision = bed.log.append(vec![delta.event(0..1, "9")]).await.unwrap();
    bed.log.append(script.drafts(100)).await.unwrap();
    revision[0].position
}

fn suspension(emissions: &[Event]) -> (usize, &Event, &DefinitionChangedEvent) {
    let found = emissions.iter().enumerate().find_map(|(place, event)| {
        let Some(Payload::DefinitionChanged(changed)) = &event.payload else {
            return None;
        };
        let is_suspended = changed.change() == DefinitionChange::Suspended;
        is_suspended.then_some((place, event, changed))
    });
    found.unwrap()
}

/// Without what is emitted at a time of its own, and without positions.
fn by_observations(emissions: &[Event], is_of: impl Fn(&Event) -> bool) -> Vec<Event> {
    let is_edit = |event: &Event| {
        matches!(&event.payload, Some(Payload::DefinitionChanged(changed))
            if changed.cause_event_id.is_empty())
    };
    let emissions = emissions
        .iter()
        .filter(|event| !is_edit(event) && is_of(event));
    let bare = |event: &Event| Event {
        position: 0,
        traceparent: String::new(),
        ..event.clone()
    };
    emissions.map(bare).collect()
}

fn is_of_costly(event: &Event) -> bool {
    match event.payload.as_ref().unwrap() {
        Payload::ThresholdCrossed(crossed) => crossed.pattern_id == "costly",
        Payload::RegimeTransition(transition) => transition.model_id == "moves",
        Payload::DefinitionChanged(changed) => {
            ["costly", "moves"].contains(&changed.definition_id.as_str())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_that_costs_too_much_is_suspended_and_everything_else_goes_on() {
    let bed = Bed::create(with_costly(Folder::with_definitions())).await;
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    let position = append_all(&bed).await;
    bed.caught_up(&pool).await;

    let emissions = bed.emitted(ENGINE).await;
    let (place, event, changed) = suspension(&emissions);
    assert_eq!(changed.definition_id, "costly");
    assert_eq!(changed.series_ids, ["DELTA"]);
    assert!(changed.reason.contains("steps of work"), "{changed:?}");
    assert_eq!(changed.before.as_ref().unwrap().active, Some(true));
    assert_eq!(changed.after, None);
    assert_eq!(changed.cause_position, position);
    let source = all_of(&bed.log).await;
    let cause = &source[usize::try_from(position).unwrap() - 1];
    assert_eq!(changed.cause_event_id, cause.event_id);
    assert_eq!(event.occurred_at, cause.occurred_at);
    let Some(Payload::RegimeTransition(shifted)) = &emissions[place + 1].payload else {
        panic!("{:?}", emissions[place + 1]);
    };
    assert_eq!(shifted.definition_event_id, event.event_id);
    assert_eq!(
        (&*shifted.from_regime, &*shifted.to_regime),
        ("moving", "calm")
    );

    // Nothing is parked, and REST says why and where.
    let parked: i64 = sqlx::query_scalar("select count(*) from parked_events")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(parked, 0);
    let shown = life.get("/v1/patterns/costly").await;
    assert_eq!(shown["state"], "suspended");
    assert_eq!(shown["enabled"], false);
    let suspended = &shown["suspension"];
    assert_eq!(suspended["reason"], changed.reason);
    assert_eq!(suspended["version"], changed.version);
    assert_eq!(suspended["event"]["position"], position);
    let found = life.get("/v1/definitions").await;
    assert_eq!(found["suspended"][0]["id"], "costly", "{found}");
    let metrics = reqwest::get(format!("{}/metrics", life.rest))
        .await
        .unwrap();
    let metrics = metrics.text().await.unwrap();
    assert!(
        metrics.contains("thresholdengine_suspended_definitions"),
        "{metrics}"
    );
    assert_eq!(Folded::of(&emissions), Folded::of_rest(&life).await);
    life.stop().await;

    // The others emit what they emit where there is no such pattern.
    bed.folder.remove("costly.toml");
    bed.folder.remove("moves.toml");
    let life = Life::start(bed.config("without"), bed.source(Form::InProcess)).await;
    bed.caught_up(&bed.pool("without").await).await;
    life.stop().await;
    let others = by_observations(&emissions, |event| !is_of_costly(event));
    assert!(others.len() > 20, "{}", others.len());
    assert_eq!(
        others,
        by_observations(&bed.emitted("without").await, |_| true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_lasts_over_restarts_until_the_pattern_is_enabled_or_changed() {
    let bed = Bed::create(with_costly(Folder::empty())).await;
    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    let pool = bed.pool(ENGINE).await;
    append_all(&bed).await;
    bed.caught_up(&pool).await;
    let emissions = bed.emitted(ENGINE).await;
    suspension(&emissions);
    life.stop().await;

    let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
    assert_eq!(life.get("/v1/patterns/costly").await["state"], "suspended");
    life.post("/v1/definitions/reload", "").await;
    assert_eq!(life.get("/v1/patterns/costly").await["state"], "suspended");
    assert_eq!(bed.emitted(ENGINE).await, emissions);

    life.post("/v1/patterns/costly/enable", "mended").await;
    let shown = life.get("/v1/patterns/costly").await;
    assert_eq!(shown["active"], true, "{shown}");
    assert!(shown["suspension"].is_null(), "{shown}");
    let emissions = bed.emitted(ENGINE).await;
    assert_eq!(Folded::of(&emissions), Folded::of_rest(&life).await);
    assert_eq!(Folded::of(&emissions).regimes["moves"], "moving");

    // It fails again; another version is another chance.
    let mut delta = Delta::new();
    delta.made = 100;
    let event = delta.event(0..1, "5");
    bed.log.append(vec![event]).await.unwrap();
    bed.caught_up(&pool).await;
    assert_eq!(life.get("/v1/patterns/costly").await["state"], "suspended");
    bed.folder
        .write("costly.toml", &COSTLY.replace("6y", "20d"));
    eventually(DEADLINE, async || {
        life.get("/v1/patterns/costly").await["enabled"] == true
    })
    .await;
    let emissions = bed.emitted(ENGINE).await;
    assert_eq!(Folded::of(&emissions), Folded::of_rest(&life).await);
    life.stop().await;
}

/// Whatever batches the events come in, and wherever an engine starts anew, it emits the same events.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_fails_at_the_same_step_however_events_are_batched() {
    let bed = Bed::create(with_costly(Folder::with_definitions())).await;
    append_all(&bed).await;
    let mut emissions = Vec::new();
    for (schema, batch_events_max) in [("one", 1), ("ten", 10), ("many", 1_000)] {
        let mut config = bed.config(schema);
        config.consumer.batch_events_max = batch_events_max;
        let pool = bed.pool(schema).await;
        let life = Life::start(config.clone(), bed.source(Form::InProcess)).await;
        if batch_events_max == 10 {
            eventually(DEADLINE, async || {
                crate::bed::position(&pool).await > Some(105)
            })
            .await;
            life.stop().await;
            let life = Life::start(config, bed.source(Form::Grpc)).await;
            bed.caught_up(&pool).await;
            life.stop().await;
        } else {
            bed.caught_up(&pool).await;
            life.stop().await;
        }
        emissions.push(by_observations(&bed.emitted(schema).await, |_| true));
    }
    suspension(&emissions[0]);
    assert_eq!(emissions[0], emissions[1]);
    assert_eq!(emissions[0], emissions[2]);
}
