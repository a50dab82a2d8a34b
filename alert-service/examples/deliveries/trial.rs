//! The program as a process, with a database of its own and a log to consume.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use atlas_events::{CrossingDirection, Event, ThresholdCrossedEvent, Timestamp, event::Payload};
use chrono::Utc;
use event_log::{EventLog, LogConfig};
use event_stream::{StreamConfig, serve};
use reqwest::Client;
use serde_json::{Value, json};
use test_support::{Folder, TestDatabase, draft, eventually};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use crate::receiver::Receiver;

const DEADLINE: Duration = Duration::from_secs(120);

pub(crate) struct Trial {
    database: TestDatabase,
    log: EventLog,
    pub(crate) receiver: Receiver,
    program: Program,
    url: String,
    client: Client,
    serving: JoinHandle<()>,
    stop: CancellationToken,
    _folder: Folder,
}

/// Ended when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Trial {
    /// With the settings of the program that are not its defaults.
    pub(crate) async fn start(settings: &[&str]) -> Result<Self> {
        let database = TestDatabase::create().await;
        let pool = event_log::connect(&database.url(), "engine", 5).await?;
        let log = EventLog::open(pool, LogConfig::default(), None).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let source = listener.local_addr()?;
        let (stop, served) = (CancellationToken::new(), log.clone());
        let stopped = stop.clone();
        let serving = tokio::spawn(async move {
            let _ = serve(listener, served, StreamConfig::default(), stopped).await;
        });
        let folder = Folder::create();
        std::fs::write(folder.file("key"), [7; 32])?;
        // Free a moment ago.
        let rest = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let mut command = Command::new(program()?);
        command.arg("serve");
        let own = [
            format!("database.url={}", database.url()),
            format!("rest.address={rest}"),
            "grpc.address=127.0.0.1:0".to_owned(),
            "channels.http_allowed=true".to_owned(),
            "channels.allowed_prefixes=127.0.0.0/8".to_owned(),
            format!("channels.key_files={}", folder.file("key")),
            format!("consumer.sources=threshold-engine=http://{source}"),
        ];
        let settings = settings.iter().map(|setting| (*setting).to_owned());
        for setting in own.into_iter().chain(settings) {
            command.args(["--set", &setting]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let trial = Self {
            database,
            log,
            receiver: Receiver::start().await?,
            program: Program(command.spawn()?),
            url: format!("http://{rest}"),
            client: Client::new(),
            serving,
            stop,
            _folder: folder,
        };
        let rules = format!("{}/v1/rules", trial.url);
        eventually(DEADLINE, async || {
            let answer = trial.client.get(&rules).send().await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        Ok(trial)
    }

    /// Makes a channel that leads to a path of the receiver, or nowhere, and a rule that notifies it of every pattern.
    pub(crate) async fn channel(&self, path: &str) -> Result<()> {
        let url = match path {
            "refuses" => {
                let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
                format!("http://{closed}/")
            }
            _ => format!("http://{}/{path}", self.receiver.address),
        };
        let body = json!({"name": path, "configuration": {"kind": "webhook", "url": url}});
        let channel = self.post("/v1/channels", body).await?;
        let rule =
            json!({"name": path, "condition": {"kind": "pattern"}, "channels": [channel["id"]]});
        self.post("/v1/rules", rule).await?;
        Ok(())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let url = format!("{}{path}", self.url);
        let answer = self.client.post(url).json(&body).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.json().await?)
    }

    /// Publishes that patterns were entered.
    pub(crate) async fn publish(&self, patterns: impl IntoIterator<Item = String>) -> Result<()> {
        let drafts = patterns.into_iter().map(|pattern| {
            let now = Utc::now();
            draft(Event {
                event_id: Ulid::generate().to_string(),
                occurred_at: Some(Timestamp::from(now)),
                source_service: "ThresholdEngine".to_owned(),
                payload: Some(Payload::ThresholdCrossed(ThresholdCrossedEvent {
                    pattern_id: pattern,
                    direction: CrossingDirection::Entered.into(),
                    severity: "warning".to_owned(),
                    message: "A value is above its threshold.".to_owned(),
                    value: Some("31.2".to_owned()),
                    threshold: Some("30".to_owned()),
                    observation_date: now.date_naive().to_string(),
                    ..ThresholdCrossedEvent::default()
                })),
                ..Event::default()
            })
        });
        self.log.append(drafts.collect()).await?;
        Ok(())
    }

    /// Waits until so many deliveries wait.
    pub(crate) async fn pending(&self, count: usize) -> Result<()> {
        let pool = event_log::connect(&self.database.url(), "alert_service", 1).await?;
        let count = i64::try_from(count)?;
        eventually(DEADLINE, async || {
            let pending = "select count(*) from deliveries where state = 'pending'";
            let pending: Result<i64, _> = sqlx::query_scalar(pending).fetch_one(&pool).await;
            pending.is_ok_and(|pending| pending == count)
        })
        .await;
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        drop(self.program);
        self.stop.cancel();
        self.serving.await?;
        Ok(())
    }
}

/// The program of the same build.
fn program() -> Result<std::path::PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().and_then(std::path::Path::parent);
    let program = folder.context("no folder")?.join("alert-service");
    ensure!(program.exists(), "{} is not built", program.display());
    Ok(program)
}
