//! Bodies that do not end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Code;

use crate::{
    attacks::messages::nulls,
    target::{Process, Target},
    trial::Attack,
    wire::{Call, Connection, framed, read, send_all},
};

const REQUESTS: usize = 200;
const BYTES: usize = 3_900_000;
/// By then the services have ended what does not end by itself.
const DEADLINE: Duration = Duration::from_secs(60);
/// What needs no body is answered within this.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "bodies-without-token",
            "200 unfinished publishes of 3.9 MB on a connection without a token",
            |target| Box::pin(without_token(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "bodies-with-token",
            "200 unfinished publishes of 3.9 MB on a connection with a token",
            |target| Box::pin(with_token(target)),
        )
        .memory_mib(448),
        Attack::new(
            "bodies-not-ended",
            "60 publishes of lists of nulls that are complete, of calls that do not end",
            |target| Box::pin(not_ended(target)),
        )
        .memory_mib(160),
        Attack::new(
            "bodies-of-one-caller",
            "96 unfinished publishes of 3.9 MB on 12 connections with one token, while another publishes",
            |target| Box::pin(of_one_caller(target)),
        )
        .memory_mib(448),
        Attack::new(
            "bodies-trickle",
            "50 bodies of REST and 50 of gRPC that come a byte a second",
            |target| Box::pin(trickle(target)),
        ),
        Attack::new(
            "bodies-refused",
            "requests to REST without a token, of whose bodies nothing comes",
            |target| Box::pin(refused(target)),
        )
        .quick(),
    ]
}

/// Sends all of a message but its last byte, and waits for the answer.
async fn unfinished(connection: &Connection, call: Call<'_>) -> Result<Code> {
    let (response, mut stream) = connection.begin(call).await?;
    let message = framed(&vec![0; BYTES - 1], BYTES, false);
    let sending = async {
        let _ = send_all(&mut stream, message, false).await;
        std::future::pending::<()>().await;
    };
    let answer = async {
        tokio::select! { answer = read(response) => answer, () = sending => anyhow::bail!("unreachable") }
    };
    let answer = timeout(DEADLINE, answer).await;
    // A stream that is reset has ended, too.
    Ok(answer
        .context("no answer")?
        .map_or(Code::Unknown, |answer| answer.code))
}

async fn without_token(target: &Target) -> Result<String> {
    let connection = Connection::open(target.collector.grpc).await?;
    let call = Call {
        token: None,
        ..Call::new("EventPublisher/Publish", "")
    };
    let began = Instant::now();
    let codes = join_all((0..REQUESTS).map(|_| unfinished(&connection, call))).await;
    let took = began.elapsed();
    for code in codes {
        ensure!(
            code.as_ref().is_ok_and(|c| *c == Code::Unauthenticated),
            "{code:?}"
        );
    }
    ensure!(took < AT_ONCE * 2, "answered only after {took:?}");
    Ok(format!("all refused within {took:.1?}"))
}

async fn with_token(target: &Target) -> Result<String> {
    let connection = Connection::open(target.collector.grpc).await?;
    let call = Call::new("EventPublisher/Publish", target.tokens.full.expose());
    let began = Instant::now();
    let codes = join_all((0..REQUESTS).map(|_| unfinished(&connection, call))).await;
    let took = began.elapsed();
    let unanswered = codes.iter().filter(|code| code.is_err()).count();
    let of = |code| {
        codes
            .iter()
            .filter(|c| c.as_ref().is_ok_and(|c| *c == code))
            .count()
    };
    let (exhausted, late) = (of(Code::ResourceExhausted), of(Code::DeadlineExceeded));
    ensure!(
        unanswered == 0,
        "{unanswered} of {REQUESTS} are held for over {DEADLINE:?}"
    );
    ensure!(
        exhausted > 0,
        "none was refused for the bytes in flight: {codes:?}"
    );
    Ok(format!(
        "{exhausted} refused, {late} ended by the deadline, all within {took:.1?}"
    ))
}

/// All connections together would hold more than there is; whoever publishes beside them must not notice.
async fn of_one_caller(target: &Target) -> Result<String> {
    const CONNECTIONS: usize = 12;
    const EACH: usize = 8;
    let call = Call::new("EventPublisher/Publish", target.tokens.full.expose());
    let began = Instant::now();
    let opening = (0..CONNECTIONS).map(|_| Connection::open(target.collector.grpc));
    let connections = join_all(opening).await;
    let connections = connections.into_iter().collect::<Result<Vec<_>>>()?;
    let calls = connections
        .iter()
        .flat_map(|connection| vec![connection; EACH]);
    let codes = join_all(calls.map(|connection| unfinished(connection, call))).await;
    let codes = codes.into_iter().collect::<Result<Vec<_>>>()?;
    let of = |code| codes.iter().filter(|c| **c == code).count();
    let (refused, held) = (of(Code::ResourceExhausted), of(Code::DeadlineExceeded));
    ensure!(refused > 0, "none was refused: {codes:?}");
    ensure!(held > 0, "none was held: {codes:?}");
    Ok(format!(
        "{held} held, {refused} refused, all within {:.1?}",
        began.elapsed()
    ))
}

