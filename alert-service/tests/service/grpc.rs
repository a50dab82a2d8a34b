//! Rules over gRPC: what REST does, in its words.

use access::{Scope, render};
use atlas_events::{
    AlertRule, CreateAlertRuleRequest, DeleteAlertRuleRequest, GetAlertRuleRequest,
    ListAlertRulesRequest, PauseAlertRuleRequest, ResumeAlertRuleRequest, TestAlertRuleRequest,
    UpdateAlertRuleRequest, alert_rules_client::AlertRulesClient,
};
use chrono::{Days, Utc};
use serde_json::{Value, json};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt;

use crate::{
    bed::{Bed, Running},
    tenants::{OWN, token},
};

type Client = AlertRulesClient<Channel>;

async fn connect(service: &Running) -> Client {
    let channel = Channel::from_shared(service.grpc_url().to_owned()).unwrap();
    AlertRulesClient::new(channel.connect().await.unwrap())
}

fn document(value: Value) -> Option<pbjson_types::Struct> {
    Some(serde_json::from_value(value).unwrap())
}

fn shown(rule: &AlertRule) -> Value {
    serde_json::to_value(rule.rule.as_ref().unwrap()).unwrap()
}

fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|one| one.field).collect()
}

fn rule(series: &str, more: Value) -> Value {
    let mut rule = json!({"name": "Fear", "condition": {"kind": "price", "series": series, "comparison": "gt",
        "value": "30.5"}});
    let fields = rule.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    rule
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_made_changed_tested_and_deleted_as_over_rest() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let day = |days| (Utc::now().date_naive() - Days::new(days)).to_string();
    for (days, value) in [(4, "1"), (3, "31"), (2, "2")] {
        bed.observe("VIX", &[(&day(days), Some(value))]).await;
    }
    bed.processed().await;
    let mut client = connect(&service).await;
    let given = rule("VIX", json!({"daily_max": 5, "tags": {"desk": "rates"}}));
    let create = CreateAlertRuleRequest {
        rule: document(given.clone()),
    };
    let created = client.create_alert_rule(create).await.unwrap();
    let created = created.into_inner().rule.unwrap();
    assert_eq!((&*created.state, created.version), ("active", 1));
    assert_eq!(created.history[0].change, "created");
    // REST shows the same rule.
    let over_rest = service.get(&format!("/v1/rules/{}", created.id)).await;
    assert_eq!(over_rest["rule"]["daily_max"], json!(5));
    assert_eq!(over_rest["rule"]["condition"], given["condition"]);
    assert_eq!(shown(&created)["tags"], given["tags"]);
    let id = created.id.clone();
    let update = |version| UpdateAlertRuleRequest {
        id: id.clone(),
        version,
        rule: document(rule("VIX", json!({"name": "Greed"}))),
    };
    let updated = client.update_alert_rule(update(1)).await.unwrap();
    let updated = updated.into_inner().rule.unwrap();
    assert_eq!(
        (updated.version, &shown(&updated)["name"]),
        (2, &json!("Greed"))
    );
    let conflict = client.update_alert_rule(update(1)).await.unwrap_err();
    assert_eq!(conflict.code(), Code::Aborted, "{conflict}");
    let pause = PauseAlertRuleRequest {
        id: id.clone(),
        note: "holiday".to_owned(),
    };
    let paused = client.pause_alert_rule(pause).await.unwrap();
    let paused = paused.into_inner().rule.unwrap();
    assert_eq!(paused.state, "paused");
    assert_eq!(paused.history.last().unwrap().note, "holiday");
    let listed = async |client: &mut Client, state: &str| {
        let list = ListAlertRulesRequest {
            state: state.to_owned(),
            page_size: 1,
            ..ListAlertRulesRequest::default()
        };
        client.list_alert_rules(list).await.unwrap().into_inner()
    };
    assert_eq!(listed(&mut client, "paused").await.rules.len(), 1);
    assert_eq!(listed(&mut client, "active").await.rules.len(), 0);
    let resume = ResumeAlertRuleRequest {
        id: id.clone(),
        note: String::new(),
    };
    client.resume_alert_rule(resume).await.unwrap();
    let test = TestAlertRuleRequest {
        rule: document(rule("VIX", json!({}))),
        ..TestAlertRuleRequest::default()
    };
    let tested = client.test_alert_rule(test).await.unwrap().into_inner();
    assert_eq!((tested.firings.len(), tested.points), (1, 3));
    let firing = &tested.firings[0];
    assert_eq!((&*firing.began, &*firing.ended), (&*day(3), &*day(2)));
    assert_eq!(firing.value.as_deref(), Some("31"));
    let second = CreateAlertRuleRequest {
        rule: document(rule("VIX", json!({}))),
    };
    client.create_alert_rule(second).await.unwrap();
    let page = listed(&mut client, "").await;
    assert_eq!((page.rules.len(), &page.next_after), (1, &id));
    let delete = DeleteAlertRuleRequest { id: id.clone() };
    client.delete_alert_rule(delete.clone()).await.unwrap();
    let gone = client.delete_alert_rule(delete).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound, "{gone}");
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_the_fields_of_rest() {
    let bed = Bed::create(&[]).await;
    let service = bed.start().await;
    let mut client = connect(&service).await;
    let mut refused = async |given: Option<Value>| {
        let create = CreateAlertRuleRequest {
            rule: given.and_then(document),
        };
        let status = client.create_alert_rule(create).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        fields(&status)
    };
    assert_eq!(refused(None).await, ["rule"]);
    assert_eq!(
        refused(Some(rule("VIX", json!({})))).await,
        ["condition.series"]
    );
    let two = rule("", json!({"name": ""}));
    assert_eq!(
        refused(Some(two)).await,
        ["name", "condition.series", "condition.series"]
    );
    let unknown = rule("VIX", json!({"colour": "red"}));
    assert!(!refused(Some(unknown)).await.is_empty());
    let nul = rule("VIX", json!({"note": "a\u{0}"}));
    assert_eq!(refused(Some(nul)).await, ["rule"]);
    for id in ["nobody", "\u{0}"] {
        let get = GetAlertRuleRequest { id: id.to_owned() };
        let status = client.get_alert_rule(get).await.unwrap_err();
        let expected = match id {
            "nobody" => Code::NotFound,
            _ => Code::InvalidArgument,
        };
        assert_eq!(status.code(), expected, "{status}");
    }
    service.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_its_own_rules_and_needs_the_scope() {
    let bed = Bed::create(&[]).await;
    let (ann, a) = token("ann", &OWN);
    let (bob, b) = token("bob", &OWN);
    let (looks, c) = token("looks", &[Scope::AlertsRead]);
    let file: String = [a, b, c].iter().map(render).collect();
    let file = bed.file("tokens.toml", &file);
    let service = bed.start_with(&[format!("auth.tokens_file={file}")]).await;
    let mut client = connect(&service).await;
    fn with<T>(message: T, token: &str) -> Request<T> {
        let mut request = Request::new(message);
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        request
    }
    let create = CreateAlertRuleRequest {
        rule: document(json!({"name": "n", "condition": {"kind": "pattern"}})),
    };
    let nobody = client.create_alert_rule(create.clone()).await.unwrap_err();
    assert_eq!(nobody.code(), Code::Unauthenticated);
    let reader = client.create_alert_rule(with(create.clone(), &looks));
    assert_eq!(reader.await.unwrap_err().code(), Code::PermissionDenied);
    let made = client.create_alert_rule(with(create, &ann)).await;
    let id = made.unwrap().into_inner().rule.unwrap().id;
    let get = GetAlertRuleRequest { id };
    let other = client.get_alert_rule(with(get.clone(), &bob)).await;
    assert_eq!(other.unwrap_err().code(), Code::NotFound);
    let own = client.get_alert_rule(with(get, &ann)).await;
    assert_eq!(own.unwrap().into_inner().rule.unwrap().owner, "ann");
    service.end().await;
}
