//! Attacks the programs of ATLAS over the loopback, as processes on a database of their own, and
//! says what they took. Every attack is bounded and ends by itself.
//!
//! Where to change what: the attacks in `attacks`, one file for each kind; what each has to leave
//! intact in `trial`; the healthy client beside them in `neighbour`; the programs in `target`.

mod attacks;
mod clients;
mod database;
mod neighbour;
mod raw;
mod report;
mod target;
mod tokens;
mod trial;
mod watch;
mod wire;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use self::{
    database::Database,
    target::{Place, Target},
    trial::Attack,
};

/// Enough for the attacker's ends of all connections.
const DESCRIPTORS: u64 = 16_384;

/// Attacks a collector and an engine that it starts itself, over the loopback only.
///
/// Ends with 1 if an attack succeeded.
#[derive(Debug, Parser)]
#[command(name = "atlas-attack", version)]
struct Arguments {
    /// The part that takes no minute.
    #[arg(long)]
    quick: bool,
    /// Only attacks whose names hold this.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print what there is, and end.
    #[arg(long)]
    list: bool,
    /// Where the programs are; beside this one if absent.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// A setting of both programs, as their own flag.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A server with TimescaleDB; a database of its own is made there and dropped.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match attack(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "atlas-attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn attack(arguments: Arguments) -> Result<ExitCode> {
    let attacks = chosen(&arguments);
    if arguments.list {
        report::list(&attacks)?;
        return Ok(ExitCode::SUCCESS);
    }
    if attacks.is_empty() {
        bail!("no attack has such a name; --list names all");
    }
    rlimit::increase_nofile_limit(DESCRIPTORS)?;
    // Of no use without TLS, but the HTTP library asks for it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = arguments.database_url.as_deref();
    let url = url.context("DATABASE_URL is not set: run `make attack`, or see `make db`")?;
    let database = Database::create(url).await?;
    let folder = Folder::create()?;
    let place = Place {
        folder: folder.0.clone(),
        programs: programs(arguments.programs.as_deref())?,
        database_url: database.url(),
        settings: arguments.set,
    };
    let failed = tokio::select! {
        failed = run(&attacks, &place) => failed,
        // The programs end with what is dropped here.
        interrupted = interrupted() => Err(interrupted),
    };
    let removed = database.remove().await;
    let failed = failed?;
    removed?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// Waits for somebody to end it.
async fn interrupted() -> anyhow::Error {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    anyhow!("interrupted")
}

/// Tries the attacks one after the other. How many succeeded.
async fn run(attacks: &[Attack], place: &Place) -> Result<usize> {
    let mut target = Target::start(place).await?;
    let mut failed = 0;
    let mut report = report::Report::begin(attacks)?;
    for attack in attacks {
        let outcome = trial::try_out(attack, &target).await;
        let is_sound = outcome.as_ref().is_ok_and(|o| o.failures.is_empty());
        report.add(attack, outcome)?;
        if !is_sound {
            failed += 1;
            // The next one begins with programs that nothing has happened to.
            let _ = target.stop().await;
            fs::remove_file(place.folder.join("collector.log"))?;
            fs::remove_file(place.folder.join("threshold-engine.log"))?;
            target = Target::start(place).await?;
        }
    }
    if let Err(error) = target.stop().await {
        failed += 1;
        writeln!(std::io::stdout(), "at the end: {error:#}")?;
    }
    report.end(failed)?;
    Ok(failed)
}

fn chosen(arguments: &Arguments) -> Vec<Attack> {
    let only = &arguments.only;
    let is_named = |attack: &Attack| only.iter().any(|part| attack.name.contains(part.as_str()));
    attacks::all()
        .into_iter()
        .filter(|attack| only.is_empty() || is_named(attack))
        .filter(|attack| !arguments.quick || attack.quick)
        .collect()
}

fn programs(given: Option<&Path>) -> Result<PathBuf> {
    let beside = std::env::current_exe()?;
    let folder = given.or_else(|| beside.parent()).context("no folder")?;
    for program in ["collector", "threshold-engine"] {
        let path = folder.join(program);
        if !path.is_file() {
            bail!("{} is missing: compile the workspace first", path.display());
        }
    }
    Ok(folder.to_owned())
}

/// A folder of its own, gone when this is dropped.
struct Folder(PathBuf);

impl Folder {
    fn create() -> Result<Self> {
        let name = format!("atlas-attack-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
