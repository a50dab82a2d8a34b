//! Who asks, and what is theirs.

use access::{Access, Scope};
use axum::body::Bytes;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use service::rest::{Problem, ProblemKind, extract::JsonText};
use sqlx::PgConnection;
use utoipa::ToSchema;

use crate::store::{self, NewChange, Tenant};

/// Where nobody is asked who they are.
pub(crate) const ANONYMOUS: &str = "anonymous";
const NAME_CHARS_MAX: usize = 100;
const NOTE_CHARS_MAX: usize = 2_000;

/// A caller.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: String,
    sees_all: bool,
}

impl Person {
    /// Who may do what needs `scope`.
    pub(super) fn of(access: &Access, scope: Scope) -> Result<Self, Problem> {
        access.require(scope)?;
        access.require_unlimited()?;
        let name = access.name().unwrap_or(ANONYMOUS).to_owned();
        if name.chars().count() > NAME_CHARS_MAX {
            let detail = format!(
                "the name of the certificate has more than {NAME_CHARS_MAX} characters; give it an entry in \
                 the file of tokens, with a shorter name"
            );
            return Err(Problem::new(ProblemKind::Forbidden, detail));
        }
        let sees_all = access.require(Scope::Admin).is_ok();
        Ok(Self { name, sees_all })
    }

    /// Whether everything is theirs to see.
    pub(super) fn sees_all(&self) -> bool {
        self.sees_all
    }

    /// Whose rows the caller may see and change.
    pub(super) fn tenant(&self) -> Tenant<'_> {
        match self.sees_all {
            true => Tenant::All,
            false => Tenant::One(&self.name),
        }
    }

    /// Records what the caller changes of an object of a tenant, in the transaction that changes it.
    pub(super) async fn record(
        &self,
        connection: &mut PgConnection,
        (tenant, object, object_id): (&str, &str, &str),
        (change, note): (&str, &str),
        at: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        let change = NewChange {
            tenant,
            object,
            object_id,
            change,
            by: Some(&self.name),
            note,
            at,
        };
        store::insert_change(connection, &change).await
    }
}

/// Why somebody changes something. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteRequest {
    /// For those who come after; at most 2,000 characters.
    #[serde(default)]
    note: String,
}

/// The note of a body.
pub(super) fn note(body: Bytes) -> Result<String, Problem> {
    if body.is_empty() {
        return Ok(String::new());
    }
    let request: NoteRequest = JsonText(body).read()?;
    checked_note(&request.note)
}

/// A note without the space around it.
pub(super) fn checked_note(note: &str) -> Result<String, Problem> {
    let note = note.trim();
    if note.chars().count() > NOTE_CHARS_MAX || note.contains('\0') {
        let problem = format!("is to have at most {NOTE_CHARS_MAX} characters");
        return Err(Problem::field(ProblemKind::InvalidRequest, "note", problem));
    }
    Ok(note.to_owned())
}
