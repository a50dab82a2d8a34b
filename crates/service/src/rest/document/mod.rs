//! The OpenAPI document: the problems that routes have in common, and serving it, as JSON and as pages.

mod html;
mod index;
mod reference;
mod schema;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    body::Bytes,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response as Answer},
};
use serde_json::Value;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{self, Content, RefOr, Response, ResponseBuilder},
};

use super::problem::{PROBLEM_JSON, ProblemDetails, ProblemKind};

/// The finished document in each of its forms, rendered once.
#[derive(Clone)]
pub(super) struct Document(Arc<Rendered>);

struct Rendered {
    openapi: Bytes,
    index: Bytes,
    index_page: Bytes,
    reference_page: Bytes,
    page_policy: Option<HeaderValue>,
}

impl Document {
    pub(super) fn new(api: &openapi::OpenApi) -> Self {
        // They consist of maps with text keys, which JSON can always express.
        let document = serde_json::to_value(api).unwrap_or_default();
        let operations = Operation::all(&document);
        let index = index::Index::new(&document, &operations);
        Self(Arc::new(Rendered {
            openapi: api.to_pretty_json().unwrap_or_default().into(),
            index: serde_json::to_vec_pretty(&index).unwrap_or_default().into(),
            index_page: index::page(&document, &operations).into(),
            reference_page: reference::page(&document, &operations).into(),
            page_policy: HeaderValue::try_from(html::policy()).ok(),
        }))
    }

    fn page(&self, page: &Bytes) -> Answer {
        let mut answer = page.clone().into_response();
        let headers = answer.headers_mut();
        let media_type = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, media_type);
        // Without it the stricter policy of all answers holds, and the page has no style.
        if let Some(policy) = &self.0.page_policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        answer
    }
}

/// An operation of the document.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    /// What the document says about it.
    about: &'a Value,
}

impl<'a> Operation<'a> {
    /// All, in the order of their paths.
    fn all(document: &'a Value) -> Vec<Self> {
        let paths = document["paths"].as_object().into_iter().flatten();
        let operations = paths.flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, about)| Self {
                path,
                method,
                about,
            })
        });
        operations.collect()
    }

    fn summary(&self) -> &'a str {
        self.about["summary"].as_str().unwrap_or_default()
    }

    fn tag(&self) -> &'a str {
        self.about["tags"][0].as_str().unwrap_or_default()
    }

    fn shown_method(&self) -> String {
        self.method.to_ascii_uppercase()
    }

    /// Where the page of the document describes it.
    fn anchor(&self) -> String {
        html::escaped(self.about["operationId"].as_str().unwrap_or_default())
    }

    /// Its row of an overview, in HTML.
    fn row(&self) -> [String; 2] {
        let (method, path) = (self.shown_method(), html::escaped(self.path));
        let anchor = self.anchor();
        let request = format!("<a href=\"/docs#{anchor}\"><code>{method} {path}</code></a>");
        [request, html::prose(self.summary())]
    }
}

const JSON: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/json")];

/// What this service offers
///
/// For clients that accept `text/html`, as browsers do, a page.
#[utoipa::path(
    get, path = "/", operation_id = "getIndex", tag = "operation",
    security(("token" = ["read"])),
    responses((status = 200, description = "What the service offers", body = index::Index), Always)
)]
pub(super) async fn index(
    headers: HeaderMap,
    Extension(document): Extension<Document>,
) -> impl IntoResponse {
    let answer = if index::wants_html(&headers) {
        document.page(&document.0.index_page)
    } else {
        (JSON, document.0.index.clone()).into_response()
    };
    ([(header::VARY, "accept")], answer)
}

/// This document as a page
#[utoipa::path(
    get, path = "/docs", operation_id = "getDocumentation", tag = "operation",
    security(("token" = ["read"])),
    responses((status = 200, description = "HTML", content_type = "text/html"), Always)
)]
pub(super) async fn docs(Extension(document): Extension<Document>) -> impl IntoResponse {
    document.page(&document.0.reference_page)
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operation",
    security(("token" = ["read"])),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> impl IntoResponse {
    (JSON, document.0.openapi.clone())
}

/// Problems of every route.
#[derive(Debug)]
pub enum Always {}
/// Problems of routes that have parameters.
#[derive(Debug)]
pub enum Parameters {}
/// Problems of routes that take a body.
#[derive(Debug)]
pub enum Body {}
/// Problems of routes about one thing, which may not be there.
#[derive(Debug)]
pub enum One {}
impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[
            ProblemKind::Unauthenticated,
            ProblemKind::Forbidden,
            ProblemKind::Internal,
            ProblemKind::DatabaseUnavailable,
            ProblemKind::Overloaded,
            ProblemKind::ShuttingDown,
            ProblemKind::TimedOut,
        ])
    }
}

impl IntoResponses for Parameters {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[ProblemKind::InvalidRequest])
    }
}

impl IntoResponses for Body {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[
            ProblemKind::InvalidRequest,
            ProblemKind::TooLarge,
            ProblemKind::BodyTimedOut,
            ProblemKind::UnsupportedMediaType,
        ])
    }
}

impl IntoResponses for One {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        of(&[ProblemKind::NotFound])
    }
}

/// The responses for these kinds of problems, by status.
pub fn of(kinds: &[ProblemKind]) -> BTreeMap<String, RefOr<Response>> {
    let mut names: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for kind in kinds {
        names
            .entry(kind.status().as_u16())
            .or_default()
            .push(kind.name());
    }
    names
        .into_iter()
        .map(|(status, names)| {
            let response = ResponseBuilder::new()
                .description(format!("Problem of type `{}`", names.join("`, `")))
                .content(PROBLEM_JSON, Content::new(Some(problem_reference())))
                .build();
            (status.to_string(), response.into())
        })
        .collect()
}

fn problem_reference() -> RefOr<openapi::Schema> {
    openapi::Ref::from_schema_name(ProblemDetails::name()).into()
}
