//! What somebody asks to be evaluated costs a bounded amount of work, memory and time.

use std::time::{Duration, Instant};

use access::{Entry, Identity, Scope, Secret};
use reqwest::{Method, StatusCode};
use serde_json::json;

use threshold_engine::config::{CommonFlags, Flags, load};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    bed::{Bed, Form},
    process::life::Life,
    scenario::{Folder, HIGH},
    serving::rest::Asked,
};

/// A refusal takes no longer, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(30);

async fn check_refused(asked: &Asked, definition: &str, reason: &str) {
    let began = Instant::now();
    let request = Some(json!({"definition": definition}));
    let (status, problem) = asked.ask(Method::POST, "/v1/evaluate", request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(reason), "{detail}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

fn test_with(values: &str) -> String {
    let from = "2020-01-01";
    format!(
        "[[tests]]\nname = \"t\"\nexpect = []\n\
         series.ALPHA = {{ from = \"{from}\", every = \"1mo\", values = \"{values}\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_definition_is_bounded_before_it_costs_anything() {
    let asked = Asked::create().await;
    let with = |tests: &str| format!("{HIGH}\n{tests}");
    let count = usize::MAX;
    let counts = format!("1 1*{count}");
    check_refused(&asked, &with(&test_with(&counts)), "at most 5000 values").await;
    let many = test_with("1*5000").repeat(50);
    check_refused(&asked, &with(&many), "more than 200000 values").await;
    let many = test_with("1").repeat(101);
    check_refused(&asked, &with(&many), "at most 100 tests").await;
    let long = format!("{HIGH}# {}", "x".repeat(300_000));
    check_refused(&asked, &long, "longer than").await;
    let named = HIGH.replacen("name = \"", &format!("name = \"{}", "long ".repeat(40)), 1);
    check_refused(&asked, &named, "a name has").await;
    // It goes on to serve.
    let request = json!({"definition": HIGH});
    asked.post("/v1/evaluate", request).await;
    asked.life.stop().await;
}

/// The status of a request whose body never comes.
async fn status_without_body(rest: &str, token: &str) -> String {
    let address = rest.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /v1/evaluate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 1000\r\nauthorization: Bearer {token}\r\n\r\n{{"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    let reading = timeout(PATIENCE, stream.read_exact(&mut status));
    reading.await.unwrap().unwrap();
    String::from_utf8(status.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_may_not_evaluate_is_refused_before_the_body_comes() {
    let secrets = [(); 4].map(|()| Secret::generate().unwrap());
    let entry = |index: usize, scope| {
        let identity = Identity::Token(secrets[index].hash());
        Entry::new(&format!("client {index}"), identity, vec![scope])
    };
    let only = |name: &str| Some(vec![name.to_owned()].into());
    let entries = [
        entry(0, Scope::Publish),
        Entry {
            sources: only("Shop"),
            ..entry(1, Scope::Read)
        },
        Entry {
            event_types: only("SeriesCollectedEvent"),
            ..entry(2, Scope::Read)
        },
    ];
    let files = test_support::Folder::create();
    let text: Vec<_> = entries.iter().map(access::render).collect();
    let tokens = files.write("tokens.toml", &text.join("\n"));
    let bed = Bed::create(Folder::with_definitions()).await;
    let mut set = bed.settings("threshold_engine");
    set.push(format!("auth.tokens_file={tokens}"));
    let flags = Flags {
        common: CommonFlags::set(set),
        ..Flags::default()
    };
    let config = load(&flags, &[]).unwrap().config;
    let life = Life::start(config, bed.source(Form::InProcess)).await;
    for (index, expected) in [(0, "403"), (1, "403"), (2, "403"), (3, "401")] {
        let status = status_without_body(&life.rest, secrets[index].expose()).await;
        assert_eq!(status, format!("HTTP/1.1 {expected}"), "client {index}");
    }
    life.stop().await;
}
