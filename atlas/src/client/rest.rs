//! How the command line asks REST, for what gRPC does not offer.

use std::{error::Error, time::Duration};

use access::Credentials;
use reqwest::{Certificate, Client, ClientBuilder, Identity, Method, Response, StatusCode, Url};
use serde_json::Value;

use crate::client::{connection::Server, failure::Failure};

/// A server that takes longer to accept a connection is away. Answers take as long as the work that
/// they report.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The REST of a server.
#[derive(Debug)]
pub(crate) struct Rest {
    client: Client,
    base: Url,
    token: Option<String>,
}

impl Rest {
    /// The REST at an address such as `http://127.0.0.1:5000`, with the credentials of `server`.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address or files that cannot be used.
    pub(crate) fn new(address: &str, server: &Server) -> Result<Self, Failure> {
        let no_address = |reason: &dyn std::fmt::Display| {
            Failure::Usage(format!(
                "\"{address}\" is not the address of REST: {reason}"
            ))
        };
        let base = Url::parse(address).map_err(|error| no_address(&error))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(no_address(&"it does not begin with http:// or https://"));
        }
        let credentials = server.credentials()?;
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = trusting(Client::builder(), &credentials)
            .and_then(|builder| builder.connect_timeout(CONNECT_TIMEOUT).build())
            .map_err(|error| Failure::Usage(format!("TLS cannot be used: {}", cause(&error))))?;
        let token = credentials.token;
        Ok(Self {
            client,
            base,
            token: token.map(|token| token.expose().to_owned()),
        })
    }

    /// The body of a successful answer; null if it has none. `path` are the segments of the path.
    ///
    /// # Errors
    /// [`Failure::Unreachable`], or [`Failure::Rest`] with what the server said.
    pub(crate) async fn send(&self, method: Method, path: &[&str]) -> Result<Value, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let unreachable = |error| Failure::unreachable(self.base.as_str(), &error);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(status, answer).await);
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body = answer.bytes().await.map_err(unreachable)?;
        serde_json::from_slice(&body).map_err(|_| not_ours(status))
    }
}

fn trusting(
    builder: ClientBuilder,
    credentials: &Credentials,
) -> Result<ClientBuilder, reqwest::Error> {
    let mut builder = builder;
    if let Some(ca) = &credentials.ca {
        builder = builder.tls_certs_only(Certificate::from_pem_bundle(ca)?);
    }
    if let Some((certificate, key)) = &credentials.identity {
        let pem = [certificate.as_slice(), b"\n", key.expose().as_bytes()].concat();
        builder = builder.identity(Identity::from_pem(&pem)?);
    }
    Ok(builder)
}

/// What a server says of a request that it refuses (RFC 9457).
async fn refused(status: StatusCode, answer: Response) -> Failure {
    let problem: Option<Value> = answer.json().await.ok();
    let text = |member: &str| {
        let text = problem.as_ref()?.get(member)?.as_str()?;
        Some(text.to_owned())
    };
    match (text("title"), text("detail")) {
        (Some(title), Some(detail)) => Failure::Rest {
            status: status.as_u16(),
            problem: format!("{title}: {detail}"),
        },
        _ => not_ours(status),
    }
}

fn not_ours(status: StatusCode) -> Failure {
    Failure::Rest {
        status: status.as_u16(),
        problem: format!(
            "the answer ({status}) is not that of a collector; give the address of its REST, such as \
             --rest http://127.0.0.1:5000"
        ),
    }
}

fn cause(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
