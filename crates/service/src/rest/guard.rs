//! Who may make which request: decided once for each, by what the OpenAPI document says of its
//! operation. What the document does not say is let to nobody.

use std::{collections::HashMap, sync::Arc};

use access::{Access, AuditLog, Caller, Denied, Gate, Peer, Scope};
use axum::{
    body::{Body, to_bytes},
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use chrono::Utc;
use metrics::counter;
use serde_json::Value;
use tracing::Instrument;
use utoipa::openapi::{
    OpenApi,
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::problem::{Problem, ProblemKind};
use crate::security::{Audit, RestPeer, Security};

/// Name of the scheme in the document.
const SCHEME: &str = "token";
/// What the document says beside the scope of operations for those who are limited to nothing.
const UNLIMITED: &str = "unlimited";
/// The route whose openness is configured.
const METRICS: &str = "/metrics";
/// Administrative requests are small; their bodies are recorded.
const AUDITED_BYTES_MAX: usize = 64 * 1024;

/// Who may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Anybody.
    Open,
    /// Whoever has the scope, of those who are limited to nothing if so said.
    Needs(Scope, Reach),
    /// The document does not say.
    Nobody,
}

/// Whether limits of the caller matter to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It keeps them itself.
    Limited,
    /// It tells of what is anybody's, or changes it.
    Unlimited,
}

/// What the guard works with.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    gate: Gate,
    audit: Audit,
    /// By route and method.
    rules: Arc<HashMap<String, HashMap<Method, Rule>>>,
    metrics_open: bool,
    denied_total: Arc<str>,
}

impl Guard {
    pub(super) fn new(security: &Security, api: &mut OpenApi, metrics_prefix: &str) -> Self {
        let components = api.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
        Self {
            gate: security.gate.clone(),
            audit: security.audit.clone(),
            rules: Arc::new(rules(api)),
            metrics_open: security.metrics_open,
            denied_total: format!("{metrics_prefix}_calls_denied_total").into(),
        }
    }

    /// The rule of a request; `None` if there is nothing to guard: no route, or no such method.
    fn rule(&self, route: &str, method: &Method) -> Option<Rule> {
        let Some(methods) = self.rules.get(route) else {
            return (!route.is_empty()).then_some(Rule::Nobody);
        };
        // A route that answers GET answers HEAD alike.
        let method = if *method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        methods.get(method).copied()
    }

    fn admit(&self, request: &Request, rule: Rule, route: &str) -> Result<Caller, Denied> {
        let peer = peer(request);
        let is_open = rule == Rule::Open || (route == METRICS && self.metrics_open);
        // Whoever is not asked who they are may do what needs no access, and nothing else.
        if is_open && !self.gate.is_open() {
            return Ok(Caller::new(Access::nothing(), peer));
        }
        let authorization = request.headers().get(header::AUTHORIZATION);
        let access = self
            .gate
            .admit(authorization.map(|value| value.as_bytes()), &peer)?;
        Ok(Caller::new(access, peer))
    }

    fn allow(&self, caller: &Caller, rule: Rule, route: &str) -> Result<(), Denied> {
        if self.gate.is_open() {
            return Ok(());
        }
        match rule {
            Rule::Open => Ok(()),
            Rule::Nobody => Err(Denied::NoRule),
            Rule::Needs(_, _) if route == METRICS && self.metrics_open => Ok(()),
            Rule::Needs(scope, Reach::Limited) => caller.access.require(scope),
            Rule::Needs(scope, Reach::Unlimited) => {
                caller.access.require(scope)?;
                caller.access.require_unlimited()
            }
        }
    }

    /// Carries an administrative request out, or refuses it, and records that.
    async fn act(
        self,
        caller: Caller,
        allowed: Result<(), Denied>,
        request: Request,
        next: Next,
    ) -> Response {
        let action = format!("{} {}", request.method(), request.uri().path());
        let response = match allowed {
            Err(denied) => self.refuse(denied),
            Ok(()) => match note_body(request, &caller).await {
                Ok(request) => next.run(request).await,
                Err(problem) => problem.into_response(),
            },
        };
        let outcome = match response.status() {
            status if status.is_success() => "ok".to_owned(),
            status => status.as_u16().to_string(),
        };
        let record = caller.record(Utc::now(), action, outcome);
        self.audit.record(record).await;
        response
    }

