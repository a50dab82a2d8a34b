//! FRED's part of the server: from a request to an answer, by way of limits and faults.

pub(crate) mod admin;
mod answer;
mod parameters;
pub(crate) mod rate_limit;
pub(crate) mod recorder;
mod refusal;
mod routes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Query, State as Extract};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};

use crate::fault::Fault;
use crate::stand_in::Shared;
use crate::state::{Reply, State};
use answer::Answer;
use parameters::{Format, Parameters};
use rate_limit::RefusalBody;
use refusal::Refusal;

const JSON: &str = "application/json; charset=UTF-8";
const XML: &str = "text/xml; charset=UTF-8";
const HTML: &str = "text/html; charset=UTF-8";

/// Answers every request outside `/stand-in/`.
pub(crate) async fn fred(
    Extract(shared): Extract<Arc<Shared>>,
    method: Method,
    uri: Uri,
) -> Response {
    let arrived = Instant::now();
    let parameters = Query::<BTreeMap<String, String>>::try_from_uri(&uri)
        .map(|Query(parameters)| parameters)
        .unwrap_or_default();
    let path = if method == Method::GET {
        uri.path()
    } else {
        ""
    };
    let reply = {
        let mut state = shared.state();
        let reply = reply(&mut state, arrived, path, &parameters);
        let status = reply.status.as_u16();
        state
            .recorder
            .record(arrived, uri.path(), &parameters, status);
        reply
    };
    if !reply.delay.is_zero() {
        shared.sleep_unless_stopped(reply.delay).await;
    }
    reply.into_response()
}

fn reply(
    state: &mut State,
    arrived: Instant,
    path: &str,
    parameters: &BTreeMap<String, String>,
) -> Reply {
    let format = Parameters(parameters).format();
    let key = parameters.get("api_key").map_or("", String::as_str);
    if !state.admit(key, arrived) {
        return match state.limiter.as_ref().map(|limiter| limiter.body()) {
            Some(RefusalBody::Fred) => refused(&Refusal::too_many_requests(), format),
            _ => page(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        };
    }
    let fault = state
        .faults
        .take(path, parameters.get("series_id").map(String::as_str));
    let answer = |format| match crate::server::routes::answer(state, path, &Parameters(parameters))
    {
        Ok(answer) => answered(&answer, format),
        Err(refusal) => refused(&refusal, format),
    };
    match fault {
        None => answer(format),
        Some(fault) => faulty(fault, format, answer),
    }
}

fn faulty(fault: Fault, format: Format, answer: impl Fn(Format) -> Reply) -> Reply {
    match fault {
        Fault::InternalError => refused(&Refusal::internal(), format),
        Fault::Unavailable => page(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Fault::TooManyRequests {
            retry_after_seconds,
        } => Reply {
            retry_after_seconds,
            ..page(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests")
        },
        Fault::Hang { millis } => Reply {
            delay: Duration::from_millis(millis),
            ..answer(format)
        },
        Fault::HtmlPage => page(StatusCode::OK, "Scheduled Maintenance"),
        Fault::Xml => answer(Format::Xml),
        Fault::MalformedJson => {
            let mut reply = answer(format);
            reply.body.truncate(half(&reply.body));
            reply
        }
        Fault::CutMidBody => Reply {
            cut: true,
            ..answer(format)
        },
        Fault::Answer { status, body, .. } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            written(status, JSON, Ok(body))
        }
    }
}

fn answered(answer: &Answer, format: Format) -> Reply {
    match format {
        Format::Json => written(StatusCode::OK, JSON, answer.to_json()),
        Format::Xml => written(StatusCode::OK, XML, answer.to_xml()),
    }
}

fn refused(refusal: &Refusal, format: Format) -> Reply {
    match format {
        Format::Json => written(refusal.status, JSON, refusal.to_json()),
        Format::Xml => written(refusal.status, XML, Ok(refusal.to_xml())),
    }
}

fn written(
    status: StatusCode,
    content_type: &'static str,
    body: Result<String, serde_json::Error>,
) -> Reply {
    match body {
        Ok(body) => Reply {
            status,
            content_type,
            retry_after_seconds: None,
            body,
            delay: Duration::ZERO,
            cut: false,
        },
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            page(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
    }
}

fn page(status: StatusCode, title: &str) -> Reply {
    let body = format!(
        "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    );
    written(status, HTML, Ok(body))
}

/// The middle of a text, where it may be cut.
fn half(text: &str) -> usize {
    (0..=text.len() / 2)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let length = self.body.len();
        let body = if self.cut {
            broken(self.body)
        } else {
            Body::from(self.body)
        };
        let headers = [
            (header::CONTENT_TYPE, self.content_type.to_owned()),
            (header::CONTENT_LENGTH, length.to_string()),
        ];
        let mut response = (self.status, headers, body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// A body that ends in an error after its first half, upon which the connection is closed.
fn broken(body: String) -> Body {
    let bytes = Bytes::from(body);
    let first_half = bytes.slice(..bytes.len() / 2);
    let failure = async {
        // Lets the first half go out before the connection breaks.
        tokio::task::yield_now().await;
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted))
    };
    Body::from_stream(stream::iter([Ok(first_half)]).chain(stream::once(failure)))
}
