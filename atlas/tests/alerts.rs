//! `atlas alerts` against an alert service.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Output, Stdio},
};

use access::{Entry, Identity, Scope, Secret, render};
use alert_service::{
    Context,
    config::{Flags, load},
    service::{Listeners, Service, keep_metrics},
};
use serde_json::{Value, json};
use service::config::CommonFlags;
use test_support::{Folder, TestDatabase};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A receiver that ends with the test.
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn receiver() -> (Receiver, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["alerts", "receive", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let url = line
        .strip_prefix("receiving webhooks at ")
        .unwrap()
        .to_owned();
    (Receiver(child), url)
}

/// The command line with a service and a token.
#[derive(Clone)]
struct Atlas {
    rest: String,
    token: String,
}

impl Atlas {
    async fn run(&self, arguments: &[&str]) -> Output {
        let (this, arguments) = (self.clone(), arguments.iter().map(|a| (*a).to_owned()));
        let arguments: Vec<_> = arguments.collect();
        let run = move || {
            Command::new(env!("CARGO_BIN_EXE_atlas"))
                .arg("alerts")
                .args(arguments)
                .env("ATLAS_ALERTS", this.rest)
                .env("ATLAS_TOKEN", this.token)
                .output()
        };
        tokio::task::spawn_blocking(run).await.unwrap().unwrap()
    }

    async fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn fails(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(arguments).await;
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_are_listed_shown_acknowledged_and_resolved_and_channels_tested() {
    let (database, folder) = (TestDatabase::create().await, Folder::create());
    std::fs::write(folder.file("key"), [7; 32]).unwrap();
    let secret = Secret::generate().unwrap();
    let scopes = vec![Scope::AlertsRead, Scope::AlertsWrite];
    let entry = Entry::new("ann", Identity::Token(secret.hash()), scopes);
    let tokens = folder.write("tokens.toml", &render(&entry));
    let set = vec![
        format!("database.url={}", database.url()),
        "rest.address=127.0.0.1:0".to_owned(),
        "grpc.address=127.0.0.1:0".to_owned(),
        // Nobody listens there.
        "consumer.sources=threshold-engine=http://127.0.0.1:9".to_owned(),
        format!("channels.key_files={}", folder.file("key")),
        "channels.http_allowed=true".to_owned(),
        "channels.allowed_prefixes=127.0.0.0/8".to_owned(),
        format!("auth.tokens_file={tokens}"),
    ];
    let flags = Flags {
        common: CommonFlags::set(set),
        ..Flags::default()
    };
    let config = load(&flags, &[]).unwrap().config;
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = config.consumer.sources().unwrap();
    let (metrics, context) = (keep_metrics().unwrap(), Context::system());
    let service = Service::start(config, sources, listeners, metrics, context);
    let service = service.await.unwrap();
    let rest = format!("http://{}", service.rest_address());
    let running = service.run(CancellationToken::new());
    let _running = AbortOnDropHandle::new(tokio::spawn(running));
    let token = secret.expose().to_owned();
    let atlas = Atlas {
        rest: rest.clone(),
        token: token.clone(),
    };
    let post = async |path: &str, body: Value| {
        let request = reqwest::Client::new().post(format!("{rest}{path}"));
        let response = request.bearer_auth(&token).json(&body).send().await;
        let response = response.unwrap().error_for_status().unwrap();
        response.json::<Value>().await.unwrap()
    };
    let (mut receiver, url) = receiver();
    let channel = json!({"name": "c", "configuration": {"kind": "webhook", "url": url}});
    let channel = post("/v1/channels", channel).await["id"].clone();
    let rule = json!({"name": "r", "condition": {"kind": "external"}, "channels": [channel]});
    post("/v1/rules", rule).await;
    let alert = json!({"title": "The backup failed", "severity": "warning", "message": "No space.",
        "labels": {"host": "db1"}});
    post("/v1/alerts", alert).await;
    // The message arrives where it is printed.
    let mut printed = BufReader::new(receiver.0.stdout.take().unwrap()).lines();
    let line = printed.next().unwrap().unwrap();
    assert!(
        line.contains("alert.firing") && line.contains("The backup failed: No space."),
        "{line}"
    );

    let listed = atlas.done(&["list"]).await;
    assert!(
        listed.contains("warning   firing        The backup failed"),
        "{listed}"
    );
    let id = listed.split_once(' ').unwrap().0.to_owned();
    let json = atlas
        .done(&["list", "--format", "json", "--severity", "warning"])
        .await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["id"], *id);
    assert_eq!(atlas.done(&["list", "--state", "resolved"]).await, "");
    let acknowledged = atlas.done(&["ack", &id, "--note", "looking at it"]).await;
    assert!(acknowledged.contains("acknowledged"), "{acknowledged}");
    let again = atlas.fails(&["ack", &id]).await;
    assert_eq!(again.0, Some(1), "{again:?}");
    assert!(
        again.1.contains("409: the alert is acknowledged already"),
        "{again:?}"
    );
    snoozes_and_silences(&atlas, &id).await;
    let resolved = atlas.done(&["resolve", &id]).await;
    assert!(resolved.contains("resolved"), "{resolved}");
    let shown = atlas.done(&["show", &id]).await;
    for part in [
        "No space.",
        "host = db1",
        "by ann  looking at it",
        "firing",
        "by webhook",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let tested = atlas.done(&["test", channel.as_str().unwrap()]).await;
    assert!(tested.starts_with("accepted"), "{tested}");
    drop(receiver);
    let away = atlas.fails(&["test", channel.as_str().unwrap()]).await;
    assert_eq!(away.0, Some(1), "{away:?}");
    assert_eq!(
        atlas.fails(&["show", "01HZZZZZZZZZZZZZZZZZZZZZZZ"]).await.0,
        Some(4)
    );
    let stranger = Atlas {
        token: "wrong".to_owned(),
        ..atlas.clone()
    };
    assert_eq!(stranger.fails(&["list"]).await.0, Some(1));
    let nowhere = Atlas {
        rest: "127.0.0.1:9".to_owned(),
        ..atlas
    };
    let unreachable = nowhere.fails(&["list"]).await;
    assert_eq!(unreachable.0, Some(3), "{unreachable:?}");
    assert!(
        unreachable.1.contains("cannot reach 127.0.0.1:9"),
        "{unreachable:?}"
    );
}

/// A snooze makes a silence; another one is made, listed and ended.
async fn snoozes_and_silences(atlas: &Atlas, id: &str) {
    let snooze = ["snooze", id, "--for", "4h", "--note", "later"];
    let snoozed = atlas.done(&snooze).await;
    assert!(snoozed.contains("acknowledged"), "{snoozed}");
    for refused in [
        &["snooze", id][..],
        &["snooze", id, "--for", "4h", "--until", "2030-01-01"],
        &["silence", "add", "a=b", "--for", "4h"],
        &["silence", "add", "--for", "4h", "--reason", "r"],
    ] {
        assert_eq!(atlas.fails(refused).await.0, Some(2), "{refused:?}");
    }
    let bad = ["silence", "add", "a~b", "--for", "4h", "--reason", "r"];
    let bad = atlas.fails(&bad).await;
    assert_eq!(bad.0, Some(1), "{bad:?}");
    assert!(bad.1.contains("matchers"), "{bad:?}");
    let add = [
        "silence",
        "add",
        "host=db1",
        "severity!=critical",
        "--for",
        "2h",
        "--reason",
        "maintenance",
    ];
    let added = atlas.done(&add).await;
    let parts = [
        "active",
        "host=\"db1\", severity!=\"critical\"",
        "by ann: maintenance",
    ];
    for part in parts {
        assert!(added.contains(part), "{part}: {added}");
    }
    let silence = added.split_once(' ').unwrap().0.to_owned();
    let listed = atlas.done(&["silence", "list"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("later"), "{listed}");
    let ended = atlas
        .done(&["silence", "end", &silence, "--note", "done"])
        .await;
    assert!(ended.contains("expired"), "{ended}");
    assert_eq!(atlas.fails(&["silence", "end", &silence]).await.0, Some(1));
    let open = atlas.done(&["silence", "list", "--format", "json"]).await;
    assert_eq!(open.lines().count(), 1, "{open}");
    let all = atlas.done(&["silence", "list", "--all"]).await;
    assert_eq!(all.lines().count(), 2, "{all}");
}
