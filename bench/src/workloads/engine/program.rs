//! The engine under measurement, in a process of its own.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, timeout},
};

/// How long a start may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// A running `threshold-engine serve`, the same program under the name of this one.
pub(super) struct Program {
    child: Child,
    pub(super) pid: u32,
    /// Where gRPC is served.
    pub(super) grpc: String,
    /// Address of REST.
    rest: String,
    /// From its start until it said that it is ready.
    pub(super) ready_after: Duration,
}

impl Program {
    pub(super) async fn start(database_url: &str, source: &str, patterns: &Path) -> Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve-engine")
            .args(["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
            .args(["--source", source, "--set", "telemetry.filter=warn"])
            .arg("--patterns")
            .arg(patterns)
            .env("DATABASE_URL", database_url)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("the engine ended at once")?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let mut line = String::new();
        timeout(PATIENCE, BufReader::new(stdout).read_line(&mut line))
            .await
            .context("the engine does not start")??;
        let address = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split([',', '\n']).next().map(str::to_owned)
        };
        let found = address("REST http://").zip(address("gRPC "));
        let Some((rest, grpc)) = found else {
            bail!("the engine said \"{line}\"");
        };
        Ok(Self {
            child,
            pid,
            grpc,
            rest,
            ready_after: started.elapsed(),
        })
    }

    /// The value of a metric that has labels; `None` while it is not reported.
    pub(super) async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let mut stream = TcpStream::connect(&self.rest).await?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.rest
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let of_metric = |line: &&str| line.starts_with(name) && line.contains('}');
        let value = answer
            .lines()
            .find(of_metric)
            .and_then(|line| line.rsplit(' ').next());
        Ok(value.map(str::parse).transpose()?)
    }

    pub(super) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}
