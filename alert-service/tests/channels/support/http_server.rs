use std::{
    collections::VecDeque,
    convert::Infallible,
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::HeaderMap,
    response::Response,
};
use futures::{StreamExt, stream};
use serde_json::Value;
use url::Url;

/// A chunk of an endless answer.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a server answers.
pub(crate) enum Reply {
    /// Status, headers, body.
    Whole(u16, Vec<(&'static str, String)>, String),
    /// No head of an answer, ever.
    Silence,
    /// A head and then bytes without end.
    Endless(u16),
    /// A head, a few bytes, and the connection is closed.
    Reset(u16),
    /// A head and a byte now and then, without end.
    Slow(u16),
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Whole(status, Vec::new(), String::new())
    }

    pub(crate) fn text(status: u16, text: &str) -> Self {
        Self::Whole(status, Vec::new(), text.to_owned())
    }

    pub(crate) fn header(status: u16, name: &'static str, value: &str) -> Self {
        Self::Whole(status, vec![(name, value.to_owned())], String::new())
    }
}

/// A request as it came.
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Default)]
struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    received: Mutex<Vec<Received>>,
    produced_bytes: AtomicUsize,
}

/// A server of HTTP that answers as it is asked to, in that order, and then with 200.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl HttpServer {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared }
    }

    pub(crate) fn will(self, reply: Reply) -> Self {
        self.shared.replies.lock().unwrap().push_back(reply);
        self
    }

    /// The URL with this path.
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    /// What has come since the last call.
    pub(crate) fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.received.lock().unwrap())
    }

    /// The one request that has come.
    pub(crate) fn take_one(&self) -> Received {
        let mut received = self.take();
        assert_eq!(received.len(), 1);
        received.remove(0)
    }

    /// How much of endless answers was handed out.
    pub(crate) fn produced_bytes(&self) -> usize {
        self.shared.produced_bytes.load(Ordering::Relaxed)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
    shared.received.lock().unwrap().push(Received {
        path: head.uri.path().to_owned(),
        headers: head.headers,
        body,
    });
    let reply = shared.replies.lock().unwrap().pop_front();
    match reply.unwrap_or(Reply::status(200)) {
        Reply::Whole(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(Body::from(body)).unwrap()
        }
        Reply::Silence => pending().await,
        Reply::Endless(status) => {
            let chunks = stream::repeat_with(move || {
                shared
                    .produced_bytes
                    .fetch_add(CHUNK_BYTES, Ordering::Relaxed);
                Ok::<_, Infallible>(Bytes::from_static(&[b'x'; CHUNK_BYTES]))
            });
            streamed(status, Body::from_stream(chunks))
        }
        Reply::Reset(status) => {
            let part = stream::once(async { Ok(Bytes::from_static(b"partly")) });
            let error = stream::once(async {
                // The server sends what it has when it must wait for more.
                tokio::task::yield_now().await;
                Err(io::Error::other("reset"))
            });
            streamed(status, Body::from_stream(part.chain(error)))
        }
        Reply::Slow(status) => {
            let ticks = tokio::time::interval(Duration::from_millis(20));
            let ticks = stream::unfold(ticks, |mut ticks| async {
                ticks.tick().await;
                Some(((), ticks))
            });
            let bytes = ticks.map(|()| Ok::<_, Infallible>(Bytes::from_static(b"s")));
            streamed(status, Body::from_stream(bytes))
        }
    }
}

fn streamed(status: u16, body: Body) -> Response {
    Response::builder().status(status).body(body).unwrap()
}
