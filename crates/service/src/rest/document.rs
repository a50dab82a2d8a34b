//! The OpenAPI document: the problems that routes have in common, and serving it.

use std::collections::BTreeMap;

use axum::{Extension, body::Bytes, http::header, response::IntoResponse};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{self, Content, RefOr, Response, ResponseBuilder},
};

use super::problem::{PROBLEM_JSON, ProblemDetails, ProblemKind};

/// The finished document, as it is served.
#[derive(Clone)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(api: openapi::OpenApi) -> Self {
        let json = api.to_pretty_json();
        // It consists of maps with text keys, which JSON can always express.
        Self(json.unwrap_or_default().into())
    }
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "getOpenApi", tag = "operation",
    security(("token" = ["read"])),
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json"))
)]
pub(super) async fn openapi(Extension(document): Extension<Document>) -> impl IntoResponse {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, document.0)
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
