//! Collectors as processes of their own over one database.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Mutex, RwLock},
};

/// A number of collectors, each of which can be killed and started again.
pub(crate) struct Cluster {
    database_url: String,
    slots: Vec<Slot>,
}

struct Slot {
    process: Mutex<Option<Child>>,
    /// Where it serves gRPC; another port after each start.
    server: RwLock<String>,
}

impl Cluster {
    pub(crate) async fn start(database_url: &str, size: usize) -> Self {
        let slots = (0..size).map(|_| Slot {
            process: Mutex::new(None),
            server: RwLock::new(String::new()),
        });
        let cluster = Self {
            database_url: database_url.to_owned(),
            slots: slots.collect(),
        };
        for index in 0..size {
            cluster.start_collector(index).await;
        }
        cluster
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Where a collector serves gRPC, or last did.
    pub(crate) fn server(&self, index: usize) -> String {
        self.slots[index % self.len()]
            .server
            .read()
            .unwrap()
            .clone()
    }

    /// Ends a collector without warning and starts it again.
    pub(crate) async fn kill_and_restart(&self, index: usize) {
        self.kill(index);
        self.start_collector(index).await;
    }

    /// Sends a signal such as `STOP` to a collector.
    pub(crate) fn signal(&self, index: usize, name: &str) {
        if let Some(process) = &*self.slots[index].process.lock().unwrap() {
            let sent = Command::new("kill")
                .args([format!("-{name}"), process.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
        }
    }

    fn kill(&self, index: usize) {
        if let Some(mut process) = self.slots[index].process.lock().unwrap().take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    async fn start_collector(&self, index: usize) {
        let database_url = self.database_url.clone();
        let started = tokio::task::spawn_blocking(move || spawn(&database_url));
        let (process, server) = started.await.unwrap();
        *self.slots[index].process.lock().unwrap() = Some(process);
        *self.slots[index].server.write().unwrap() = server;
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for index in 0..self.len() {
            self.kill(index);
        }
    }
}

/// Starts a collector on free ports and waits until it is ready.
fn spawn(database_url: &str) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_collector"))
        .args(["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
        .env("DATABASE_URL", database_url)
        .env_remove("FRED_API_KEY")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while grpc_address(&line).is_none() {
        line.clear();
        let read = output.read_line(&mut line).unwrap();
        assert!(read > 0, "the collector ended before it was ready");
    }
    let server = format!("http://{}", grpc_address(&line).unwrap());
    // What it prints later must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    (process, server)
}

/// The second address of the line that says where REST and gRPC are served.
fn grpc_address(line: &str) -> Option<SocketAddr> {
    let words = line.split(|c: char| c.is_whitespace() || ",;/".contains(c));
    words.filter_map(|word| word.parse().ok()).nth(1)
}
