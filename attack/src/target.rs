//! The programs under attack, as processes.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rlimit::Resource;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::tokens::Tokens;

const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Longer than the services drain for.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How many descriptors the services may have open at first, as is usual on Linux.
const DESCRIPTORS: u64 = 1_024;
/// A pattern over the series that attacks on definitions read.
const PATTERN: &str = r#"
id = "attacked"
name = "Attacked"
description = "The series that attacks read is high."
severity = "info"
when = 'ATTACK > 1000000'

[inputs.ATTACK]
unit = "points"
frequency = "daily"
"#;

/// What a run starts the programs with.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Holds tokens, patterns and logs.
    pub(crate) folder: PathBuf,
    /// Where the programs are.
    pub(crate) programs: PathBuf,
    /// The database of the run.
    pub(crate) database_url: String,
    /// Further settings of both programs, `key=value`.
    pub(crate) settings: Vec<String>,
}

/// A collector, and an engine that consumes its log.
#[derive(Debug)]
pub(crate) struct Target {
    /// What is attacked most.
    pub(crate) collector: Process,
    /// What evaluates definitions.
    pub(crate) engine: Process,
    /// Who is let in.
    pub(crate) tokens: Tokens,
    place: Place,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its number.
    pub(crate) pid: u32,
    /// Where it serves REST.
    pub(crate) rest: SocketAddr,
    /// Where it serves gRPC.
    pub(crate) grpc: SocketAddr,
    child: Mutex<Child>,
    log: PathBuf,
}

impl Target {
    /// Starts both programs and waits until they are ready.
    pub(crate) async fn start(place: &Place) -> Result<Self> {
        let tokens = Tokens::create(&place.folder)?;
        let patterns = place.folder.join("patterns");
        fs::create_dir_all(&patterns)?;
        fs::write(patterns.join("attacked.toml"), PATTERN)?;
        fs::write(place.folder.join("engine.token"), tokens.engine.expose())?;
        let collector = Process::start(place, "collector", &tokens, &[]).await?;
        let engine = engine(place, &collector, &tokens).await?;
        Ok(Self {
            collector,
            engine,
            tokens,
            place: place.clone(),
        })
    }

    /// A further engine, which stands by.
    pub(crate) async fn another_engine(&self) -> Result<Process> {
        engine(&self.place, &self.collector, &self.tokens).await
    }

    /// Both of them.
    pub(crate) fn processes(&self) -> [&Process; 2] {
        [&self.collector, &self.engine]
    }

    /// Ends both, the engine first.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.engine.stop(STOP_TIMEOUT).await?;
        self.collector.stop(STOP_TIMEOUT).await?;
        Ok(())
    }
}

async fn engine(place: &Place, collector: &Process, tokens: &Tokens) -> Result<Process> {
    let file = |name: &str| place.folder.join(name).display().to_string();
    let settings = [
        format!("consumer.sources=collector=http://{}", collector.grpc),
        format!("consumer.token_file={}", file("engine.token")),
        format!("patterns.folder={}", file("patterns")),
    ];
    Process::start(place, "threshold-engine", tokens, &settings).await
}

impl Process {
    async fn start(
        place: &Place,
        name: &'static str,
        tokens: &Tokens,
        more: &[String],
    ) -> Result<Self> {
        let log = place.folder.join(format!("{name}.log"));
        let program = place.programs.join(name);
        let settings = [
            format!("database.url={}", place.database_url),
            "rest.address=127.0.0.1:0".to_owned(),
            "grpc.address=127.0.0.1:0".to_owned(),
            format!("auth.tokens_file={}", tokens.file().display()),
        ];
        let settings = settings.iter().chain(more).chain(&place.settings);
        let mut command = Command::new(&program);
        command
            .args(settings.flat_map(|setting| ["--set", setting]))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .kill_on_drop(true);
        let mut child = spawn_with_few_descriptors(&mut command)
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let output = child.stdout.take().context("no output")?;
        let mut lines = BufReader::new(output).lines();
        let line = match timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(line))) => line,
            _ => bail!("{name} does not start: {}", tail(&log)),
        };
        // What it says later is of no interest, but it must be able to say it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = |which: &str| {
            let (_, rest) = line.split_once(which)?;
            let end = rest.find([',', ';', ' ']).unwrap_or(rest.len());
            rest.get(..end)?.parse().ok()
        };
        let unknown = || format!("{name} does not say where it serves: {line}");
        Ok(Self {
            name,
            pid: child.id().context("it has ended")?,
            rest: address("REST http://").with_context(unknown)?,
            grpc: address("gRPC http://").with_context(unknown)?,
            child: Mutex::new(child),
            log,
        })
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock().ok()?;
        child.try_wait().ok().flatten()
    }

    /// Asks it to end, and waits. How long it took; an error if it had to be killed or ended badly.
    pub(crate) async fn stop(&self, patience: Duration) -> Result<Duration> {
        let began = Instant::now();
        if self.ended().is_none() {
            let mut kill = Command::new("kill");
            kill.args(["-TERM", &self.pid.to_string()]).status().await?;
        }
        while began.elapsed() < patience {
            match self.ended() {
                Some(status) if status.success() => return Ok(began.elapsed()),
                Some(status) => bail!("{} ended with {status}: {}", self.name, self.tail()),
                None => sleep(Duration::from_millis(20)).await,
            }
        }
        if let Ok(mut child) = self.child.lock() {
            let _ = child.start_kill();
        }
        bail!("{} did not end within {patience:?} of SIGTERM", self.name)
    }

    /// The panics in its log, one line for each.
    pub(crate) fn panics(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text.lines().filter(|line| line.contains("panicked"));
        lines.map(str::to_owned).collect()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }
}

/// A child inherits the limit of this process, which needs more for itself at all other times.
fn spawn_with_few_descriptors(command: &mut Command) -> Result<Child> {
    let (soft, hard) = Resource::NOFILE.get()?;
    Resource::NOFILE.set(DESCRIPTORS.min(hard), hard)?;
    let spawned = command.spawn();
    Resource::NOFILE.set(soft, hard)?;
    Ok(spawned?)
}

fn tail(log: &Path) -> String {
    const LINES: usize = 5;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}
