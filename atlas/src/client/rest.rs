//! Requests over REST, with the same credentials as over gRPC.

use std::time::Duration;

pub(crate) use reqwest::Method;
use reqwest::{Certificate, Client, Identity, StatusCode, Url};
use serde_json::Value;

use super::{connection::Server, failure::Failure};

/// Longer than a service takes to answer 504.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The REST of a service.
#[derive(Debug)]
pub(crate) struct Rest {
    client: Client,
    base: Url,
    /// As it was given, for people.
    address: String,
    token: Option<access::Secret>,
}

impl Rest {
    /// The service at an address; without a scheme it is `http://`.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an address or files that cannot be used.
    pub(crate) fn new(address: &str, server: &Server) -> Result<Self, Failure> {
        let unusable = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
        let url = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let base = Url::parse(&url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let base = base.ok_or_else(|| {
            Failure::Usage(format!("\"{address}\" is not the address of a server"))
        })?;
        // With one installed already there is nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = server.credentials()?;
        let mut builder = Client::builder().timeout(TIMEOUT);
        if let Some(ca) = &credentials.ca {
            let authorities = Certificate::from_pem_bundle(ca).map_err(|error| unusable(&error))?;
            builder = builder.tls_certs_only(authorities);
        }
        if let Some((certificate, key)) = &credentials.identity {
            let pem = [certificate.as_slice(), b"\n", key.expose().as_bytes()].concat();
            builder = builder.identity(Identity::from_pem(&pem).map_err(|error| unusable(&error))?);
        }
        Ok(Self {
            client: builder.build().map_err(|error| unusable(&error))?,
            base,
            address: address.to_owned(),
            token: credentials.token,
        })
    }

    /// The answer to a request, in JSON; null if it has no body. `path` are the segments of the path.
    ///
    /// # Errors
    /// [`Failure::Rest`], with what the service says.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.client.request(method, url).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let away = |error: reqwest::Error| {
            let mut reason: &dyn std::error::Error = &error;
            while let Some(source) = reason.source() {
                reason = source;
            }
            let detail = format!("cannot reach {}: {reason}", self.address);
            Failure::Rest {
                status: None,
                detail,
            }
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let text = response.text().await.map_err(away)?;
        let answer: Option<Value> = serde_json::from_str(&text).ok();
        match (status.is_success(), answer) {
            (true, Some(answer)) => Ok(answer),
            (true, None) => Err(Failure::Rest {
                status: Some(status.as_u16()),
                detail: format!(
                    "{} does not answer as an ATLAS service does; give the address of its REST",
                    self.address
                ),
            }),
            (false, problem) => Err(Failure::Rest {
                status: Some(status.as_u16()),
                detail: described(status.as_u16(), &problem.unwrap_or_default()),
            }),
        }
    }
}

/// A problem (RFC 9457) in words.
fn described(status: u16, problem: &Value) -> String {
    let clean = |value: &Value| service::visible(value.as_str().unwrap_or_default()).into_owned();
    let said = match clean(&problem["detail"]) {
        empty if empty.is_empty() => clean(&problem["title"]),
        detail => detail,
    };
    let mut text = format!("{status}: {said}");
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (field, problem) = (clean(&error["field"]), clean(&error["problem"]));
        text.push_str(&format!("\n  field {field}: {problem}"));
    }
    text
}
