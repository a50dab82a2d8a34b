//! HTTP to others: where it may lead, how long it may take, and how much of an answer is read.

mod address;
mod answer;
mod resolver;

use std::{error::Error, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use reqwest::{Client, ClientBuilder, redirect};
use tokio::time::Instant;
use url::Url;

use super::{
    Outcome,
    outcome::{failed, refused},
    render::clean,
    sender::{SenderConfig, SenderError},
};
use resolver::{Denied, FilteringResolver, SystemResolver};

pub use address::AddressRules;
pub(super) use answer::{Answer, pause};

/// The longest reason, receipt or answer that is kept, in bytes.
pub(super) const KEPT_BYTES_MAX: usize = 1024;

/// Who chose the address of a request.
pub(super) enum Target<'a> {
    /// A user: it must lead to a public address.
    User(&'a Url),
    /// The operator, who may choose any.
    Operator(&'a Url),
}

/// Why there is no answer.
pub(super) enum Failure {
    /// The address is not allowed.
    Denied(String),
    /// It was not sent.
    NotSent(String),
    /// It may have been received, or not.
    Lost(String),
}

impl Failure {
    /// For receivers that drop what comes twice, by its id: sending again costs nothing.
    pub(super) fn repeatable(self) -> Outcome {
        match self {
            Self::Denied(reason) => refused(reason),
            Self::NotSent(reason) | Self::Lost(reason) => failed(reason),
        }
    }

    /// For receivers that show what comes twice.
    pub(super) fn unrepeatable(self) -> Outcome {
        match self {
            Self::Lost(reason) => Outcome::Unknown { reason },
            other => other.repeatable(),
        }
    }
}

/// The clients.
pub(super) struct Web {
    for_users: Client,
    for_operator: Client,
    rules: Arc<AddressRules>,
    answer_timeout: Duration,
}

/// The clients for one attempt, which ends at a time.
pub(super) struct WebAttempt<'a> {
    web: &'a Web,
    deadline: Instant,
}

impl Web {
    pub(super) fn new(config: &SenderConfig) -> Result<Self, SenderError> {
        let rules = Arc::new(config.addresses.clone());
        let system = || Arc::new(SystemResolver) as Arc<_>;
        let resolver = FilteringResolver {
            rules: rules.clone(),
            inner: config.resolver.clone().unwrap_or_else(system),
        };
        let build = |builder: ClientBuilder| {
            let client = builder.build();
            client.map_err(|error| SenderError::Http(describe(&error.without_url())))
        };
        Ok(Self {
            for_users: build(builder(config).dns_resolver(Arc::new(resolver)))?,
            for_operator: build(builder(config))?,
            rules,
            answer_timeout: config.answer_timeout,
        })
    }

    pub(super) fn rules(&self) -> &AddressRules {
        &self.rules
    }

    /// For an attempt that ends at `deadline`.
    pub(super) fn attempt(&self, deadline: Instant) -> WebAttempt<'_> {
        WebAttempt {
            web: self,
            deadline,
        }
    }
}

impl WebAttempt<'_> {
    /// Posts JSON. An answer is one of any status.
    pub(super) async fn post(
        &self,
        target: Target<'_>,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, Failure> {
        let (client, url) = match target {
            Target::Operator(url) => (&self.web.for_operator, url),
            Target::User(url) => {
                // A literal address never reaches the resolver.
                self.web.rules.check(url).map_err(Failure::Denied)?;
                (&self.web.for_users, url)
            }
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = client.post(url.clone()).headers(headers).body(body);
        match tokio::time::timeout_at(self.part_deadline(), request.send()).await {
            // The status is known now, and counts, even if the time is over before the body.
            Ok(Ok(response)) => Ok(Answer::read(response, self.part_deadline()).await),
            Ok(Err(error)) => Err(failure(error)),
            Err(_) => Err(Failure::Lost("no answer in time".to_owned())),
        }
    }

    /// When the next part, the head or the body, must have come.
    fn part_deadline(&self) -> Instant {
        self.deadline.min(Instant::now() + self.web.answer_timeout)
    }
}

fn builder(config: &SenderConfig) -> ClientBuilder {
    Client::builder()
        .connect_timeout(config.connect_timeout)
        // A redirect leads where nothing was checked.
        .redirect(redirect::Policy::none())
        // A proxy would resolve the name itself.
        .no_proxy()
        .no_gzip()
        .user_agent(concat!("atlas-alert-service/", env!("CARGO_PKG_VERSION")))
}

fn failure(error: reqwest::Error) -> Failure {
    // The URL may hold a secret.
    let error = error.without_url();
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(at) = cause {
        if let Some(denied) = at.downcast_ref::<Denied>() {
            return Failure::Denied(denied.to_string());
        }
        cause = at.source();
    }
    let reason = describe(&error);
    if error.is_connect() || error.is_builder() {
        Failure::NotSent(reason)
    } else {
        Failure::Lost(reason)
    }
}

/// An error with its causes.
fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(at) = cause {
        text.push_str(": ");
        text.push_str(&at.to_string());
        cause = at.source();
    }
    clean(&text, KEPT_BYTES_MAX)
}
