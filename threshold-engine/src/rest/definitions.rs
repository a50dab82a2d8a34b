//! The files of definitions.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use service::rest::{Always, Problem};
use utoipa::ToSchema;

use super::{App, pattern_view::SuspensionView};
use crate::{definition::LoadError, store};

/// What the last reading of the files found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DefinitionsView {
    /// The folder.
    folder: String,
    /// When the files were read.
    read_at: Option<DateTime<Utc>>,
    /// What is wrong with them; what ran before goes on.
    mistakes: Vec<MistakeView>,
    /// Inputs of correct definitions of whose series no event has been received yet: there is no data.
    never_received: Vec<MistakeView>,
    /// Definitions that are not evaluated because that failed.
    suspended: Vec<SuspensionView>,
    /// Definitions that differ from the files of another engine of the same database: those that were changed last
    /// count.
    conflicts: Vec<ConflictView>,
}

/// A definition that another engine of the same database has otherwise.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConflictView {
    /// `pattern` or `regime`.
    kind: &'static str,
    #[schema(example = "sahm-rule")]
    id: String,
    /// Hash of the definition in the files of this engine; absent if they do not hold it.
    own_version: Option<String>,
    /// Hash of the running definition; absent if it was taken away.
    running_version: Option<String>,
}

/// Something wrong with a file.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MistakeView {
    #[schema(example = "stress/vix-above-30.toml")]
    file: String,
    /// From 1; 0 if the file as a whole is meant.
    line: usize,
    reason: String,
}

/// What a reload changed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReloadedView {
    /// Ids of what was deployed.
    put: Vec<String>,
    /// Ids of what was taken away.
    removed: Vec<String>,
    #[serde(flatten)]
    definitions: DefinitionsView,
}

async fn view(app: &App) -> Result<DefinitionsView, Problem> {
    let suspended = store::suspensions(&app.pool).await?;
    let report = app.definitions.report();
    let conflicts = report.conflicts.into_iter().map(|conflict| ConflictView {
        kind: conflict.kind.name(),
        id: conflict.id,
        own_version: conflict.own_version,
        running_version: conflict.running_version,
    });
    let views = |list: Vec<LoadError>| list.into_iter().map(MistakeView::from).collect();
    Ok(DefinitionsView {
        suspended: suspended.into_iter().map(Into::into).collect(),
        conflicts: conflicts.collect(),
        folder: app.definitions.folder().display().to_string(),
        read_at: report.read_at,
        mistakes: views(report.mistakes),
        never_received: views(report.never_received),
    })
}

impl From<LoadError> for MistakeView {
    fn from(mistake: LoadError) -> Self {
        Self {
            file: mistake.file.display().to_string(),
            line: mistake.line,
            reason: mistake.reason,
        }
    }
}

/// The files of patterns and regimes, and what is wrong with them
#[utoipa::path(
    get, path = "/v1/definitions", operation_id = "getDefinitions", tag = "patterns",
    security(("token" = ["read", "unlimited"])),
    responses((status = 200, description = "As last read", body = DefinitionsView), Always)
)]
pub(super) async fn get(State(app): State<App>) -> Result<Json<DefinitionsView>, Problem> {
    Ok(Json(view(&app).await?))
}

/// Read the files now
///
/// They are read by themselves soon after they have changed.
#[utoipa::path(
    post, path = "/v1/definitions/reload", operation_id = "reloadDefinitions", tag = "patterns",
    security(("token" = ["admin", "unlimited"])),
    responses((status = 200, description = "What changed", body = ReloadedView), Always)
)]
pub(super) async fn reload(State(app): State<App>) -> Result<Json<ReloadedView>, Problem> {
    let reloaded = app.definitions.reload_now().await?;
    Ok(Json(ReloadedView {
        put: reloaded.put,
        removed: reloaded.removed,
        definitions: view(&app).await?,
    }))
}
