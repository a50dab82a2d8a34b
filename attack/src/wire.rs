//! Requests that no client of ours would send: any bytes as the message of a call, bodies that
//! never end.

use std::{future::poll_fn, net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::{BufMut, Bytes, BytesMut};
use h2::{SendStream, client::ResponseFuture};
use http::{HeaderMap, Request};
use tokio::{
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::Code;

/// What takes longer has no answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A request of a generated client, with a token.
pub(crate) fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if let Ok(header) = format!("Bearer {token}").parse() {
        request.metadata_mut().insert("authorization", header);
    }
    request
}

/// How a call ended, whatever came before that.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status; `Unknown` where the answer was none of gRPC.
    pub(crate) code: Code,
    /// Its message.
    pub(crate) message: String,
}

/// A connection over HTTP/2, closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    send: h2::client::SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What to call, and as who.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// `Service/Method` in the package of the contract, or a path with its slash.
    pub(crate) method: &'a str,
    /// The token, if any.
    pub(crate) token: Option<&'a str>,
    /// A further header.
    pub(crate) header: Option<(&'static str, &'static str)>,
    /// Whether the message is said to be compressed.
    pub(crate) compressed: bool,
}

impl<'a> Call<'a> {
    /// With a token.
    pub(crate) fn new(method: &'a str, token: &'a str) -> Self {
        Self {
            method,
            token: Some(token),
            header: None,
            compressed: false,
        }
    }
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        Self::with_window(address, 16 << 20).await
    }

    /// Connects, to take so many bytes of each answer.
    pub(crate) async fn with_window(address: SocketAddr, window_bytes: u32) -> Result<Self> {
        let opening = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let handshake = h2::client::Builder::new()
                .initial_window_size(window_bytes)
                .initial_connection_window_size(64 << 20)
                .initial_max_send_streams(usize::MAX)
                .handshake(stream);
            anyhow::Ok(handshake.await?)
        };
        let (send, connection) = timeout(ANSWER_TIMEOUT, opening).await??;
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self {
            address,
            send,
            driver,
        })
    }

    /// Begins a call and sends nothing of its message.
    pub(crate) async fn begin(
        &self,
        call: Call<'_>,
    ) -> Result<(ResponseFuture, SendStream<Bytes>)> {
        let path = match call.method.starts_with('/') {
            true => call.method.to_owned(),
            false => format!("/atlas.events.{}", call.method),
        };
        let mut request = Request::post(format!("http://{}{path}", self.address));
        if let Some(token) = call.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some((name, value)) = call.header {
            request = request.header(name, value);
        }
        let request = request
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut send = self.send.clone().ready().await?;
        Ok(send.send_request(request, false)?)
    }

    /// A call with one message of any bytes.
    pub(crate) async fn call(&self, call: Call<'_>, message: &[u8]) -> Result<Answer> {
        let calling = async {
            let (response, mut stream) = self.begin(call).await?;
            let framed = framed(message, message.len(), call.compressed);
            let sending = async {
                // The server may answer before it has all, and then wants no more.
                let _ = send_all(&mut stream, framed, true).await;
                std::future::pending::<()>().await;
            };
            tokio::select! {
                answer = read(response) => answer,
                () = sending => bail!("unreachable"),
            }
        };
        let answered = timeout(ANSWER_TIMEOUT, calling).await;
        answered.with_context(|| format!("{} has no answer in time", call.method))?
    }
}

/// A message of gRPC that is said to be of a length.
pub(crate) fn framed(message: &[u8], length: usize, compressed: bool) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(u8::from(compressed));
    framed.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// Sends as the server's windows allow.
pub(crate) async fn send_all(
    stream: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    is_end: bool,
) -> Result<()> {
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let capacity = poll_fn(|context| stream.poll_capacity(context)).await;
        let capacity = capacity.context("the stream is closed")??;
        if capacity == 0 {
            // h2 may wake without capacity.
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        let part = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(part, is_end && bytes.is_empty())?;
    }
    Ok(())
}

/// Reads an answer to its end.
pub(crate) async fn read(response: ResponseFuture) -> Result<Answer> {
    let (head, mut body) = response.await?.into_parts();
    if let Some(answer) = status(&head.headers) {
        return Ok(answer);
    }
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok(status(&trailers).unwrap_or_else(|| Answer {
        code: Code::Unknown,
        message: format!("HTTP {} without a status", head.status),
    }))
}

/// The status that headers or trailers hold.
pub(crate) fn status(headers: &HeaderMap) -> Option<Answer> {
    let code = headers.get("grpc-status")?;
    let message = headers.get("grpc-message").map(|value| value.as_bytes());
    Some(Answer {
        code: Code::from_bytes(code.as_bytes()),
        message: String::from_utf8_lossy(message.unwrap_or_default()).into_owned(),
    })
}

/// A field of a protobuf message that has a length.
pub(crate) fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 12);
    prost::encoding::encode_key(
        number,
        prost::encoding::WireType::LengthDelimited,
        &mut bytes,
    );
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}
