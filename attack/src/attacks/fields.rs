//! Every text of every request, one request for each.

mod alerts;

use atlas_events::{
    CollectionFailedEvent, ContinueIn, CustomEvent, DataPoint, DefinitionChangedEvent,
    DiscardParkedEventsRequest, Event, FindEventRequest, ListParkedEventsRequest, LogPosition,
    ParkedEventFilter, PublishRequest, RegimeTransitionEvent, ResetCheckpointRequest,
    RetryParkedEventsRequest, SeriesCollectedEvent, SubscriptionRequest, ThresholdCrossedEvent,
    ThresholdInput, TimeRangeRequest, Timestamp, event::Payload,
    reset_checkpoint_request::Target as ResetTarget,
};
use chrono::Utc;
use prost::Message;
use serde_json::json;

use crate::{
    clients,
    target::{Process, Target},
};

/// The call that has no end.
pub(super) const SUBSCRIBE: &str = "EventStream/SubscribeToEvents";

/// A batch of one event for each text of each payload.
pub(super) fn publishes(text: &str) -> Vec<(&'static str, PublishRequest)> {
    let text = || text.to_owned();
    let source = || "Attack".to_owned();
    let custom = |kind: String| {
        Payload::Custom(CustomEvent {
            r#type: kind,
            data: None,
        })
    };
    let point = |date: String, value: String| {
        let points = vec![DataPoint {
            date,
            value: Some(value),
            known_from: None,
        }];
        Payload::SeriesCollected(SeriesCollectedEvent {
            series_id: "ATTACK2".to_owned(),
            data_points: points,
            collected_at: None,
            release_part: None,
        })
    };
    let failed = |series_id: String, error_code: String| {
        Payload::CollectionFailed(CollectionFailedEvent {
            series_id,
            error_code,
            ..Default::default()
        })
    };
    let crossed = |change: fn(&mut ThresholdCrossedEvent, String)| {
        let mut crossed = ThresholdCrossedEvent {
            pattern_id: source(),
            ..Default::default()
        };
        change(&mut crossed, text());
        Payload::ThresholdCrossed(crossed)
    };
    let regime = |change: fn(&mut RegimeTransitionEvent, String)| {
        let mut regime = RegimeTransitionEvent {
            model_id: source(),
            to_regime: source(),
            ..Default::default()
        };
        change(&mut regime, text());
        Payload::RegimeTransition(regime)
    };
    let definition = |change: fn(&mut DefinitionChangedEvent, String)| {
        let mut definition = DefinitionChangedEvent {
            definition_id: source(),
            ..Default::default()
        };
        change(&mut definition, text());
        Payload::DefinitionChanged(definition)
    };
    let payloads = [
        ("custom.type", custom(text())),
        ("series_collected.date", point(text(), "1".to_owned())),
        (
            "series_collected.value",
            point("2024-01-01".to_owned(), text()),
        ),
        (
            "collection_failed.series_id",
            failed(text(), "TIMEOUT".to_owned()),
        ),
        (
            "collection_failed.error_code",
            failed("ATTACK2".to_owned(), text()),
        ),
        (
            "threshold_crossed.pattern_id",
            crossed(|c, t| c.pattern_id = t),
        ),
        (
            "threshold_crossed.pattern_name",
            crossed(|c, t| c.pattern_name = t),
        ),
        ("threshold_crossed.severity", crossed(|c, t| c.severity = t)),
        ("threshold_crossed.message", crossed(|c, t| c.message = t)),
        ("threshold_crossed.value", crossed(|c, t| c.value = Some(t))),
        (
            "threshold_crossed.cause_event_id",
            crossed(|c, t| c.cause_event_id = t),
        ),
        (
            "threshold_crossed.observation_date",
            crossed(|c, t| c.observation_date = t),
        ),
        (
            "threshold_crossed.labels",
            crossed(|c, t| c.labels = [(t.clone(), t)].into()),
        ),
        (
            "threshold_crossed.inputs",
            crossed(|c, t| {
                c.inputs = vec![ThresholdInput {
                    series_id: t,
                    ..Default::default()
                }];
            }),
        ),
        (
            "definition_changed.definition_id",
            definition(|d, t| d.definition_id = t),
        ),
        ("definition_changed.reason", definition(|d, t| d.reason = t)),
        ("regime_transition.model_id", regime(|r, t| r.model_id = t)),
        (
            "regime_transition.to_regime",
            regime(|r, t| r.to_regime = t),
        ),
        ("regime_transition.since", regime(|r, t| r.since = t)),
        ("regime_transition.score", regime(|r, t| r.score = Some(t))),
        (
            "regime_transition.triggers",
            regime(|r, t| r.trigger_pattern_ids = vec![t]),
        ),
    ];
    let sound = || clients::custom("Sound", None);
    let payloads = payloads.into_iter().chain(alerts::payloads(&text()));
    let events = payloads.map(|(field, payload)| (field, clients::event(payload)));
    let more = [
        (
            "event_id",
            Event {
                event_id: text(),
                ..sound()
            },
        ),
        (
            "source_service",
            Event {
                source_service: text(),
                ..sound()
            },
        ),
    ];
    let all = events.chain(more);
    all.map(|(field, event)| {
        (
            field,
            PublishRequest {
                events: vec![event],
                ..Default::default()
            },
        )
    })
    .collect()
}

