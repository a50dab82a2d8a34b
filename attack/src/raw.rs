//! Frames of HTTP/2 by hand, for what no library sends.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedReadHalf},
    time::{Instant, timeout, timeout_at},
};

/// How a connection over HTTP/2 begins.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Kinds of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
/// A flag of headers.
pub(crate) const END_HEADERS: u8 = 4;
/// How long a flood lasts, unless the server closes it before.
const FLOOD_TIME: Duration = Duration::from_secs(3);
/// How long the server has to close what it is to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// One frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let mut bytes = Vec::with_capacity(payload.len() + 9);
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header that is not put into the table, its name and value spelt out.
pub(crate) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    string(&mut bytes, name.as_bytes());
    string(&mut bytes, value);
    bytes
}

/// A header that is put into the table of the connection, where 62 names the newest.
pub(crate) fn kept_header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, value);
    bytes[0] = 0x40;
    bytes
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    // The length has a prefix of seven bits.
    if text.len() < 127 {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend_from_slice(text);
}

/// The headers of a call.
pub(crate) fn call_headers(path: &str, token: Option<&str>) -> Vec<u8> {
    // POST and http are in the static table.
    let mut bytes = vec![0x83, 0x86];
    bytes.extend(header(":path", path.as_bytes()));
    bytes.extend(header(":authority", b"localhost"));
    bytes.extend(header("content-type", b"application/grpc"));
    bytes.extend(header("te", b"trailers"));
    if let Some(token) = token {
        bytes.extend(header(
            "authorization",
            format!("Bearer {token}").as_bytes(),
        ));
    }
    bytes
}

/// What came of a flood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flooded {
    /// How much was sent.
    pub(crate) bytes: usize,
    /// Whether the server has closed the connection.
    pub(crate) closed: bool,
    /// Why, as it says.
    pub(crate) goaway: Option<u32>,
}

/// Whether the attacker reads what the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answers {
    Read,
    Unread,
}

/// Sends what `next` makes, until it makes no more, the time is over or the server has closed the
/// connection. Where the connection is read, the server then has some seconds to close it.
pub(crate) async fn flood(
    address: SocketAddr,
    answers: Answers,
    mut next: impl FnMut(usize) -> Option<Vec<u8>>,
) -> Result<Flooded> {
    let (reading, mut writing) = TcpStream::connect(address).await?.into_split();
    let mut reading = Some(reading);
    let reader = match answers {
        Answers::Read => reading.take().map(|half| tokio::spawn(drain(half))),
        Answers::Unread => None,
    };
    writing.write_all(PREFACE).await?;
    writing.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let deadline = Instant::now() + FLOOD_TIME;
    let mut flooded = Flooded {
        bytes: 0,
        closed: false,
        goaway: None,
    };
    for round in 0.. {
        let Some(bytes) = next(round) else { break };
        match timeout_at(deadline, writing.write_all(&bytes)).await {
            Ok(Ok(())) => flooded.bytes += bytes.len(),
            Ok(Err(_)) => flooded.closed = true,
            Err(_) => break,
        }
        if flooded.closed || Instant::now() >= deadline {
            break;
        }
    }
    if let Some(mut reader) = reader {
        match timeout(CLOSE_TIMEOUT, &mut reader).await {
            Ok(goaway) => {
                flooded.closed = true;
                flooded.goaway = goaway.unwrap_or_default();
            }
            Err(_) => reader.abort(),
        }
    }
    Ok(flooded)
}

/// Reads frames until the server closes; the code of its last word, if it had one.
async fn drain(mut reading: OwnedReadHalf) -> Option<u32> {
    let mut goaway = None;
    let mut head = [0; 9];
    let mut payload = Vec::new();
    while reading.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        payload.resize(length, 0);
        if reading.read_exact(&mut payload).await.is_err() {
            break;
        }
        if let (GOAWAY, [_, _, _, _, a, b, c, d, ..]) = (head[3], payload.as_slice()) {
            goaway = Some(u32::from_be_bytes([*a, *b, *c, *d]));
        }
    }
    goaway
}

/// Waits until the server closes a connection. Whether it did within a time.
pub(crate) async fn is_closed_within(stream: &mut TcpStream, patience: Duration) -> bool {
    let mut buffer = [0; 1024];
    let closed = async {
        // What it says before it closes does not matter.
        while let Ok(1..) = stream.read(&mut buffer).await {}
    };
    timeout(patience, closed).await.is_ok()
}
