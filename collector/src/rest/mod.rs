//! REST, health and metrics: what people and scripts use, described at `/openapi.json`.
//!
//! Where to change what: a route in the file of its subject, what errors look like in `problem`,
//! which failure is which problem in `failure`, what happens around every request in `layers`.

mod document;
mod event_page;
mod events;
mod extract;
mod failure;
mod health;
mod layers;
mod log;
mod observations;
mod problem;
mod publish;
mod series;
mod series_view;
mod source_failure;

use std::time::Duration;

use axum::{Router, extract::DefaultBodyLimit, middleware};
use event_log::EventLog;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{observations::Observations, series::SeriesRegistry};

/// What the handlers work on.
#[derive(Clone)]
pub struct App {
    /// The log.
    pub log: EventLog,
    /// The series that are collected.
    pub registry: SeriesRegistry,
    /// Their values.
    pub observations: Observations,
    /// Renders the metrics of the process.
    pub metrics: PrometheusHandle,
    /// Whether this collector asks the source; without a key it does not.
    pub collects: bool,
    /// Cancelled once the service is to end, which is when it stops to be ready.
    pub stopping: CancellationToken,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// All routes. A request that takes longer than `request_timeout` is answered 504, unless it is one
/// to collect, which takes as long as the source.
pub fn router(app: App, request_timeout: Duration) -> Router {
    let prompt = OpenApiRouter::default()
        .routes(routes!(series::list, series::add))
        .routes(routes!(series::get, series::change, series::delete))
        .routes(routes!(series::pause))
        .routes(routes!(series::resume))
        .routes(routes!(observations::list))
        .routes(routes!(observations::latest))
        .routes(routes!(events::list, publish::publish))
        .routes(routes!(events::find))
        .routes(routes!(log::info))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .layer(middleware::from_fn_with_state(
            request_timeout,
            layers::limit_time,
        ));
    let (router, api) = OpenApiRouter::with_openapi(document::base())
        .merge(prompt)
        .routes(routes!(series::collect))
        .routes(routes!(series::backfill))
        .routes(routes!(document::openapi))
        .split_for_parts();
    let router = router
        .with_state(app)
        .layer(axum::Extension(document::Document::new(api)));
    surround(router)
}

/// What holds for every request, whatever its route.
fn surround(router: Router) -> Router {
    router
        .method_not_allowed_fallback(layers::method_not_allowed)
        .fallback(layers::not_found)
        .layer(DefaultBodyLimit::max(atlas_events::MESSAGE_BYTES_MAX))
        .layer(CatchPanicLayer::custom(layers::panicked))
        .layer(middleware::from_fn(layers::around))
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
        let router = surround(Router::new().route("/boom", get(panics)));
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
        let limited = middleware::from_fn_with_state(limit, layers::limit_time);
        let (status, _, problem) = ask(surround(never.layer(limited)), "/never").await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(problem["type"], "urn:atlas:problem:timed-out");
    }
}
