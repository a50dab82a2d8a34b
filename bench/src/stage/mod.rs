//! A database and a server for one measurement.

pub(crate) mod connection;
pub(crate) mod database;
pub(crate) mod process;
pub(crate) mod serve;

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use atlas_events::{GetLogInfoRequest, event_log_client::EventLogClient};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use connection::connect;

/// A folder for what callgrind counts: set, every server runs under it, one file each.
const CALLGRIND: &str = "ATLAS_BENCH_CALLGRIND";
/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// This program, to be run as a server.
fn command() -> Result<Command> {
    let program = std::env::current_exe()?;
    let Ok(folder) = std::env::var(CALLGRIND) else {
        return Ok(Command::new(program));
    };
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={folder}/callgrind.out.%p"))
        .arg(program);
    Ok(command)
}

/// A fresh log, served.
pub(crate) struct Stage {
    database: String,
    pub(crate) database_url: String,
    pub(crate) server: Server,
}

impl Stage {
    /// Creates a database next to the one of `url` and serves a log in it.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        database::checkpoint(url).await?;
        let (database, database_url) = database::create(url).await?;
        let server = Server::start(&database_url).await?;
        Ok(Self {
            database,
            database_url,
            server,
        })
    }

    /// A new server process on the same log: its memory holds no events.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.server.stop().await?;
        self.server = Server::start(&self.database_url).await?;
        Ok(())
    }

    /// A further server process on the same log.
    pub(crate) async fn another(&self) -> Result<Server> {
        Server::start(&self.database_url).await
    }

    /// Checks that the log ends here and stops the server.
    pub(crate) async fn close(mut self, url: &str, last_position: u64) -> Result<()> {
        let channel = connect(&self.server.address).await?;
        let mut client = EventLogClient::new(channel);
        let info = client.get_log_info(GetLogInfoRequest {}).await?;
        let stored = info.into_inner().last_position;
        ensure!(
            stored == last_position,
            "{stored} stored, {last_position} acknowledged"
        );
        drop(client);
        self.server.stop().await?;
        database::drop(url, &self.database).await
    }
}

/// The process of a server.
pub(crate) struct Server {
    child: Child,
    pub(crate) pid: u32,
    pub(crate) address: String,
}

impl Server {
    async fn start(database_url: &str) -> Result<Self> {
        let mut child = command()?
            .arg("serve")
            .env("DATABASE_URL", database_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let mut port = String::new();
        let mut lines = BufReader::new(stdout);
        timeout(PATIENCE, lines.read_line(&mut port))
            .await
            .context("the server does not start")??;
        ensure!(!port.is_empty(), "the server could not start");
        Ok(Self {
            child,
            pid,
            address: format!("http://127.0.0.1:{}", port.trim()),
        })
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => ensure!(status?.success(), "the server failed"),
            // Clients of this process that still hold connections delay a server's end.
            Err(_) => self.child.kill().await?,
        }
        Ok(())
    }
}
