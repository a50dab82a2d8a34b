//! Which caller did what.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    document::{Always, Parameters},
    extract::{self, Query, check_limit},
    operation::Operation,
    problem::Problem,
};
use crate::security::Audited;

const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Those before this number; `next` of the page before.
    #[serde(default, deserialize_with = "extract::parsed")]
    before: Option<i64>,
    /// At most this many, 1 to 1,000.
    #[serde(default, deserialize_with = "extract::parsed")]
    #[param(default = 100, minimum = 1, maximum = 1_000)]
    limit: Option<u32>,
}

/// A page of administrative actions.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// The newest first.
    actions: Vec<AuditView>,
    /// `before` of the next page; `null` on the last one.
    next: Option<i64>,
}

/// An administrative action.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    number: i64,
    /// When it was answered.
    at: DateTime<Utc>,
    /// Name of the token, else the subject of the client's certificate, else `anonymous`.
    #[schema(example = "operator")]
    who: String,
    /// Address of the client.
    from: Option<String>,
    /// Method and path, or the name of the RPC.
    #[schema(example = "POST /v1/series/UNRATE/pause")]
    action: String,
    /// What was asked for.
    detail: String,
    /// `ok`, or why not: a status of HTTP or gRPC.
    outcome: String,
}

impl From<Audited> for AuditView {
    fn from(audited: Audited) -> Self {
        Self {
            number: audited.number,
            at: audited.at,
            who: audited.who,
            from: audited.from_address,
            action: audited.action,
            detail: audited.detail,
            outcome: audited.outcome,
        }
    }
}

/// Administrative actions
///
/// Who had what carried out, when, from where, and how it ended; also what was refused to known
/// clients.
#[utoipa::path(
    get, path = "/v1/audit", operation_id = "listAudit", tag = "operation", params(AuditQuery),
    security(("token" = ["admin", "unlimited"])),
    responses((status = 200, description = "A page", body = AuditPage), Always, Parameters)
)]
pub(super) async fn list(
    State(operation): State<Operation>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = check_limit(query.limit, LIMIT_DEFAULT, LIMIT_MAX)?;
    // One more than asked for shows whether there is a next page.
    let probe = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut actions = operation.security.audit.list(query.before, probe).await?;
    let has_more = actions.len() > limit;
    actions.truncate(limit);
    let next = actions.last().filter(|_| has_more).map(|last| last.number);
    let actions = actions.into_iter().map(Into::into).collect();
    Ok(Json(AuditPage { actions, next }))
}
