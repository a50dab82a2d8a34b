//! Servers of others: started for one measurement on a port of their own, and stopped after it.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

const START_PATIENCE: Duration = Duration::from_secs(30);

/// A folder that is removed with what is in it.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// An empty one within `parent`, or among the temporary files.
    pub(super) fn new(parent: Option<&Path>) -> Result<Self> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let name = format!(
            "atlas-bench-{}-{}",
            std::process::id(),
            uuid::Uuid::new_v4().simple()
        );
        let folder = parent.join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A server's process. Dropping it stops the process and removes its data.
pub(super) struct Process {
    child: Child,
    pub(super) pid: u32,
    // Dropped after the process has ended.
    _folder: Folder,
}

impl Process {
    /// Starts the command in `folder` and waits until it listens on the port.
    pub(super) async fn start(command: &mut Command, folder: Folder, port: u16) -> Result<Self> {
        let log = folder.path().join("output");
        let output = File::create(&log)?;
        let mut child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let pid = child.id().context("the server ended at once")?;
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("the server does not listen on port {port}: {ended:?} {said}");
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            child,
            pid,
            _folder: folder,
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The data is thrown away, so there is nothing to shut down in order.
        let _ = self.child.start_kill();
        while matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    Ok(listener.local_addr()?.port())
}

/// What a program says of its version, in one line.
pub(super) async fn version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{} does not run: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}
