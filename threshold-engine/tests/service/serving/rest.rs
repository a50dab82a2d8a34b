//! What people see and do over REST.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::{check_index, check_page, eventually};

use crate::{
    bed::{Bed, DEADLINE, Form},
    process::life::Life,
    scenario::{Folder, HIGH, Script},
};

const ENGINE: &str = "threshold_engine";

/// An engine that has processed some events.
pub(crate) struct Asked {
    bed: Bed,
    pub(crate) life: Life,
    pool: PgPool,
    script: Script,
}

impl Asked {
    pub(crate) async fn create() -> Self {
        let bed = Bed::create(Folder::with_definitions()).await;
        let mut script = Script::new(8);
        bed.log.append(script.drafts(400)).await.unwrap();
        let life = Life::start(bed.config(ENGINE), bed.source(Form::InProcess)).await;
        let pool = bed.pool(ENGINE).await;
        bed.caught_up(&pool).await;
        Self {
            bed,
            life,
            pool,
            script,
        }
    }

    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.life.rest);
        let mut request = reqwest::Client::new()
            .request(method, url)
            .timeout(DEADLINE);
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (
            status,
            serde_json::from_str(&response.text().await.unwrap()).unwrap(),
        )
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, body) = self.ask(Method::POST, path, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_show_their_state_and_why() {
    let asked = Asked::create().await;
    let list = asked.get("/v1/patterns").await;
    let ids: Vec<_> = list["patterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| pattern["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["alpha-high", "both-rise", "spread-wide"]);

    let high = asked.get("/v1/patterns/alpha-high").await;
    assert_eq!(high["when"], "ALPHA > 50");
    assert_eq!(high["file"], "high.toml");
    assert!(high["spells"].as_array().unwrap().len() > 2, "{high}");
    // The scenario's observations are of the year 2000: too old today.
    assert_eq!(high["state"], "no_data");
    let input = &high["outcome"]["inputs"][0];
    assert_eq!(input["series"], "ALPHA");
    assert!(input["no_data"].is_string(), "{high}");

    let (status, problem) = asked.ask(Method::GET, "/v1/patterns/none", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem["type"], "urn:atlas:problem:not-found");
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_pattern_emits_nothing_until_it_is_enabled() {
    let mut asked = Asked::create().await;
    let count = async |asked: &Asked| {
        let emissions = asked.bed.emissions(ENGINE).await;
        let of = |event: &&atlas_events::Event| {
            let text = serde_json::to_string(event).unwrap();
            text.contains("\"patternId\":\"alpha-high\"")
        };
        emissions.iter().filter(of).count()
    };
    let reason = json!({"reason": "flickers"});
    let off = asked.post("/v1/patterns/alpha-high/disable", reason).await;
    assert_eq!(off["state"], "off");
    assert_eq!(off["switches"][0]["reason"], "flickers");
    let before = count(&asked).await;
    asked
        .bed
        .log
        .append(asked.script.drafts(300))
        .await
        .unwrap();
    asked.bed.caught_up(&asked.pool).await;
    assert_eq!(count(&asked).await, before);

    // It stays off when the files are read again.
    let reloaded = asked.post("/v1/definitions/reload", json!({})).await;
    assert_eq!(reloaded["put"], json!([]));
    let reason = json!({"reason": "repaired"});
    let on = asked.post("/v1/patterns/alpha-high/enable", reason).await;
    assert_eq!(on["enabled"], true);
    assert_eq!(on["switches"].as_array().unwrap().len(), 2);
    assert_eq!(
        count(&asked).await,
        before,
        "nothing is emitted about the past"
    );
    asked
        .bed
        .log
        .append(asked.script.drafts(300))
        .await
        .unwrap();
    asked.bed.caught_up(&asked.pool).await;
    assert!(count(&asked).await > before);

    let empty = Some(json!({"reason": " "}));
    let (status, problem) = asked
        .ask(Method::POST, "/v1/patterns/alpha-high/disable", empty)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(problem["errors"][0]["field"], "reason");
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_is_tried_out_without_any_effect() {
    let asked = Asked::create().await;
    let emissions = asked.bed.emissions(ENGINE).await;
    let definition = HIGH.replace("alpha-high", "trial").replace("> 50", "> 20");
    let request = json!({"definition": definition, "at": "2000-03-01"});
    let tried = asked.post("/v1/evaluate", request).await;
    assert!(tried["points"].as_u64().unwrap() > 50, "{tried}");
    assert!(!tried["pattern"]["spells"].as_array().unwrap().is_empty());
    assert_ne!(tried["pattern"]["state"], "no_data");

    let broken = HIGH.replace("ALPHA >", "ALPHA.maen(3) >");
    let request = Some(json!({"definition": broken}));
    let (status, problem) = asked.ask(Method::POST, "/v1/evaluate", request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        problem["detail"].as_str().unwrap().contains("maen"),
        "{problem}"
    );
    // More than other bodies may have, to be refused in its own words.
    let request = Some(json!({"definition": "#".repeat(300_000)}));
    let (status, problem) = asked.ask(Method::POST, "/v1/evaluate", request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("longer than 262144 bytes"), "{problem}");
    assert_eq!(asked.bed.emissions(ENGINE).await, emissions);
    assert_eq!(
        asked.get("/v1/patterns").await["patterns"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_files_are_reported_with_their_line() {
    let asked = Asked::create().await;
    asked
        .bed
        .folder
        .write("worse.toml", &HIGH.replace("ALPHA > 50", "ALPHA > x"));
    eventually(DEADLINE, async || {
        let definitions = asked.get("/v1/definitions").await;
        let mistakes = definitions["mistakes"].as_array().unwrap();
        mistakes
            .iter()
            .any(|mistake| mistake["file"] == "worse.toml" && mistake["line"] == 6)
    })
    .await;
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_regimes_and_checkpoints() {
    let asked = Asked::create().await;
    let inputs = asked.get("/v1/inputs").await;
    let alpha = &inputs["inputs"][0];
    assert_eq!(alpha["series"], "ALPHA");
    assert_eq!(alpha["too_old_for"]["alpha-high"], true);
    assert!(alpha["age_days"].as_i64().unwrap() > 365);

    let regimes = asked.get("/v1/regimes").await;
    let mood = &regimes["regimes"][0];
    assert_eq!(mood["id"], "mood");
    assert!(mood["history"].as_array().unwrap().len() > 5, "{mood}");

    eventually(DEADLINE, async || {
        let checkpoints = asked.get("/v1/checkpoints").await;
        checkpoints["checkpoints"][0]["lag_events"] == 0
    })
    .await;
    let emissions = asked.bed.emissions(ENGINE).await;
    asked
        .post("/v1/checkpoints/reset", json!({"beginning": true}))
        .await;
    asked.bed.caught_up(&asked.pool).await;
    assert_eq!(asked.bed.emissions(ENGINE).await, emissions);
    let both = Some(json!({"beginning": true, "position": 3}));
    let (status, _) = asked.ask(Method::POST, "/v1/checkpoints/reset", both).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_listed_retried_and_discarded() {
    let mut asked = Asked::create().await;
    let mut broken = asked.script.drafts(1).remove(0);
    broken.encoded = prost::Message::encode_to_vec(&atlas_events::Event {
        event_id: broken.event_id.to_string(),
        occurred_at: Some(broken.occurred_at.into()),
        source_service: "test".to_owned(),
        payload: Some(atlas_events::event::Payload::SeriesCollected(
            atlas_events::SeriesCollectedEvent::default(),
        )),
        ..atlas_events::Event::default()
    })
    .into();
    asked.bed.log.append(vec![broken]).await.unwrap();
    asked.bed.caught_up(&asked.pool).await;
    let parked = asked.get("/v1/parked?state=parked").await;
    assert_eq!(parked["events"][0]["position"], 401);
    assert_eq!(parked["events"][0]["reason"], "series_id is missing");
    let retried = asked.post("/v1/parked/retry", json!({})).await;
    assert_eq!(retried, json!({"marked": 1, "resolved": 0, "failed": 1}));
    let discarded = asked.post(
        "/v1/parked/discard",
        json!({"ids": [parked["events"][0]["id"]]}),
    );
    assert_eq!(discarded.await, json!({"discarded": 1}));
    let parked = asked.get("/v1/parked?state=parked").await;
    assert_eq!(parked["events"], json!([]));
    let (status, _) = asked.ask(Method::GET, "/v1/parked?state=lost", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_describes_every_route() {
    let asked = Asked::create().await;
    let document = asked.get("/openapi.json").await;
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 21, "{:?}", paths.keys());
    for operation in paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
    {
        assert!(operation["summary"].is_string(), "{operation}");
        assert!(operation["operationId"].is_string(), "{operation}");
    }
    asked.life.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn index_and_documentation_show_every_request() {
    let asked = Asked::create().await;
    let document = asked.get("/openapi.json").await;
    check_index(&asked.get("/").await, &document);
    for (path, explains) in [("/", false), ("/docs", true)] {
        let request = reqwest::Client::new().get(format!("{}{path}", asked.life.rest));
        let request = request.header("accept", "text/html").timeout(DEADLINE);
        let page = request.send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let policy = page.headers()["content-security-policy"].clone();
        let html = page.text().await.unwrap();
        check_page(&html, policy.to_str().unwrap(), &document, explains);
    }
    asked.life.stop().await;
}
