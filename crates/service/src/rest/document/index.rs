//! `GET /`: what the service offers, for programs and for browsers.

use axum::http::{HeaderMap, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Operation, html,
    html::{escaped, paragraphs, table},
};

/// What the service offers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Index {
    /// Name of the service.
    title: String,
    /// Its version.
    version: String,
    /// Path of the documentation for people.
    documentation: &'static str,
    /// Path of the OpenAPI document.
    openapi: &'static str,
    /// All requests that it answers, in the order of their paths.
    requests: Vec<Request>,
}

/// A request that the service answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Request {
    /// HTTP method, such as `GET`.
    method: String,
    /// Path; `{…}` stands for a value.
    path: String,
    /// What it does.
    summary: String,
}

impl Index {
    pub(super) fn new(document: &Value, operations: &[Operation<'_>]) -> Self {
        let info = |key: &str| {
            document["info"][key]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let requests = operations.iter().map(|operation| Request {
            method: operation.shown_method(),
            path: operation.path.to_owned(),
            summary: operation.summary().to_owned(),
        });
        Self {
            title: info("title"),
            version: info("version"),
            documentation: "/docs",
            openapi: "/openapi.json",
            requests: requests.collect(),
        }
    }
}

/// The same for browsers.
pub(super) fn page(document: &Value, operations: &[Operation<'_>]) -> String {
    let title = escaped(document["info"]["title"].as_str().unwrap_or_default());
    let version = escaped(document["info"]["version"].as_str().unwrap_or_default());
    let about = paragraphs(document["info"]["description"].as_str().unwrap_or_default());
    let rows: Vec<_> = operations.iter().map(Operation::row).collect();
    let requests = table(["request", "what it does"], &rows);
    let body = format!(
        "<h1>{title} {version}</h1>\n{about}<p><a href=\"/docs\">Documentation</a> · \
         <a href=\"/openapi.json\">OpenAPI document</a></p>\n{requests}"
    );
    html::page(&title, &body)
}

/// Whether a client asks for HTML by name, as browsers do. `*/*` is not a request for HTML.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_html_and_programs_json() {
        for (accept, expected) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("Text/HTML", true),
            ("application/json, text/html;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
            ("text/html;q=0, application/json", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(wants_html(&headers), expected, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
