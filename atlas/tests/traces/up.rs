//! `atlas up`, with what it says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread,
};

use test_support::TestDatabase;

use crate::DEADLINE;

const PATTERNS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../threshold-engine/patterns");

/// A collector and an engine. They end with the test, whatever becomes of that.
pub(crate) struct Up {
    child: Child,
    pub(crate) collector: String,
    pub(crate) engine: String,
    rest: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Up {
    pub(crate) fn start(database: &TestDatabase, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_atlas"))
            .args(["up", "--patterns", PATTERNS])
            .env_remove("FRED_API_KEY")
            .env("DATABASE_URL", database.url())
            .env("COLLECTOR__REST__ADDRESS", "127.0.0.1:0")
            .env("COLLECTOR__GRPC__ADDRESS", "127.0.0.1:0")
            .env("ENGINE__REST__ADDRESS", "127.0.0.1:0")
            .env("ENGINE__GRPC__ADDRESS", "127.0.0.1:0")
            .env("ALERT_SERVICE__REST__ADDRESS", "127.0.0.1:0")
            .env("ALERT_SERVICE__GRPC__ADDRESS", "127.0.0.1:0")
            .env("TELEMETRY__FORMAT", "json")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (errors, kept) = (child.stderr.take().unwrap(), Arc::clone(&lines));
        let (ready, messages) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                if let Some(message) =
                    message(&line).filter(|messages| messages.contains("is ready"))
                {
                    let _ = ready.send(message);
                }
                kept.lock().unwrap().push(line);
            }
        });
        let addresses = |name: &str| {
            let line = messages.recv_timeout(DEADLINE).unwrap();
            assert!(line.starts_with(name), "{line}");
            let after = |word: &str| {
                let (_, after) = line.split_once(word).unwrap();
                after.split([';', ',']).next().unwrap().to_owned()
            };
            (after("REST http://"), after("gRPC "))
        };
        let (rest, collector) = addresses("collector is ready");
        let (_, engine) = addresses("threshold engine is ready");
        Self {
            child,
            collector,
            engine,
            rest,
            lines,
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// How many log lines hold a text.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.lines()
            .iter()
            .filter(|line| line.contains(text))
            .count()
    }

    /// A counter, summed over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut connection = TcpStream::connect(&self.rest).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let values = answer.lines().filter(|line| line.starts_with(name));
        values
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn end(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(asked.success());
        assert!(self.child.wait().unwrap().success());
    }
}

/// What a log line in JSON says.
fn message(line: &str) -> Option<String> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    Some(line.get("message")?.as_str()?.to_owned())
}
