//! The `EventTypes` service: types that services register for their events.

mod refusal;

use std::sync::Arc;

use access::Caller;
use atlas_events::{
    CheckTypesRequest, CheckTypesResponse, Compatibility, GetTypesRequest, GetTypesResponse,
    IncompatibleChange, ListTypesRequest, ListTypesResponse, RegisterTypesRequest,
    RegisterTypesResponse, TypesVersion,
    event_types_server::{EventTypes, EventTypesServer},
};
use event_log::{EventLog, RegisteredVersion, TypesError};
use event_types::{Break, Mode, Proposal, is_subject};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status};

use self::refusal::status;
use crate::{guard::TYPES_BYTES_MAX, status::Refusal};

/// So many sets are linked and compared at once; the others wait. Each takes up to a second of a
/// processor, and some times its size of memory.
const SETS_AT_ONCE: usize = 1;
/// At most this many changes are named.
const CHANGES_MAX: usize = 100;

#[derive(Debug)]
pub(crate) struct TypesService {
    log: EventLog,
    turns: Semaphore,
}

impl TypesService {
    pub(crate) fn server(log: EventLog) -> EventTypesServer<Self> {
        let turns = Semaphore::new(SETS_AT_ONCE);
        EventTypesServer::new(Self { log, turns }).max_decoding_message_size(TYPES_BYTES_MAX)
    }
}

/// A request to register or to check.
struct Asked {
    subject: String,
    version: u32,
    compatibility: i32,
    file_descriptor_set: Vec<u8>,
}

impl Asked {
    async fn proposal(self) -> Result<Proposal, Status> {
        let mode = match Compatibility::try_from(self.compatibility) {
            Ok(Compatibility::Unspecified) => None,
            Ok(Compatibility::Backward) => Some(Mode::Backward),
            Ok(Compatibility::Forward) => Some(Mode::Forward),
            Ok(Compatibility::Full) => Some(Mode::Full),
            Ok(Compatibility::None) => Some(Mode::None),
            Err(_) => {
                let message = format!("compatibility: {} is not known", self.compatibility);
                let refusal = Refusal::new(Code::InvalidArgument, "INVALID_ARGUMENT", message);
                return Err(refusal.at("compatibility").into_status());
            }
        };
        Ok(Proposal {
            subject: self.subject,
            version: (self.version != 0).then_some(self.version),
            mode,
            set: EventLog::parse_types(self.file_descriptor_set)
                .await
                .map_err(status)?,
        })
    }
}

#[tonic::async_trait]
impl EventTypes for TypesService {
    async fn register_types(
        &self,
        request: Request<RegisterTypesRequest>,
    ) -> Result<Response<RegisterTypesResponse>, Status> {
        let _turn = self.turns.acquire().await;
        let caller = request.extensions().get::<Caller>().cloned();
        let request = request.into_inner();
        let asked = Asked {
            subject: request.subject,
            version: request.version,
            compatibility: request.compatibility,
            file_descriptor_set: request.file_descriptor_set,
        };
        let by = caller.as_ref().map_or("anonymous", Caller::name);
        let registering = self.log.register_types(asked.proposal().await?, by);
        let (version, created) = registering.await.map_err(status)?;
        if let Some(caller) = &caller {
            caller.note(format!("{} {}", version.subject, version.version.number));
        }
        Ok(Response::new(RegisterTypesResponse {
            version: Some(message(&version)),
            created,
        }))
    }

    async fn check_types(
        &self,
        request: Request<CheckTypesRequest>,
    ) -> Result<Response<CheckTypesResponse>, Status> {
        let _turn = self.turns.acquire().await;
        let request = request.into_inner();
        let asked = Asked {
            subject: request.subject,
            version: request.version,
            compatibility: request.compatibility,
            file_descriptor_set: request.file_descriptor_set,
        };
        let checking = self.log.check_types(asked.proposal().await?);
        let response = match checking.await {
            Ok(version) => CheckTypesResponse {
                version: version.number,
                ..CheckTypesResponse::default()
            },
            Err(TypesError::Refused(event_types::Refusal::Incompatible { version, breaks })) => {
                CheckTypesResponse {
                    version: 0,
                    incompatible_changes: breaks
                        .into_iter()
                        .take(CHANGES_MAX)
                        .map(change)
                        .collect(),
                    incompatible_with: version,
                }
            }
            Err(other) => return Err(status(other)),
        };
        Ok(Response::new(response))
    }

    async fn list_types(
        &self,
        request: Request<ListTypesRequest>,
    ) -> Result<Response<ListTypesResponse>, Status> {
        let subject = request.into_inner().subject;
        if !subject.is_empty() {
            check_subject(&subject)?;
        }
        let known = self.log.types();
        let mut versions: Vec<_> = match &*subject {
            "" => (known.registry().subjects().keys())
                .filter_map(|subject| known.version(subject, None))
                .collect(),
            subject => (known.versions().iter())
                .filter(|version| version.subject == subject)
                .collect(),
        };
        versions.sort_by_key(|version| (&version.subject, version.version.number));
        let versions = versions.into_iter().map(message).collect();
        Ok(Response::new(ListTypesResponse { versions }))
    }

    async fn get_types(
        &self,
        request: Request<GetTypesRequest>,
    ) -> Result<Response<GetTypesResponse>, Status> {
        let GetTypesRequest { subject, version } = request.into_inner();
        check_subject(&subject)?;
        let known = self.log.types();
        match known.version(&subject, (version != 0).then_some(version)) {
            Some(found) => Ok(Response::new(GetTypesResponse {
                version: Some(message(found)),
                file_descriptor_set: found.version.set.encoded().to_vec(),
            })),
            None => {
                let message = match version {
                    0 => format!("no types are registered as \"{subject}\""),
                    version => format!("no version {version} of \"{subject}\" is registered"),
                };
                Err(Refusal::new(Code::NotFound, "NO_SUCH_TYPES", message).into_status())
            }
        }
    }
}

fn check_subject(name: &str) -> Result<(), Status> {
    match is_subject(name) {
        true => Ok(()),
        false => Err(status(event_types::Refusal::Subject.into())),
    }
}

fn message(of: &Arc<RegisteredVersion>) -> TypesVersion {
    let mut messages: Vec<_> = (of.version.set.messages())
        .map(|message| message.full_name().to_owned())
        .collect();
    messages.sort();
    let compatibility = match of.version.mode {
        Mode::Backward => Compatibility::Backward,
        Mode::Forward => Compatibility::Forward,
        Mode::Full => Compatibility::Full,
        Mode::None => Compatibility::None,
    };
    TypesVersion {
        subject: of.subject.clone(),
        version: of.version.number,
        compatibility: compatibility.into(),
        registered_at: Some(of.registered_at.into()),
        registered_by: of.registered_by.clone(),
        messages,
    }
}

fn change(broken: Break) -> IncompatibleChange {
    IncompatibleChange {
        rule: broken.rule.as_str().to_owned(),
        file: broken.file,
        element: broken.element,
        message: broken.message,
    }
}
