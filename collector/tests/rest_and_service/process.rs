//! The program: what it prints, and the codes it ends with.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Output, Stdio},
};

use test_support::TestDatabase;

fn program(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_collector"));
    command
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = program(arguments, environment).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A collector that has said that it is ready, and what it said.
fn ready(url: &str) -> (Child, String) {
    let arguments = ["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut child = program(&arguments, &[("DATABASE_URL", url)])
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    (child, line)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-s", name, &pid])
        .status()
        .unwrap();
    assert!(sent.success());
}

#[test]
fn a_bad_configuration_ends_it_with_code_2_and_every_problem() {
    let (code, _, messages) = run(&["--set", "grpc.prot=1"], &[("REST__ADDRESS", "here")]);
    assert_eq!(code, Some(2));
    for part in ["database.url", "grpc.port", "REST__ADDRESS", "\"here\""] {
        assert!(messages.contains(part), "{part} is missing in {messages}");
    }
    let (code, _, messages) = run(&["--no-such-flag"], &[]);
    assert_eq!(code, Some(2), "{messages}");
}

#[test]
fn the_configuration_is_printed_without_secrets() {
    let environment = [
        ("DATABASE_URL", "postgres://atlas:s3cret@db/atlas"),
        ("FRED_API_KEY", "k3y"),
    ];
    let (code, printed, _) = run(&["--print-config"], &environment);
    assert_eq!(code, Some(0));
    assert!(
        printed.contains("postgres://atlas:***@db/atlas"),
        "{printed}"
    );
    assert!(printed.contains("api_key = \"***\""), "{printed}");
    assert!(!printed.contains("k3y"), "{printed}");
}

#[test]
fn what_keeps_it_from_starting_ends_it_with_code_1_and_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = [
        ("DATABASE_URL", "postgres://127.0.0.1:1/x"),
        ("DATABASE__WAIT_SECONDS", "0"),
    ];
    let (code, _, messages) = run(&["--rest", &address], &environment);
    assert_eq!((code, messages.lines().count()), (Some(1), 1), "{messages}");
    assert!(
        messages.starts_with("collector: cannot listen at"),
        "{messages}"
    );

    let free = ["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let (code, _, messages) = run(&free, &environment);
    assert_eq!((code, messages.lines().count()), (Some(1), 1), "{messages}");
    assert!(messages.contains("cannot be reached"), "{messages}");
}

/// Whoever collects the lines of a service expects nothing else among them.
#[tokio::test]
async fn where_the_log_is_json_every_line_is() {
    let json = ("TELEMETRY__FORMAT", "json");
    let free = ["--rest", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let (code, printed, messages) =
        run(&free, &[("DATABASE_URL", "postgres://127.0.0.1:1/x"), json]);
    assert_eq!((code, printed.as_str()), (Some(1), ""), "{messages}");
    assert!(messages.contains("cannot be reached"), "{messages}");
    assert_lines_are_json(messages.lines());

    let database = TestDatabase::create().await;
    let environment = [("DATABASE_URL", database.url()), (json.0, json.1.into())];
    let mut child = program(
        &free,
        &environment.each_ref().map(|(n, v)| (*n, v.as_str())),
    )
    .spawn()
    .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut messages = Vec::new();
    for line in lines {
        let line = line.unwrap();
        if line.contains("collector is ready: REST http://127.0.0.1:") {
            signal(&child, "TERM");
        }
        messages.push(line);
    }
    let mut printed = String::new();
    let mut output = child.stdout.take().unwrap();
    output.read_to_string(&mut printed).unwrap();
    assert!(child.wait().unwrap().success(), "{messages:?}");
    assert_eq!(printed, "");
    assert!(
        messages.iter().any(|line| line.contains("is ready")),
        "{messages:?}"
    );
    assert_lines_are_json(messages.iter().map(String::as_str));
}

fn assert_lines_are_json<'a>(lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[tokio::test]
async fn it_prints_its_addresses_and_ends_when_asked_to() {
    let database = TestDatabase::create().await;
    for name in ["TERM", "INT"] {
        let (mut child, line) = ready(&database.url());
        assert!(line.contains("REST http://127.0.0.1:"), "{line}");
        assert!(line.contains("gRPC http://127.0.0.1:"), "{line}");
        assert!(line.contains("not collecting"), "{line}");
        let rest = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"));
        let url = format!("{}/healthz", rest.unwrap().trim_end_matches(','));
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(reqwest::get(url).await.unwrap().status().is_success());
        signal(&child, name);
        let code = child.wait().unwrap().code();
        let mut messages = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut messages)
            .unwrap();
        assert_eq!(code, Some(0), "{messages}");
    }
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let database = TestDatabase::create().await;
    let (mut child, line) = ready(&database.url());
    let rest = line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("http://"));
    let address = rest.unwrap().trim_end_matches(',');
    let mut half_sent = std::net::TcpStream::connect(address).unwrap();
    let head = b"POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\n\r\n{";
    std::io::Write::write_all(&mut half_sent, head).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::get(format!("http://{address}/healthz"))
        .await
        .unwrap();

    let began = std::time::Instant::now();
    signal(&child, "TERM");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first signal was taken, or the second could merge with it.
    assert!(lines.any(|line| line.unwrap().contains("ending")));
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    // The drain would have taken ten seconds.
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
    assert!(lines.any(|line| line.unwrap().contains("second signal")));
}
