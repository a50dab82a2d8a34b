//! The OpenAPI document describes every route, parameter and problem.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value};
use test_support::{TestDatabase, check_index, check_page};

use crate::harness::Collector;

const ROUTES: [&str; 21] = [
    "delete /v1/series/{id}",
    "get /",
    "get /docs",
    "get /healthz",
    "get /metrics",
    "get /openapi.json",
    "get /readyz",
    "get /v1/audit",
    "get /v1/events",
    "get /v1/events/{event_id}",
    "get /v1/log",
    "get /v1/series",
    "get /v1/series/{id}",
    "get /v1/series/{id}/latest",
    "get /v1/series/{id}/observations",
    "patch /v1/series/{id}",
    "post /v1/events",
    "post /v1/series",
    "post /v1/series/{id}/backfill",
    "post /v1/series/{id}/collect",
    "post /v1/series/{id}/pause",
];

fn operations(document: &Value) -> Vec<(String, String, &Map<String, Value>)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(|(method, operation)| {
            (method.clone(), path.clone(), operation.as_object().unwrap())
        })
    });
    operations.collect()
}

fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference);
            }
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_route_is_documented_and_there() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let document = collector.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    let documented: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let mut expected: BTreeSet<String> = ROUTES.iter().map(ToString::to_string).collect();
    expected.insert("post /v1/series/{id}/resume".to_owned());
    assert_eq!(documented, expected);
    for (method, path, _) in operations(&document) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let answer = collector
            .send(method.clone(), &path.replace(['{', '}'], ""), None)
            .await;
        assert_ne!(answer.status, 405, "{method} {path}");
        assert!(
            !answer.text.contains("there is nothing at"),
            "{method} {path}"
        );
    }
    collector.stop().await;
}

#[tokio::test]
async fn the_document_is_whole() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let document = collector.get("/openapi.json").await.ok();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.contains("#/components/schemas/Problem"), "{found:?}");
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let route = format!("{method} {path}");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{route}"
        );
        assert!(operation["summary"].is_string(), "{route}");
        let parameters = operation.get("parameters").and_then(Value::as_array);
        let named: Vec<&Value> = parameters.into_iter().flatten().collect();
        for parameter in &named {
            assert!(parameter["description"].is_string(), "{route}: {parameter}");
        }
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let part = part.trim_end_matches('}');
            let found = named.iter().any(|p| p["name"] == part && p["in"] == "path");
            assert!(found, "{route}: {part} is not documented");
        }
        check_responses(&route, &operation["responses"]);
    }
    collector.stop().await;
}

fn check_responses(route: &str, responses: &Value) {
    for (status, response) in responses.as_object().unwrap() {
        assert!(response["description"].is_string(), "{route} {status}");
        if status.starts_with(['4', '5']) {
            let schema = &response["content"]["application/problem+json"]["schema"];
            assert_eq!(
                schema["$ref"], "#/components/schemas/Problem",
                "{route} {status}"
            );
        }
    }
    let has_status = |status: &str| responses.get(status).is_some();
    let is_about_the_process = ["healthz", "metrics", "openapi"]
        .iter()
        .any(|p| route.contains(p));
    assert!(is_about_the_process || has_status("503"), "{route}");
    let takes_body = ["post /v1/events", "post /v1/series", "patch"]
        .iter()
        .any(|start| route == *start || route.starts_with("patch"));
    assert!(
        !takes_body || (has_status("400") && has_status("413") && has_status("415")),
        "{route}"
    );
}

#[tokio::test]
async fn index_and_documentation_show_every_request() {
    let database = TestDatabase::create().await;
    let collector = Collector::start(&database).await;
    let document = collector.get("/openapi.json").await.ok();
    let index = collector.get("/").await;
    assert_eq!(index.headers["content-type"], "application/json");
    assert_eq!(index.headers["vary"], "accept");
    check_index(&index.ok(), &document);
    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for (path, explains) in [("/", false), ("/docs", true)] {
        let page = collector.get_accepting(path, browser).await;
        assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        check_page(&page.text, policy, &document, explains);
    }
    collector.stop().await;
}
