//! Connections that say half of what they begin with, nothing, or nothing any more.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, future::join_all, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use crate::{raw, target::Target, trial::Attack, wire::ANSWER_TIMEOUT};

const MANY: usize = 1_200;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// By then the services have closed what says nothing.
const DEADLINE: Duration = Duration::from_secs(70);
/// So many connections of one address stay open at the most.
const ADDRESS_MAX: usize = 1_024;
/// A token that was taken out of the file is refused within this.
const REVOKED_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn attacks() -> Vec<Attack> {
    vec![
        Attack::new(
            "connections-half-header",
            "1,200 connections to REST with half a header",
            |target| Box::pin(half_header(target)),
        ),
        Attack::new(
            "connections-half-preface",
            "1,200 connections to gRPC with half of how HTTP/2 begins",
            |target| Box::pin(half_preface(target)),
        ),
        Attack::new(
            "connections-half-headers-frame",
            "1,200 connections to gRPC with half a frame of headers",
            |target| Box::pin(half_frame(target)),
        ),
        Attack::new(
            "connections-silent",
            "1,200 connections to either port that say nothing",
            |target| Box::pin(silent(target)),
        ),
        Attack::new(
            "connections-idle",
            "1,200 connections to REST that ask once and then stay",
            |target| Box::pin(idle(target)),
        ),
        Attack::new(
            "connections-many",
            "3,000 sound connections to gRPC from one address",
            |target| Box::pin(many(target)),
        ),
        Attack::new(
            "connections-in-sequence",
            "10,000 connections one after the other, half of them cut at once",
            |target| Box::pin(in_sequence(target)),
        ),
    ]
}

/// What a connection says, and whether it waits for an answer to it.
#[derive(Debug, Clone, Copy)]
struct Says<'a> {
    bytes: &'a [u8],
    waits: bool,
}

impl<'a> Says<'a> {
    fn only(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            waits: false,
        }
    }
}

async fn half_header(target: &Target) -> Result<String> {
    let says = Says::only(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\nx-half: ");
    held(target, &[target.collector.rest], says).await
}

async fn half_preface(target: &Target) -> Result<String> {
    let says = Says::only(&raw::PREFACE[..12]);
    held(target, &[target.collector.grpc], says).await
}

async fn half_frame(target: &Target) -> Result<String> {
    let mut bytes = raw::PREFACE.to_vec();
    bytes.extend(raw::frame(raw::SETTINGS, 0, 0, &[]));
    let headers = raw::call_headers("/atlas.events.EventLog/GetLogInfo", None);
    let frame = raw::frame(raw::HEADERS, raw::END_HEADERS, 1, &headers);
    bytes.extend(&frame[..frame.len() / 2]);
    held(target, &[target.collector.grpc], Says::only(&bytes)).await
}

async fn silent(target: &Target) -> Result<String> {
    let ports = [target.collector.rest, target.collector.grpc];
    held(target, &ports, Says::only(&[])).await
}

async fn idle(target: &Target) -> Result<String> {
    let says = Says {
        bytes: b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n",
        waits: true,
    };
    held(target, &[target.collector.rest], says).await
}

/// Opens the connections, has a token revoked meanwhile, and waits until all are closed.
async fn held(target: &Target, ports: &[SocketAddr], says: Says<'_>) -> Result<String> {
    let began = Instant::now();
    let ports = ports.iter().copied().cycle().take(MANY);
    // Collected first: the compiler cannot see that a lazy one may be sent between threads.
    let opening: Vec<_> = ports.map(|port| open(port, says)).collect();
    let opened: Vec<_> = stream::iter(opening).buffer_unordered(200).collect().await;
    // One that is closed at once is as good as refused.
    let mut open: Vec<TcpStream> = opened.into_iter().filter_map(Result::ok).collect();
    let admitted = open.len();
    let revoked = revoke(target).await;
    target.tokens.admit()?;
    let left = DEADLINE.saturating_sub(began.elapsed());
    let closed = open
        .iter_mut()
        .map(|stream| raw::is_closed_within(stream, left));
    let kept = join_all(closed)
        .await
        .into_iter()
        .filter(|closed| !closed)
        .count();
    let took = began.elapsed();
    let revoked = match (revoked, kept) {
        (Ok(revoked), 0) => revoked,
        (Ok(_), _) => bail!("{kept} of {MANY} are open after {DEADLINE:?}"),
        (Err(error), 0) => return Err(error),
        (Err(error), _) => bail!("{kept} of {MANY} are open after {DEADLINE:?}; {error:#}"),
    };
    Ok(format!(
        "{admitted} connected, all closed within {took:.1?}; a token was refused {revoked:.1?} after \
         it was revoked"
    ))
}

async fn open(port: SocketAddr, says: Says<'_>) -> Result<TcpStream> {
    // A service that accepts no more leaves clients waiting for it.
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(port));
    let mut stream = connecting.await??;
    stream.write_all(says.bytes).await?;
    if says.waits {
        let mut answer = [0; 1024];
        let answered = timeout(CONNECT_TIMEOUT, stream.read(&mut answer)).await??;
        ensure!(answered > 0, "closed");
    }
    Ok(stream)
}

