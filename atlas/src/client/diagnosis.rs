//! Mistakes in the address of a server. What the transport reports of them ("frame with invalid size") says
//! nothing to people; one look at what answers there does.

use std::{io, time::Duration};

use http::Uri;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{connection::Server, failure::Failure};

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// A request that every kind of server answers in its own way.
const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nhost: atlas\r\nconnection: close\r\n\r\n";
/// First byte of an alert of TLS (RFC 8446, section 5.1).
const TLS_ALERT: u8 = 21;

/// What answers at an address, by its first bytes without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
    Tls,
}

impl Spoken {
    fn of(answer: &[u8]) -> Option<Self> {
        match answer {
            [b'H', b'T', b'T', b'P', b'/', b'1', ..] => Some(Self::Http1),
            [TLS_ALERT, 3, ..] => Some(Self::Tls),
            // A frame of settings, which a server of HTTP/2 begins with: length, then type 4.
            [0, _, _, 4, ..] => Some(Self::Http2),
            _ => None,
        }
    }
}

/// A failure in words that say what to change, where its reason is the address.
pub(crate) async fn explain(server: &Server, failure: Failure) -> Failure {
    mistake(server, &failure).await.unwrap_or(failure)
}

/// The mistake in the address that a failure comes from, if it is one.
pub(crate) async fn mistake(server: &Server, failure: &Failure) -> Option<Failure> {
    if !failure.is_transient() {
        return None;
    }
    let uri = server.uri().ok()?;
    let looked = timeout(LOOK_MAX, first_bytes(&uri)).await;
    let spoken = Spoken::of(&looked.ok()?.ok()?)?;
    let advice = advice(uri.scheme_str() == Some("https"), spoken)?;
    let address = &server.address;
    Some(Failure::Usage(format!("{address} {advice}")))
}

fn advice(with_tls: bool, spoken: Spoken) -> Option<&'static str> {
    match (with_tls, spoken) {
        (false, Spoken::Tls) => Some("expects TLS: write https://"),
        (true, Spoken::Http1 | Spoken::Http2) => Some("does not use TLS: write http://"),
        (false, Spoken::Http1) => Some(
            "is a port of REST: gRPC has one of its own (by default 5001 of a collector, 5101 of a \
             threshold engine)",
        ),
        (true, Spoken::Tls) | (false, Spoken::Http2) => None,
    }
}

async fn first_bytes(uri: &Uri) -> io::Result<Vec<u8>> {
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let default_port = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    let mut stream = TcpStream::connect((host, uri.port_u16().unwrap_or(default_port))).await?;
    stream.write_all(QUESTION).await?;
    let mut answer = vec![0; 16];
    let length = stream.read(&mut answer).await?;
    answer.truncate(length);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_distinguished_by_their_first_bytes() {
        let cases: [(&[u8], Option<Spoken>); 5] = [
            (b"HTTP/1.1 404 Not Found", Some(Spoken::Http1)),
            (&[21, 3, 3, 0, 2, 2, 70], Some(Spoken::Tls)),
            (&[0, 0, 18, 4, 0, 0, 0, 0, 0], Some(Spoken::Http2)),
            (b"SSH-2.0-OpenSSH", None),
            (b"", None),
        ];
        for (answer, spoken) in cases {
            assert_eq!(Spoken::of(answer), spoken, "{answer:?}");
        }
    }
}
