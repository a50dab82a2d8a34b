//! Floods: many frames, headers, connections and tokens, each of which is cheap to send.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use rand::random;
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::{
    clients,
    raw::{self, Answers, Flooded, call_headers, flood, frame, header, kept_header},
    target::Target,
    trial::Attack,
    wire::{ANSWER_TIMEOUT, Call, Connection, framed, send_all, status},
};

const PATH: &str = "/atlas.events.EventPublisher/Publish";
/// So many frames are written at once.
const BATCH: usize = 200;
const MIB: usize = 1 << 20;

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "flood-rapid-reset",
            "calls that are begun and reset at once, on four connections for three seconds each",
            |target| Box::pin(rapid_reset(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "flood-control-frames",
            "PING, SETTINGS, PRIORITY and empty DATA, with answers read and unread",
            |target| Box::pin(control(target)),
        )
        .memory_mib(128),
        Attack::new(
            "flood-continuation",
            "headers that go on without an end",
            |target| Box::pin(continuation(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "flood-headers",
            "lists of headers that are too large, packed small, and over HTTP/1",
            |target| Box::pin(headers(target)),
        )
        .memory_mib(128),
        Attack::new(
            "flood-window",
            "windows that overflow, and that are opened by nothing",
            |target| Box::pin(window(target)),
        ),
        Attack::new(
            "flood-watches",
            "400 health watches and 400 streams of reflection on each program, without a token",
            |target| Box::pin(watches(target)),
        )
        .quick()
        .memory_mib(128),
        Attack::new(
            "flood-tokens",
            "6,000 wrong tokens on both ports",
            |target| Box::pin(tokens(target)),
        )
        .memory_mib(128),
    ]
}

/// The number of the stream of a call, the first of which has the number 0.
fn stream_id(call: usize) -> u32 {
    (2 * call + 1) as u32 & 0x7fff_ffff
}

fn note_of(what: &str, flooded: Flooded) -> String {
    let Flooded {
        bytes,
        closed,
        goaway,
    } = flooded;
    let end = match (closed, goaway) {
        (true, Some(code)) => format!("closed with code {code}"),
        (true, None) => "closed".to_owned(),
        (false, _) => "borne".to_owned(),
    };
    format!("{what}: {end} after {} KB", bytes / 1000)
}

async fn rapid_reset(target: &Target) -> Result<String> {
    let token = target.tokens.full.expose();
    let block = [call_headers(PATH, Some(token)), call_headers(PATH, None)];
    let floods = (0..4).map(|index| {
        let block = &block[index % 2];
        flood(target.collector.grpc, Answers::Read, move |round| {
            let calls = (round * BATCH..(round + 1) * BATCH).map(|call| {
                let stream = stream_id(call);
                let begin = frame(raw::HEADERS, raw::END_HEADERS, stream, block);
                [
                    begin,
                    frame(raw::RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
                ]
                .concat()
            });
            Some(calls.collect::<Vec<_>>().concat())
        })
    });
    let mut notes = Vec::new();
    for flooded in futures::future::join_all(floods).await {
        let flooded = flooded?;
        ensure!(flooded.closed, "{} bytes of it are borne", flooded.bytes);
        notes.push(note_of("one", flooded));
    }
    Ok(notes.join("; "))
}

async fn control(target: &Target) -> Result<String> {
    let open = call_headers(PATH, Some(target.tokens.full.expose()));
    let begin = frame(raw::HEADERS, raw::END_HEADERS, 1, &open);
    let kinds = [
        ("PING", Vec::new(), frame(raw::PING, 0, 0, &[0; 8])),
        (
            "SETTINGS",
            Vec::new(),
            frame(raw::SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0]),
        ),
        (
            "PRIORITY",
            Vec::new(),
            frame(raw::PRIORITY, 0, 3, &[0, 0, 0, 0, 16]),
        ),
        ("empty DATA", begin, frame(raw::DATA, 0, 1, &[])),
    ];
    let mut notes = Vec::new();
    for (what, begin, frame) in kinds {
        for answers in [Answers::Read, Answers::Unread] {
            let batch = frame.repeat(BATCH);
            let first = [begin.clone(), batch.clone()].concat();
            let next = |round| {
                Some(if round == 0 {
                    first.clone()
                } else {
                    batch.clone()
                })
            };
            let flooded = flood(target.collector.grpc, answers, next).await?;
            notes.push(note_of(&format!("{what} ({answers:?})"), flooded));
        }
    }
    Ok(notes.join("; "))
}

async fn continuation(target: &Target) -> Result<String> {
    let begin = frame(raw::HEADERS, 0, 1, &call_headers(PATH, None));
    let more = header("x-more", &[b'x'; 8_000]);
    let kinds = [
        ("headers", frame(raw::CONTINUATION, 0, 1, &more)),
        ("nothing", frame(raw::CONTINUATION, 0, 1, &[]).repeat(BATCH)),
    ];
    let mut notes = Vec::new();
    for (what, batch) in kinds {
        let first = [begin.clone(), batch.clone()].concat();
        let next = |round| {
            Some(if round == 0 {
                first.clone()
            } else {
                batch.clone()
            })
        };
        let flooded = flood(target.collector.grpc, Answers::Read, next).await?;
        ensure!(flooded.closed, "{what}: {} bytes are borne", flooded.bytes);
        ensure!(
            flooded.bytes < 64 * MIB,
            "{what}: closed only after {} bytes",
            flooded.bytes
        );
        notes.push(note_of(what, flooded));
    }
    Ok(notes.join("; "))
}

async fn headers(target: &Target) -> Result<String> {
    let grpc = target.collector.grpc;
    // One large header is put into the table, and then named many times by one byte each.
    let entry = kept_header("x-bomb", &[b'x'; 3_900]);
    let packed = [call_headers(PATH, None), entry, vec![0x80 | 62; 12_000]].concat();
    let next = |round: usize| {
        let call = frame(raw::HEADERS, raw::END_HEADERS, stream_id(round), &packed);
        (round < 50).then_some(call)
    };
    let bomb = flood(grpc, Answers::Read, next).await?;
    let connection = Connection::open(grpc).await?;
    let long = Call {
        header: Some(("x-long", "x".repeat(60_000).leak())),
        ..Call::new("EventLog/GetLogInfo", target.tokens.full.expose())
    };
    // A refusal of the stream or of the connection are both right.
    let answer = connection.call(long, &[]).await;
    let refused = answer.as_ref().is_ok_and(|answer| answer.code != Code::Ok);
    ensure!(answer.is_err() || refused, "60 KB of headers: {answer:?}");
    let rest = target.collector.rest;
    let mut notes = vec![note_of("packed", bomb)];
    for (what, head) in [
        ("one header of 1 MB", format!("x: {}\r\n", "x".repeat(MIB))),
        ("100,000 headers", "x: y\r\n".repeat(100_000)),
        ("a path of 1 MB", String::new()),
    ] {
        let status = http1(rest, &head).await?;
        let allowed = ["400", "414", "431", "closed"];
        ensure!(allowed.contains(&status.as_str()), "{what}: {status}");
        notes.push(format!("{what}: {status}"));
    }
    Ok(notes.join("; "))
}

/// The status that a request with headers has, where none are given with a long path.
async fn http1(address: SocketAddr, headers: &str) -> Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (mut reading, mut writing) = stream.into_split();
    let path = if headers.is_empty() {
        "x".repeat(MIB)
    } else {
        String::new()
    };
    let head = format!("GET /{path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    let writing = tokio::spawn(async move {
        let _ = writing.write_all(head.as_bytes()).await;
        writing
    });
    let mut answer = [0; 12];
    let reading = reading.read_exact(&mut answer);
    let read = tokio::time::timeout(crate::wire::ANSWER_TIMEOUT, reading).await?;
    drop(writing);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(match read {
        Ok(_) => answer.rsplit(' ').next().unwrap_or_default().to_owned(),
        Err(_) => "closed".to_owned(),
    })
}

