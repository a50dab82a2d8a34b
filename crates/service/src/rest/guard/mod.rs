//! Who may make which request: decided once for each, by what the OpenAPI document says of its
//! operation. What the document does not say is let to nobody.

pub(crate) mod received;

use std::{collections::HashMap, sync::Arc};

use access::{Access, AuditLog, Caller, Denied, Gate, Peer, Scope, Shares};
use atlas_events::KNOWN_EVENT_TYPES;
use axum::{
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

use crate::rest::{answers::AnswerBytes, problem::Problem};
use crate::security::{Audit, RestPeer, Security};
use received::Bodies;

/// Name of the scheme in the document.
const SCHEME: &str = "token";
/// What the document says beside the scope of operations for those who are limited to nothing.
const UNLIMITED: &str = "unlimited";
/// What it says of operations for those who may know what is derived, of events of this type.
const DERIVED: &str = "derived:";
/// The route whose openness is configured.
const METRICS: &str = "/metrics";
/// Where the document says how large the body of an operation may be.
const BODY_BYTES_MAX: &str = "x-body-bytes-max";
/// How large it may be where the document says nothing. Those that are recorded never say more.
const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;

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
    /// It reads what belongs to any tenant, or changes it.
    Unlimited,
    /// It reads what is derived from events, of this type.
    Derived(&'static str),
}

/// What holds for an operation.
#[derive(Debug, Clone, Copy)]
struct Operation {
    rule: Rule,
    body_bytes_max: usize,
}

/// What the guard works with.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    gate: Gate,
    audit: Audit,
    /// By route and method.
    operations: Arc<HashMap<String, HashMap<Method, Operation>>>,
    bodies: Bodies,
    answers: Shares,
    metrics_open: bool,
    denied_total: Arc<str>,
}

impl Guard {
    pub(crate) fn new(security: &Security, api: &mut OpenApi, metrics_prefix: &str) -> Self {
        let components = api.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
        Self {
            gate: security.gate.clone(),
            audit: security.audit.clone(),
            operations: Arc::new(operations(api)),
            bodies: security.bodies.clone(),
            answers: security.answers.clone(),
            metrics_open: security.metrics_open,
            denied_total: format!("{metrics_prefix}_calls_denied_total").into(),
        }
    }

    /// What holds for a request; `None` if there is nothing to guard: no route, or no such method.
    fn operation(&self, route: &str, method: &Method) -> Option<Operation> {
        let Some(methods) = self.operations.get(route) else {
            return (!route.is_empty()).then_some(Operation {
                rule: Rule::Nobody,
                body_bytes_max: 0,
            });
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
            Rule::Needs(scope, Reach::Derived(event_type)) => {
                caller.access.require(scope)?;
                caller.access.require_derived(event_type)
            }
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
            Ok(()) => match self
                .bodies
                .take_in(&caller, request, SMALL_BODY_BYTES_MAX)
                .await
            {
                Ok((request, taken)) => {
                    caller.note(String::from_utf8_lossy(&taken.bytes));
                    next.run(request).await
                }
                Err(problem) => problem.into_response(),
            },
        };
        let outcome = match response.status() {
            status if status.is_success() => "ok".to_owned(),
            status => status.as_u16().to_string(),
        };
        let is_refused = response.status().is_client_error();
        let record = caller.record(Utc::now(), action, outcome, is_refused);
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
fn operations(api: &OpenApi) -> HashMap<String, HashMap<Method, Operation>> {
    // The library's own types do not expose their fields.
    let document = serde_json::to_value(api).unwrap_or_default();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    let of_path = |operations: &Value| {
        let operations = operations.as_object().cloned().unwrap_or_default();
        let ruled = operations.into_iter().filter_map(|(method, operation)| {
            let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).ok()?;
            let declared = operation[BODY_BYTES_MAX].as_u64();
            let declared = declared.and_then(|declared| usize::try_from(declared).ok());
            let holds = Operation {
                rule: rule(&operation["security"]),
                body_bytes_max: declared.unwrap_or(SMALL_BODY_BYTES_MAX),
            };
            Some((method, holds))
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
        Some([scope, derived]) => {
            let named = derived.strip_prefix(DERIVED);
            let Some(event_type) = KNOWN_EVENT_TYPES
                .iter()
                .find(|known| Some(**known) == named)
            else {
                return Rule::Nobody;
            };
            (scope.parse(), Reach::Derived(event_type))
        }
        _ => return Rule::Nobody,
    };
    scope.map_or(Rule::Nobody, |scope| Rule::Needs(scope, reach))
}

/// The layer: lets requests through whose caller may make them, and records administrative ones.
pub(crate) async fn guard(
    State(guard): State<Guard>,
    mut request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route
        .map(|route| route.as_str().to_owned())
        .unwrap_or_default();
    let method = request.method().clone();
    let Some(operation) = guard.operation(&route, &method) else {
        // Nothing is there, or nothing of this method; `not_found` or the like answers.
        return next.run(request).await;
    };
    let rule = operation.rule;
    let only_reads = method == Method::GET || method == Method::HEAD;
    let audited = matches!(rule, Rule::Needs(Scope::Admin, _)) && !only_reads;
    let caller = match guard.admit(&request, rule, &route) {
        Ok(caller) => caller,
        Err(denied) => return guard.refuse(denied),
    };
    let allowed = guard.allow(&caller, rule, &route);
    let answers = AnswerBytes::of(&guard.answers, &caller);
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(answers.clone());
    if !audited {
        let answer = match allowed {
            // Nothing reads the body of such a request.
            Ok(()) if only_reads => next.run(request).await,
            Ok(()) => match guard
                .bodies
                .take_in(&caller, request, operation.body_bytes_max)
                .await
            {
                Ok((request, _taken)) => next.run(request).await,
                Err(problem) => problem.into_response(),
            },
            Err(denied) => guard.refuse(denied),
        };
        return answers.count(answer).await;
    }
    // A client that goes away ends neither the action nor its record.
    let acting = tokio::spawn(guard.act(caller, allowed, request, next).in_current_span());
    match acting.await {
        Ok(response) => answers.count(response).await,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
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
        let needs = rule(&json!([{"token": ["read", "derived:ThresholdCrossedEvent"]}]));
        let derived = Reach::Derived("ThresholdCrossedEvent");
        assert_eq!(needs, Rule::Needs(Scope::Read, derived));
        let needs = rule(&json!([{"token": ["read", "unlimited"]}]));
        assert_eq!(needs, Rule::Needs(Scope::Read, Reach::Unlimited));
        for said in [
            json!(null),
            json!([]),
            json!([{"token": []}]),
            json!([{"token": ["root"]}]),
            json!([{"token": ["read", "admin"]}]),
            json!([{"token": ["read", "derived:SomethingElse"]}]),
            json!([{"other": ["read"]}]),
            json!([{}, {"token": ["read"]}]),
        ] {
            assert_eq!(rule(&said), Rule::Nobody, "{said}");
        }
    }
}