/// Requests to read, one for each text.
pub(super) fn reads(text: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = || text.to_owned();
    let range = || TimeRangeRequest {
        end_at: Some(Timestamp::from(Utc::now())),
        ..Default::default()
    };
    let types = TimeRangeRequest {
        event_types: vec![text()],
        ..range()
    };
    let series = TimeRangeRequest {
        series_ids: vec![text()],
        ..range()
    };
    let subscription = |change: fn(&mut SubscriptionRequest, String)| {
        let mut request = SubscriptionRequest {
            after_position: Some(0),
            ..Default::default()
        };
        change(&mut request, text());
        request.encode_to_vec()
    };
    vec![
        (
            "event_types",
            "EventStream/GetEventsSince",
            types.encode_to_vec(),
        ),
        (
            "series_ids",
            "EventStream/GetEventsSince",
            series.encode_to_vec(),
        ),
        (
            "event_types",
            "EventStream/GetEventsBetween",
            types.encode_to_vec(),
        ),
        (
            "series_ids",
            "EventStream/GetEventsBetween",
            series.encode_to_vec(),
        ),
        (
            "event_types",
            SUBSCRIBE,
            subscription(|s, t| s.event_types = vec![t]),
        ),
        (
            "series_ids",
            SUBSCRIBE,
            subscription(|s, t| s.series_ids = vec![t]),
        ),
        ("log_id", SUBSCRIBE, subscription(|s, t| s.log_id = t)),
        ("consumer", SUBSCRIBE, subscription(|s, t| s.consumer = t)),
        (
            "event_id",
            "EventLog/FindEvent",
            FindEventRequest { event_id: text() }.encode_to_vec(),
        ),
    ]
}

/// Requests of operators to the engine, one for each text.
pub(super) fn administration(text: &str) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let text = || text.to_owned();
    let filters = [
        (
            "filter.source",
            ParkedEventFilter {
                source: text(),
                ..Default::default()
            },
        ),
        (
            "filter.event_type",
            ParkedEventFilter {
                event_type: text(),
                ..Default::default()
            },
        ),
        (
            "filter.reason_contains",
            ParkedEventFilter {
                reason_contains: text(),
                ..Default::default()
            },
        ),
    ];
    let mut requests = Vec::new();
    for (field, filter) in filters {
        let filter = Some(filter);
        let list = ListParkedEventsRequest {
            filter: filter.clone(),
            ..Default::default()
        };
        let retry = RetryParkedEventsRequest {
            filter: filter.clone(),
            wait: None,
        };
        let discard = DiscardParkedEventsRequest { filter };
        requests.push((field, "ParkedEvents/ListParkedEvents", list.encode_to_vec()));
        requests.push((
            field,
            "ParkedEvents/RetryParkedEvents",
            retry.encode_to_vec(),
        ));
        requests.push((
            field,
            "ParkedEvents/DiscardParkedEvents",
            discard.encode_to_vec(),
        ));
    }
    let reset = |source: String, target| ResetCheckpointRequest {
        source,
        target: Some(target),
    };
    let elsewhere = LogPosition {
        log_id: text(),
        position: 1,
    };
    let continued = ContinueIn {
        log_id: text(),
        common_position: 1,
    };
    // A source that is none of its own, so that nothing is moved.
    let none = || "none".to_owned();
    let resets = [
        ("source", reset(text(), ResetTarget::Position(1))),
        (
            "log_position.log_id",
            reset(none(), ResetTarget::LogPosition(elsewhere)),
        ),
        (
            "continue_in.log_id",
            reset(none(), ResetTarget::ContinueIn(continued)),
        ),
    ];
    for (field, request) in resets {
        requests.push((
            field,
            "Checkpoints/ResetCheckpoint",
            request.encode_to_vec(),
        ));
    }
    requests
}

/// Requests to REST: paths, queries, and bodies with each of the texts.
pub(super) fn over_rest<'a>(
    target: &'a Target,
    texts: &[String],
) -> Vec<(&'a Process, String, Option<String>)> {
    let (collector, engine) = (&target.collector, &target.engine);
    let mut requests = Vec::new();
    for bad in [
        "a%00b",
        "a%1b%0d%0ab",
        "%ff%fe",
        "%e2%80%ae",
        &"x".repeat(20_000),
    ] {
        let paths = [
            format!("/v1/events?event_type={bad}"),
            format!("/v1/events?series_id={bad}"),
            format!("/v1/events?since={bad}"),
            format!("/v1/events?limit={bad}"),
            format!("/v1/events/{bad}"),
            format!("/v1/series/{bad}"),
            format!("/v1/series/{bad}/observations"),
            format!("/v1/audit?before={bad}"),
            format!("/{bad}"),
        ];
        requests.extend(paths.map(|path| (collector, path, None)));
        let paths = [
            format!("/v1/parked?source={bad}"),
            format!("/v1/parked?event_type={bad}"),
            format!("/v1/parked?reason_contains={bad}"),
            format!("/v1/parked?reason={bad}"),
            format!("/v1/patterns/{bad}"),
            format!("/v1/patterns/{bad}?at={bad}"),
            format!("/v1/regimes?at={bad}"),
        ];
        requests.extend(paths.map(|path| (engine, path, None)));
    }
    for text in texts {
        let filter = |name: &str| {
            let mut filter = serde_json::Map::new();
            filter.insert(name.to_owned(), text.clone().into());
            serde_json::Value::from(filter)
        };
        for name in ["source", "event_type", "reason_contains"] {
            let paths = ["/v1/parked/retry", "/v1/parked/discard"];
            let body = filter(name).to_string();
            requests.extend(paths.map(|path| (engine, path.to_owned(), Some(body.clone()))));
        }
        let reset = json!({"source": text, "position": 1}).to_string();
        requests.push((engine, "/v1/checkpoints/reset".to_owned(), Some(reset)));
        let evaluate = json!({"definition": text}).to_string();
        requests.push((engine, "/v1/evaluate".to_owned(), Some(evaluate)));
        for name in ["series_id", "id", "schedule", "source", "backfill"] {
            let body = filter(name).to_string();
            requests.push((collector, "/v1/series".to_owned(), Some(body)));
        }
    }
    requests
}
