//! What the transport does by itself: a gRPC server whose events lie in memory, numbered and framed
//! before anybody asks, the same bytes for every subscriber. No log, no database, no wake-up.

use std::{
    convert::Infallible,
    io::{Write, stdout},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
    time::timeout,
};
use tonic::{
    body::Body,
    server::NamedService,
    transport::{Server, server::TcpIncoming},
};

use super::{Running, Subscriber};
use crate::{
    load::{Publisher, clock::now_us, message},
    reader::Reader,
    stage::connection::connect,
};

/// What goes into one frame of HTTP.
const BATCH_BYTES: usize = 256 * 1_024;

pub(super) struct Frames {
    // Ends when it is dropped, or when its standard input does.
    _child: Child,
    pid: u32,
    address: String,
}

impl Frames {
    /// Serves that many events.
    pub(super) async fn start(events: u64) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve-frames", "--events", &events.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().context("the output is piped")?;
        let mut port = String::new();
        let mut lines = BufReader::new(stdout);
        timeout(Duration::from_secs(30), lines.read_line(&mut port))
            .await
            .context("the server does not start")??;
        ensure!(!port.is_empty(), "the server could not start");
        Ok(Self {
            _child: child,
            pid,
            address: format!("http://127.0.0.1:{}", port.trim()),
        })
    }
}

impl Running for Frames {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn publisher(&self, _: usize) -> BoxFuture<'_, Result<Box<dyn Publisher>>> {
        Box::pin(async { bail!("nothing can be published to framed bytes") })
    }

    fn subscriber(&self) -> BoxFuture<'_, Result<Box<dyn Subscriber>>> {
        Box::pin(async {
            let channel = connect(&self.address).await?;
            Ok(Box::new(Reader::raw(channel, 0).await?) as Box<dyn Subscriber>)
        })
    }

    fn close(self: Box<Self>, _: u64) -> BoxFuture<'static, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// Serves events 1 to `events` to everybody who subscribes, until standard input ends.
pub(crate) async fn serve(events: u64) -> Result<()> {
    let batches = Batches(framed(events).into());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    writeln!(stdout(), "{}", listener.local_addr()?.port())?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let input_ended = async {
        let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        served = Server::builder().add_service(batches).serve_with_incoming(incoming) => Ok(served?),
        () = input_ended => Ok(()),
    }
}

fn framed(events: u64) -> Vec<Bytes> {
    let (mut batches, mut batch) = (Vec::new(), BytesMut::new());
    for number in 0..events {
        let mut event = message::event(number, now_us());
        event.position = number + 1;
        event.recorded_at = event.occurred_at;
        batch.put_u8(0);
        batch.put_u32(event.encoded_len() as u32);
        batch.put_slice(&event.encode_to_vec());
        if batch.len() >= BATCH_BYTES {
            batches.push(batch.split().freeze());
        }
    }
    batches.push(batch.freeze());
    batches
}

#[derive(Clone)]
struct Batches(std::sync::Arc<[Bytes]>);

impl NamedService for Batches {
    const NAME: &'static str = "atlas.events.EventStream";
}

impl tower::Service<http::Request<Body>> for Batches {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        let batches = std::sync::Arc::clone(&self.0);
        let count = batches.len();
        let frames = (0..=count).map(move |index| match batches.get(index) {
            Some(batch) => Ok::<_, Infallible>(Frame::data(batch.clone())),
            None => Ok(Frame::trailers(ok())),
        });
        let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
        let mut response = http::Response::new(Body::new(body));
        let kind = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        std::future::ready(Ok(response))
    }
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )])
}
