//! A receiver of traces as OTLP describes it, which keeps what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use test_support::eventually;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

const DEADLINE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Span>>>,
    resources: Arc<Mutex<Vec<Vec<KeyValue>>>>,
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource_spans in request.into_inner().resource_spans {
            let attributes = resource_spans.resource.map(|resource| resource.attributes);
            self.resources.lock().unwrap().extend(attributes);
            let scopes = resource_spans.scope_spans.into_iter();
            let spans = scopes.flat_map(|scope| scope.spans);
            self.spans.lock().unwrap().extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A running receiver.
pub(crate) struct Receiver {
    kept: Kept,
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(kept.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        let serving = tokio::spawn(async { serving.await.unwrap() });
        Self {
            kept,
            address,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.spans.lock().unwrap().clone()
    }

    /// An attribute of the process that sent the first spans.
    pub(crate) fn resource(&self, key: &str) -> String {
        text(&self.kept.resources.lock().unwrap()[0], key)
    }

    /// The first span that fits, waiting for it.
    pub(crate) async fn span(&self, what: &str, fits: impl Fn(&Span) -> bool) -> Span {
        let find = || self.spans().into_iter().find(|span| fits(span));
        eventually(DEADLINE, async || find().is_some()).await;
        find().unwrap_or_else(|| panic!("{what} has no span"))
    }
}

/// What is asked of spans.
pub(crate) trait Facts {
    fn traceparent(&self) -> String;
    fn links_to(&self, traceparent: &str) -> bool;
    fn is_child_of(&self, parent: &Span) -> bool;
    fn text(&self, key: &str) -> String;
    fn has_failed(&self) -> bool;
}

impl Facts for Span {
    fn traceparent(&self) -> String {
        format!("00-{}-{}-01", hex(&self.trace_id), hex(&self.span_id))
    }

    fn links_to(&self, traceparent: &str) -> bool {
        let links = self.links.iter();
        let mut traceparents =
            links.map(|link| format!("00-{}-{}-01", hex(&link.trace_id), hex(&link.span_id)));
        traceparents.any(|link| link == traceparent)
    }

    fn is_child_of(&self, parent: &Span) -> bool {
        self.trace_id == parent.trace_id && self.parent_span_id == parent.span_id
    }

    fn text(&self, key: &str) -> String {
        text(&self.attributes, key)
    }

    fn has_failed(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.code == StatusCode::Error as i32)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    let value = found.and_then(|attribute| attribute.value.clone()?.value);
    match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{key} is {other:?}"),
        None => panic!("there is no {key} in {attributes:?}"),
    }
}
