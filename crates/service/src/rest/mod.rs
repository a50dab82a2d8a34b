//! REST around the routes of a service: what every request meets, what errors look like, health,
//! metrics and the OpenAPI document.
//!
//! Where to change what: what errors look like in `problem`, which failure is which problem in
//! `problem::failure`, the pages and the OpenAPI document in `document`, who may ask for what in
//! `guard`, how bodies are bounded in `guard::received`, what happens around every request in
//! `layers`, how connections are served in `server`, how answers are in `answers` and
//! `server::patient`, how requests are read in [`extract`].

mod answers;
mod audit;
mod document;
pub mod extract;
mod guard;
mod layers;
mod operation;
mod problem;
mod server;

use std::{future::Future, time::Duration};

use axum::{Router, extract::DefaultBodyLimit, middleware};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use answers::AnswerBytes;
pub use document::{Always, Body, One, Parameters, of as problems};
pub(crate) use guard::received::Bodies;
pub use layers::limit_time;
pub use operation::{Obstacle, Operation};
pub use problem::failure::{rfc3339, too_old};
pub(crate) use server::serve;

use crate::security::Incoming;

pub use problem::{FieldError, PROBLEM_JSON, Problem, ProblemDetails, ProblemKind};

/// The routes of a service with those that all have, their document, and everything around.
pub fn finish(routes: OpenApiRouter, operation: Operation, request_timeout: Duration) -> Router {
    let prefix = operation.metrics_prefix;
    let security = operation.security.clone();
    let watching = OpenApiRouter::default()
        .routes(routes!(operation::live))
        .routes(routes!(operation::ready))
        .routes(routes!(operation::metrics))
        .routes(routes!(audit::list))
        .layer(middleware::from_fn_with_state(request_timeout, limit_time))
        .with_state(operation);
    let (router, mut api) = routes
        .merge(watching)
        .routes(routes!(document::index))
        .routes(routes!(document::docs))
        .routes(routes!(document::openapi))
        .split_for_parts();
    let guard = guard::Guard::new(&security, &mut api, prefix);
    let router = router
        .layer(axum::Extension(document::Document::new(&api)))
        .layer(middleware::from_fn_with_state(guard, guard::guard));
    surround(router, prefix, security.rest_is_encrypted())
}

/// How long requests may take that have come while something was under way.
const LAST_ANSWERS_PATIENCE: Duration = Duration::from_secs(1);

/// Answers requests while something is under way that has to be done first.
pub async fn serve_while<T>(
    incoming: Incoming,
    router: Router,
    work: impl Future<Output = T>,
) -> T {
    let stop = CancellationToken::new();
    let mut serving = tokio::spawn(serve(incoming, router, stop.clone()));
    let stopping = stop.drop_guard();
    let done = work.await;
    drop(stopping);
    if timeout(LAST_ANSWERS_PATIENCE, &mut serving).await.is_err() {
        // Whoever was not answered asks again.
        serving.abort();
    }
    done
}

/// What holds for every request, whatever its route.
fn surround(router: Router, metrics_prefix: &str, encrypted: bool) -> Router {
    let names = layers::RequestMetrics::new(metrics_prefix);
    let headers = layers::SecurityHeaders { encrypted };
    router
        .method_not_allowed_fallback(layers::method_not_allowed)
        .fallback(layers::not_found)
        .layer(DefaultBodyLimit::max(atlas_events::MESSAGE_BYTES_MAX))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn_with_state(names, layers::around))
        .layer(middleware::map_response_with_state(
            headers,
            layers::protect,
        ))
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, to_bytes},
        http::{Request, StatusCode, header},
        routing::get,
    };
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn ask(router: Router, path: &str) -> (StatusCode, String, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
        let media_type = media_type.to_owned();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, media_type, serde_json::from_slice(&body).unwrap())
    }

    async fn panics() {
        panic!("the secret reason");
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_keeps_the_reason_to_itself() {
        let router = surround(Router::new().route("/boom", get(panics)), "test", false);
        let (status, media_type, problem) = ask(router, "/boom").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(media_type, problem::PROBLEM_JSON);
        assert_eq!(problem["type"], "urn:atlas:problem:internal");
        assert_eq!(problem["instance"], "/boom");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }

    #[tokio::test]
    async fn a_handler_that_takes_too_long_is_a_problem() {
        let never = Router::new().route("/never", get(std::future::pending::<()>));
        let limit = Duration::from_millis(1);
        let limited = middleware::from_fn_with_state(limit, limit_time);
        let (status, _, problem) =
            ask(surround(never.layer(limited), "test", false), "/never").await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(problem["type"], "urn:atlas:problem:timed-out");
    }
}