async fn window(target: &Target) -> Result<String> {
    let grpc = target.collector.grpc;
    let update = frame(raw::WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    let next = |round: usize| (round < 5).then(|| update.clone());
    let overflow = flood(grpc, Answers::Read, next).await?;
    ensure!(
        overflow.closed,
        "an overflow of the connection's window is borne"
    );
    let update = frame(raw::WINDOW_UPDATE, 0, 0, &0_u32.to_be_bytes());
    let next = |round: usize| (round < 5).then(|| update.clone());
    let zero = flood(grpc, Answers::Read, next).await?;
    ensure!(zero.closed, "an update of a window by nothing is borne");
    Ok([note_of("overflow", overflow), note_of("nothing", zero)].join("; "))
}

/// The path of a call for which no token is needed, and a message of it.
const OPEN_CALLS: [(&str, &[u8]); 2] = [
    ("/grpc.health.v1.Health/Watch", &[]),
    // It lists services, and the stream stays open.
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        &[0x3a, 0],
    ),
];

async fn watches(target: &Target) -> Result<String> {
    const EACH: usize = 400;
    /// As the services are set.
    const OPEN_MAX: usize = 64;
    let mut notes = Vec::new();
    for process in target.processes() {
        let (mut connections, mut open, mut refused) = (Vec::new(), Vec::new(), 0);
        for (path, message) in OPEN_CALLS {
            let connection = Connection::open(process.grpc).await?;
            for _ in 0..EACH {
                let call = Call {
                    token: None,
                    ..Call::new(path, "")
                };
                let (response, mut stream) = connection.begin(call).await?;
                let is_watch = message.is_empty();
                let message = framed(message, message.len(), false);
                let _ = send_all(&mut stream, message, is_watch).await;
                let response = timeout(ANSWER_TIMEOUT, response).await??;
                match status(response.headers()) {
                    Some(answer) if answer.code == Code::ResourceExhausted => refused += 1,
                    Some(answer) => anyhow::bail!("{path}: {answer:?}"),
                    None => open.push((response, stream)),
                }
            }
            connections.push(connection);
        }
        let count = open.len();
        ensure!(
            count <= OPEN_MAX,
            "{count} streams without a token are open"
        );
        ensure!(count > 0, "none is let in");
        notes.push(format!("{}: {count} open, {refused} refused", process.name));
    }
    Ok(notes.join("; "))
}