    fn refuse(&self, denied: Denied) -> Response {
        counter!(self.denied_total.to_string(), "reason" => denied.reason()).increment(1);
        Problem::from(denied).into_response()
    }
}

fn peer(request: &Request) -> Peer {
    let peer = request.extensions().get::<ConnectInfo<RestPeer>>();
    peer.map_or_else(Peer::default, |ConnectInfo(RestPeer(peer))| peer.clone())
}

/// What the document says of its operations.
fn rules(api: &OpenApi) -> HashMap<String, HashMap<Method, Rule>> {
    // The library's own types do not tell what they hold.
    let document = serde_json::to_value(api).unwrap_or_default();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let of_path = |operations: &Value| {
        let operations = operations.as_object().cloned().unwrap_or_default();
        let ruled = operations.into_iter().filter_map(|(method, operation)| {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
            Some((method, rule(&operation["security"])))
        });
        ruled.collect()
    };
    let ruled = paths
        .iter()
        .map(|(path, operations)| (path.clone(), of_path(operations)));
    ruled.collect()
}

fn rule(security: &Value) -> Rule {
    let [required] = security.as_array().map(Vec::as_slice).unwrap_or_default() else {
        return Rule::Nobody;
    };
    if required.as_object().is_some_and(serde_json::Map::is_empty) {
        return Rule::Open;
    }
    let said: Option<Vec<&str>> = required[SCHEME]
        .as_array()
        .and_then(|said| said.iter().map(Value::as_str).collect());
    let (scope, reach) = match said.as_deref() {
        Some([scope]) => (scope.parse(), Reach::Limited),
        Some([scope, UNLIMITED]) => (scope.parse(), Reach::Unlimited),
        _ => return Rule::Nobody,
    };
    scope.map_or(Rule::Nobody, |scope| Rule::Needs(scope, reach))
}

/// The layer: lets requests through whose caller may make them, and records administrative ones.
pub(super) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route
        .map(|route| route.as_str().to_owned())
        .unwrap_or_default();
    let method = request.method().clone();
    let Some(rule) = guard.rule(&route, &method) else {
        // Nothing is there, or nothing of this method; `not_found` or the like answers.
        return next.run(request).await;
    };
    let audited = matches!(rule, Rule::Needs(Scope::Admin, _))
        && method != Method::GET
        && method != Method::HEAD;
    let caller = match guard.admit(&request, rule, &route) {
        Ok(caller) => caller,
        Err(denied) => return guard.refuse(denied),
    };
    let allowed = guard.allow(&caller, rule, &route);
    request.extensions_mut().insert(caller.clone());
    if !audited {
        return match allowed {
            Ok(()) => next.run(request).await,
            Err(denied) => guard.refuse(denied),
        };
    }
    // A client that goes away ends neither the action nor its record.
    let acting = tokio::spawn(guard.act(caller, allowed, request, next).in_current_span());
    match acting.await {
        Ok(response) => response,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Notes what is asked for, as it was sent.
async fn note_body(request: Request, caller: &Caller) -> Result<Request, Problem> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, AUDITED_BYTES_MAX).await.map_err(|_| {
        let most = AUDITED_BYTES_MAX / 1024;
        Problem::new(
            ProblemKind::TooLarge,
            format!("the body is incomplete or has more than {most} KiB"),
        )
    })?;
    caller.note(String::from_utf8_lossy(&body));
    Ok(Request::from_parts(parts, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_document_does_not_say_is_let_to_nobody() {
        assert_eq!(rule(&json!([{}])), Rule::Open);
        let needs = rule(&json!([{"token": ["admin"]}]));
        assert_eq!(needs, Rule::Needs(Scope::Admin, Reach::Limited));
        let needs = rule(&json!([{"token": ["read", "unlimited"]}]));
        assert_eq!(needs, Rule::Needs(Scope::Read, Reach::Unlimited));
        for said in [
            json!(null),
            json!([]),
            json!([{"token": []}]),
            json!([{"token": ["root"]}]),
            json!([{"token": ["read", "admin"]}]),
            json!([{"other": ["read"]}]),
            json!([{}, {"token": ["read"]}]),
        ] {
            assert_eq!(rule(&said), Rule::Nobody, "{said}");
        }
    }
}
