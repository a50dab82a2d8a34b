//! Why types are not registered, as a client sees it.

use atlas_events::clip;
use event_log::TypesError;
use event_types::{Break, Refusal as Types};
use tonic::{Code, Status};

use crate::status::Refusal;

/// A status travels in headers, whose size clients bound: at most this many changes are in it, with at
/// most this many characters each.
const CHANGES_MAX: usize = 10;
const CHANGE_CHARS_MAX: usize = 200;

/// The status of an error.
pub(super) fn status(error: TypesError) -> Status {
    let types = match error {
        TypesError::Log(failure) => {
            return Refusal::from_read(failure, "registering types").into_status();
        }
        TypesError::Refused(types) => types,
    };
    let message = types.to_string();
    match types {
        Types::Set(_) => {
            Refusal::new(Code::InvalidArgument, "INVALID_TYPES", message).at("file_descriptor_set")
        }
        Types::Subject => {
            Refusal::new(Code::InvalidArgument, "INVALID_ARGUMENT", message).at("subject")
        }
        Types::Versions { .. } | Types::Full => {
            Refusal::new(Code::ResourceExhausted, "TOO_MANY_TYPES", message)
        }
        Types::Version { next, .. } => {
            let refusal = Refusal::new(Code::FailedPrecondition, "NOT_NEXT_VERSION", message);
            refusal.at("version").with("next_version", next)
        }
        Types::Taken { owner, .. } => {
            Refusal::new(Code::AlreadyExists, "TYPE_TAKEN", message).with("subject", owner)
        }
        Types::Incompatible { version, breaks } => {
            return incompatible(message, version, &breaks);
        }
    }
    .into_status()
}

fn incompatible(message: String, version: u32, breaks: &[Break]) -> Status {
    let first = breaks.first().map(described);
    let message = match first {
        Some(first) => format!("{message}, the first: {first}"),
        None => message,
    };
    let refusal = Refusal::new(Code::FailedPrecondition, "INCOMPATIBLE", message);
    let refusal = refusal.with("incompatible_with", version);
    let named = breaks.iter().take(CHANGES_MAX).map(|broken| {
        let element = format!("{}: {}", broken.file, broken.element);
        let clipped = |text: &str| clip(text, CHANGE_CHARS_MAX).into_owned();
        (
            broken.rule.as_str(),
            clipped(&element),
            clipped(&broken.message),
        )
    });
    refusal.into_status_with(named)
}

fn described(broken: &Break) -> String {
    let (rule, message) = (broken.rule.as_str(), &broken.message);
    format!("{}: {} {message} ({rule})", broken.file, broken.element)
}