/// Takes a token out of the file. How long it is let in after that, on a connection of before.
async fn revoke(target: &Target) -> Result<Duration> {
    let address = target.collector.rest;
    let client = reqwest::Client::builder()
        .no_proxy()
        .local_address(std::net::IpAddr::from([127, 0, 0, 3]))
        .timeout(REVOKED_WITHIN)
        .build()?;
    let ask = async || {
        let request = client.get(format!("http://{address}/v1/log"));
        let token = target.tokens.revocable.expose();
        let answer = request.bearer_auth(token).send().await;
        anyhow::Ok(answer?.status().as_u16())
    };
    let before = ask().await.context("another address is not served")?;
    ensure!(before == 200, "the token is not known: {before}");
    target.tokens.revoke()?;
    let began = Instant::now();
    loop {
        let status = ask().await.context("another address is not served")?;
        if status == 401 {
            return Ok(began.elapsed());
        }
        let since = began.elapsed();
        ensure!(
            since < REVOKED_WITHIN,
            "a revoked token is let in after {since:.1?}"
        );
        sleep(Duration::from_millis(100)).await;
    }
}

async fn many(target: &Target) -> Result<String> {
    const SOUND: usize = 3_000;
    let mut begin = raw::PREFACE.to_vec();
    begin.extend(raw::frame(raw::SETTINGS, 0, 0, &[]));
    let says = Says::only(&begin);
    let opening = stream::iter((0..SOUND).map(|_| open(target.collector.grpc, says)));
    let opened: Vec<_> = opening.buffer_unordered(200).collect().await;
    let mut open: Vec<TcpStream> = opened.into_iter().filter_map(Result::ok).collect();
    let patience = Duration::from_secs(5);
    let closed = open
        .iter_mut()
        .map(|stream| raw::is_closed_within(stream, patience));
    let kept = join_all(closed)
        .await
        .into_iter()
        .filter(|closed| !closed)
        .count();
    ensure!(
        kept <= ADDRESS_MAX,
        "{kept} connections of one address are open"
    );
    ensure!(kept > 0, "not one connection is let in");
    Ok(format!("{kept} of {SOUND} stayed open"))
}

async fn in_sequence(target: &Target) -> Result<String> {
    const CONNECTIONS: usize = 10_000;
    let ports = [target.collector.rest, target.collector.grpc];
    let began = Instant::now();
    for index in 0..CONNECTIONS {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(ports[index % 2]));
        let mut stream = connecting.await??;
        if index % 4 < 2 {
            // No ports wait behind it.
            stream.set_zero_linger()?;
        } else {
            let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await;
            let mut answer = [0; 16];
            let _ = timeout(ANSWER_TIMEOUT, stream.read(&mut answer)).await?;
            stream.set_zero_linger()?;
        }
    }
    let took = began.elapsed().as_secs_f64();
    Ok(format!(
        "{:.0} connections a second",
        CONNECTIONS as f64 / took
    ))
}
