//! Clients of a collector: over gRPC and REST, with or without token, certificate and trust.

use atlas_events::{
    Event, FindEventRequest, GetLogInfoRequest, GetLogInfoResponse, PublishRequest,
    PublishResponse, SubscriptionRequest, TimeRangeRequest, event_log_client::EventLogClient,
    event_publisher_client::EventPublisherClient, event_stream_client::EventStreamClient,
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;
use test_support::Issued;
use tokio::time::timeout;
use tonic::{
    Request, Status, Streaming,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error, Identity},
};
use tonic_types::StatusExt;

use crate::harness::{Collector, DEADLINE};

/// What a client trusts and shows of itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tls<'a> {
    /// The authority that it trusts, in PEM.
    pub(crate) trusts: Option<&'a str>,
    pub(crate) shows: Option<&'a Issued>,
}

impl<'a> Tls<'a> {
    pub(crate) fn trusting(authority: &'a str) -> Self {
        Self {
            trusts: Some(authority),
            shows: None,
        }
    }

    pub(crate) fn showing(self, issued: &'a Issued) -> Self {
        Self {
            shows: Some(issued),
            ..self
        }
    }
}

/// A client over gRPC.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
    authorization: Option<String>,
}

impl Client {
    /// A client without a token, of a collector without TLS.
    pub(crate) async fn of(collector: &Collector) -> Self {
        Self::over(collector, Tls::default()).await.unwrap()
    }

    /// A client without a token, at an address without TLS.
    pub(crate) async fn at(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
        let connecting = timeout(DEADLINE, endpoint.connect()).await;
        Self {
            channel: connecting.unwrap().unwrap(),
            authorization: None,
        }
    }

    pub(crate) async fn over(collector: &Collector, tls: Tls<'_>) -> Result<Self, Error> {
        let mut endpoint = Endpoint::from_shared(collector.grpc.clone()).unwrap();
        if let Some(authority) = tls.trusts {
            let config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
            let config = match tls.shows {
                Some(Issued { certificate, key }) => {
                    config.identity(Identity::from_pem(certificate, key))
                }
                None => config,
            };
            endpoint = endpoint.tls_config(config).unwrap();
        }
        let connecting = timeout(DEADLINE, endpoint.connect()).await;
        Ok(Self {
            channel: connecting.unwrap()?,
            authorization: None,
        })
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        self.with_authorization(&format!("Bearer {token}"))
    }

    pub(crate) fn with_authorization(&self, header: &str) -> Self {
        Self {
            authorization: Some(header.to_owned()),
            ..self.clone()
        }
    }

    /// With the token of another.
    pub(crate) fn as_client(&self, other: &Self) -> Self {
        Self {
            channel: self.channel(),
            authorization: other.authorization.clone(),
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            let value = authorization.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        request
    }

    fn streams(&self) -> EventStreamClient<Channel> {
        EventStreamClient::new(self.channel())
    }

    pub(crate) async fn info(&self) -> Result<GetLogInfoResponse, Status> {
        let mut client = EventLogClient::new(self.channel());
        let answer = client
            .get_log_info(self.request(GetLogInfoRequest {}))
            .await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn find(&self, event_id: &str) -> Result<Event, Status> {
        let event_id = event_id.to_owned();
        let mut client = EventLogClient::new(self.channel());
        let request = self.request(FindEventRequest { event_id });
        Ok(client
            .find_event(request)
            .await?
            .into_inner()
            .event
            .unwrap())
    }

    pub(crate) async fn latest_time(&self) -> Result<atlas_events::Timestamp, Status> {
        let answer = self.streams().get_latest_event_time(self.request(())).await;
        Ok(answer?.into_inner())
    }

    pub(crate) async fn publish(&self, events: Vec<Event>) -> Result<PublishResponse, Status> {
        let mut client = EventPublisherClient::new(self.channel());
        let answer = client
            .publish(self.request(PublishRequest {
                events,
                ..PublishRequest::default()
            }))
            .await?;
        Ok(answer.into_inner())
    }

    pub(crate) async fn subscribe(
        &self,
        request: SubscriptionRequest,
    ) -> Result<Streaming<Event>, Status> {
        let answer = self
            .streams()
            .subscribe_to_events(self.request(request))
            .await?;
        Ok(answer.into_inner())
    }

    /// A stream of all from the beginning.
    pub(crate) async fn follow(&self) -> Result<Streaming<Event>, Status> {
        let after_position = Some(0);
        self.subscribe(SubscriptionRequest {
            after_position,
            ..SubscriptionRequest::default()
        })
        .await
    }

    /// All since a time, whatever end the request has.
    pub(crate) async fn since(&self, request: TimeRangeRequest) -> Result<Vec<Event>, Status> {
        let request = TimeRangeRequest {
            end_at: None,
            ..request
        };
        let answer = self
            .streams()
            .get_events_since(self.request(request))
            .await?;
        all(answer.into_inner()).await
    }

    pub(crate) async fn between(&self, request: TimeRangeRequest) -> Result<Vec<Event>, Status> {
        let answer = self
            .streams()
            .get_events_between(self.request(request))
            .await?;
        all(answer.into_inner()).await
    }
}

async fn all(mut stream: Streaming<Event>) -> Result<Vec<Event>, Status> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await? {
        events.push(event);
    }
    Ok(events)
}

/// The next event of a stream.
pub(crate) async fn next(stream: &mut Streaming<Event>) -> Event {
    let next = timeout(DEADLINE, stream.message()).await.unwrap();
    next.unwrap().unwrap()
}

/// How a stream ends that brings nothing more.
pub(crate) async fn end<T: std::fmt::Debug>(stream: &mut Streaming<T>) -> Status {
    let ended = timeout(DEADLINE, stream.message()).await.unwrap();
    ended.unwrap_err()
}

/// The stable reason of a status.
#[track_caller]
pub(crate) fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info();
    info.unwrap_or_else(|| panic!("{status:?}")).reason.clone()
}

/// The field that a status blames.
#[track_caller]
pub(crate) fn field(status: &Status) -> String {
    let details = status.get_error_details();
    let violations = details.bad_request();
    let violations = violations.unwrap_or_else(|| panic!("{status:?}"));
    violations.field_violations[0].field.clone()
}

/// A client of REST.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Rest {
    pub(crate) fn of(collector: &Collector) -> Self {
        Self::over(collector, Tls::default())
    }

    pub(crate) fn over(collector: &Collector, tls: Tls<'_>) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().timeout(DEADLINE).no_proxy();
        // Each request on a connection of its own, so that each meets the certificate of now.
        let builder = builder.pool_max_idle_per_host(0);
        let trusted = tls.trusts.map(|pem| {
            let pem = pem.as_bytes();
            reqwest::Certificate::from_pem(pem).unwrap()
        });
        let builder = match trusted {
            Some(authority) => builder.tls_certs_only([authority]),
            None => builder,
        };
        let builder = match tls.shows {
            Some(Issued { certificate, key }) => {
                let pem = format!("{certificate}{key}");
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            }
            None => builder,
        };
        Self {
            client: builder.build().unwrap(),
            url: collector.rest.clone(),
            token: None,
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, reqwest::Error> {
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            text: response.text().await?,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.try_send(Method::GET, path, None).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_send(Method::POST, path, Some(body)).await.unwrap()
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!(self.status.is_success(), "{self:?}");
        self.json()
    }

    /// The problem, which is of this status and reason.
    #[track_caller]
    pub(crate) fn denied(&self, status: u16, reason: &str) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        let problem = self.json();
        assert_eq!(problem["reason"], reason, "{self:?}");
        problem
    }
}
