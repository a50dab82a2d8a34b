//! A service asks itself how it is, for containers that have nothing else to ask with.

use std::{
    io::{Error, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConnection, StreamOwned};

use crate::security::TlsFiles;

/// Longer than an answer about readiness may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Asks the service that serves REST at `address`, over TLS with these files if any, whether it is
/// ready. What it says, or why not.
///
/// # Errors
/// It is not, or cannot be reached.
pub fn ask_readiness(address: SocketAddr, tls: Option<&TlsFiles>) -> Result<String, String> {
    let address = reachable(address);
    let answer =
        request(address, tls).map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(body.trim().to_owned()),
        _ => Err(format!("{address} is not ready: {status}: {}", body.trim())),
    }
}

fn request(address: SocketAddr, tls: Option<&TlsFiles>) -> std::io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    match tls {
        None => ask(stream, address),
        Some(files) => {
            let config = files.client_of_itself().map_err(Error::other)?;
            let client = ClientConnection::new(Arc::new(config), address.ip().into());
            let client = client.map_err(Error::other)?;
            ask(StreamOwned::new(client, stream), address)
        }
    }
}

fn ask(mut connection: impl Read + Write, address: SocketAddr) -> std::io::Result<String> {
    write!(
        connection,
        "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    connection.take(64 * 1024).read_to_string(&mut answer)?;
    Ok(answer)
}

/// Who listens at all addresses is asked at the loopback one.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