/// What is complete could be built, and would take many times as much.
async fn not_ended(target: &Target) -> Result<String> {
    const CALLS: usize = 60;
    let connection = Connection::open(target.collector.grpc).await?;
    let message = nulls(900_000);
    let began = Instant::now();
    let calls = (0..CALLS).map(|_| async {
        let call = Call::new("EventPublisher/Publish", target.tokens.full.expose());
        let (response, mut stream) = connection.begin(call).await?;
        let sending = async {
            let message = framed(&message, message.len(), false);
            let _ = send_all(&mut stream, message, false).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = timeout(DEADLINE, read(response)) => Ok(answer.context("no answer")??.code),
            () = sending => anyhow::bail!("unreachable"),
        }
    });
    for code in join_all(calls).await {
        let code = code?;
        let allowed = [Code::DeadlineExceeded, Code::ResourceExhausted];
        ensure!(allowed.contains(&code), "{code:?}");
    }
    Ok(format!("all ended within {:.1?}", began.elapsed()))
}

async fn trickle(target: &Target) -> Result<String> {
    const EACH: usize = 50;
    let token = target.tokens.full.expose();
    let rest = (0..EACH).map(|_| trickle_rest(&target.collector, token));
    let connection = Connection::open(target.collector.grpc).await?;
    let grpc = (0..EACH).map(|_| trickle_grpc(&connection, token));
    let (rest, grpc) = futures::join!(join_all(rest), join_all(grpc));
    let slowest = rest.into_iter().chain(grpc).collect::<Result<Vec<_>>>()?;
    let slowest = slowest.into_iter().max().unwrap_or_default();
    Ok(format!("all ended within {slowest:.1?}"))
}

/// How long it lasts until the server has enough of it.
async fn trickle_rest(process: &Process, token: &str) -> Result<Duration> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(process.rest).await?;
    let head = head("/v1/events", Some(token), 100_000);
    stream.write_all(head.as_bytes()).await?;
    let (mut reading, mut writing) = stream.split();
    let mut buffer = [0; 1024];
    let trickling = async {
        while writing.write_all(b"{").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        // An answer, or the end.
        _ = reading.read(&mut buffer) => {}
        () = trickling => {}
        () = tokio::time::sleep(DEADLINE) => anyhow::bail!("a trickling body of REST is held for {DEADLINE:?}"),
    }
    Ok(began.elapsed())
}

async fn trickle_grpc(connection: &Connection, token: &str) -> Result<Duration> {
    let began = Instant::now();
    let call = Call::new("EventPublisher/Publish", token);
    let (response, mut stream) = connection.begin(call).await?;
    let trickling = async {
        let mut part = framed(&[], 100_000, false);
        while send_all(&mut stream, part, false).await.is_ok() {
            part = Bytes::from_static(&[0]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        _ = read(response) => {}
        () = trickling => {}
        () = tokio::time::sleep(DEADLINE) => anyhow::bail!("a trickling body of gRPC is held for {DEADLINE:?}"),
    }
    Ok(began.elapsed())
}

fn head(path: &str, token: Option<&str>, length: usize) -> String {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{}\r\n",
        token.unwrap_or_default()
    )
}

async fn refused(target: &Target) -> Result<String> {
    const EACH: usize = 20;
    let targets = [
        (&target.engine, "/v1/evaluate"),
        (&target.engine, "/v1/parked/retry"),
        (&target.engine, "/v1/checkpoints/reset"),
        (&target.collector, "/v1/events"),
        (&target.collector, "/v1/series"),
    ];
    let asked = targets
        .iter()
        .flat_map(|(process, path)| (0..EACH).map(move |_| status_without_body(process, path)));
    let began = Instant::now();
    for status in join_all(asked).await {
        let status = status?;
        ensure!(status == "401", "{status} in place of 401");
    }
    Ok(format!("all refused within {:.1?}", began.elapsed()))
}

async fn status_without_body(process: &Process, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(process.rest).await?;
    stream.write_all(head(path, None, BYTES).as_bytes()).await?;
    let mut answer = [0; 12];
    let reading = timeout(AT_ONCE, stream.read_exact(&mut answer)).await;
    let context = || format!("{path} waits for a body before it refuses its client");
    reading.with_context(context)??;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.rsplit(' ').next().unwrap_or_default().to_owned())
}
