//! A process that may open few files: connections leave some of them to the file of tokens.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use access::Scope;
use test_support::{Folder, TestDatabase, eventually};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::{
    clients::{Client, reason},
    harness::{DEADLINE, token, write_tokens},
};

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A collector that may open 256 files, and its addresses for REST and gRPC.
fn start(database: &TestDatabase, tokens_file: &str) -> (Process, [String; 2]) {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 256 && exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_collector"))
        .args(["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
        .args(["--set", &format!("auth.tokens_file={tokens_file}")])
        .args(["--set", "security.reload_interval_milliseconds=50"])
        .args(["--set", "rest.head_timeout_seconds=600"])
        .env_clear()
        .env("DATABASE_URL", database.url())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let mut addresses = line.split_whitespace().filter_map(|word| {
        let address = word.strip_prefix("http://")?;
        Some(address.trim_end_matches([',', ';', '.', ')']).to_owned())
    });
    let addresses = [addresses.next().unwrap(), addresses.next().unwrap()];
    (Process(child), addresses)
}

#[tokio::test]
async fn a_token_is_revoked_whatever_the_number_of_connections() {
    let folder = Folder::create();
    let (staying, entry) = token("staying", &[Scope::Read]);
    let (leaving, other) = token("leaving", &[Scope::Read]);
    let file = write_tokens(&folder, &[&entry, &other]);
    let database = TestDatabase::create().await;
    let (_process, [rest, grpc]) = start(&database, &file);
    let client = Client::at(&format!("http://{grpc}")).await;
    client.with_token(&leaving).info().await.unwrap();
    let mut connections = Vec::new();
    for _ in 0..400 {
        // A service without descriptors accepts nothing more.
        let connecting = timeout(DEADLINE, TcpStream::connect(&rest)).await;
        let mut connection = connecting.unwrap().unwrap();
        // Those that are refused may be closed already.
        let _ = connection.write_all(b"GET / HTTP/1.1\r\nhost: ").await;
        connections.push(connection);
    }
    let closed = |connection: &TcpStream| {
        let read = connection.try_read(&mut [0; 1]);
        !read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    };
    eventually(DEADLINE, async || {
        for connection in &connections {
            // So that what has happened to it is known.
            let _ = connection.writable().await;
        }
        connections.iter().filter(|c| closed(c)).count() > 200
    })
    .await;
    write_tokens(&folder, &[&entry]);
    eventually(DEADLINE, async || {
        let refused = client.with_token(&leaving).info().await;
        refused.is_err_and(|status| reason(&status) == "UNAUTHENTICATED")
    })
    .await;
    client.with_token(&staying).info().await.unwrap();
}