async fn tokens(target: &Target) -> Result<String> {
    const EACH: usize = 3_000;
    let began = Instant::now();
    let wrong = || format!("atlas_{:032x}{:032x}", random::<u128>(), random::<u128>());
    let connection = Connection::open(target.collector.grpc).await?;
    let calling = stream::iter(0..EACH).map(|_| async {
        let token = wrong();
        let call = Call::new("EventLog/GetLogInfo", &token);
        anyhow::Ok(connection.call(call, &[]).await?.code)
    });
    let codes: Vec<Code> = calling.buffer_unordered(50).try_collect().await?;
    let let_in = codes.iter().find(|code| **code != Code::Unauthenticated);
    ensure!(let_in.is_none(), "gRPC: {let_in:?}");
    let client = clients::rest()?;
    let asking = stream::iter(0..EACH).map(|index| {
        let process = target.processes()[index % 2];
        let request = client.get(format!("http://{}/v1/log", process.rest));
        let request = request.bearer_auth(wrong());
        async move { anyhow::Ok(request.send().await?.status().as_u16()) }
    });
    let statuses: Vec<u16> = asking.buffer_unordered(50).try_collect().await?;
    // The engine has no such path, which it says to nobody else either.
    let let_in = statuses.iter().find(|status| ![401, 404].contains(*status));
    ensure!(let_in.is_none(), "REST: {let_in:?}");
    Ok(format!("all refused within {:.1?}", began.elapsed()))
}
