//! Reflection, by which generic tools learn what is served and what its messages are.
//!
//! The library's own service ends a stream at the first name that it does not know. The protocol
//! answers such a name in its place and goes on.

use std::{
    collections::HashMap,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use atlas_events::{FILE_DESCRIPTOR_SET, clip};
use event_log::EventLog;
use event_types::{Registry, well_known_file};
use futures::{Stream, StreamExt};
use http::{Request as HttpRequest, Response as HttpResponse, Uri, uri::PathAndQuery};
use prost::Message;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, body::Body, server::NamedService};
use tonic_reflection::pb::{
    v1::{
        self, ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
        ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest,
        server_reflection_response::MessageResponse,
        server_reflection_server::{ServerReflection, ServerReflectionServer},
    },
    v1alpha,
};
use tower::Service;

/// At most this many bytes of a request, which holds a name.
const REQUEST_BYTES_MAX: usize = 4 * 1024;
/// At most this many characters of a name that is not known are repeated.
const NAME_CHARS_MAX: usize = 100;

/// The service, version 1.
pub(crate) type ReflectionV1 = ServerReflectionServer<Reflection>;

/// What is served, and the files that describe it.
#[derive(Debug)]
pub(crate) struct Reflection {
    services: Vec<String>,
    described: Arc<Described>,
    /// Its registered types are served, too.
    log: EventLog,
    stop: CancellationToken,
}

/// Files, encoded, by their own names and by those of what they declare.
#[derive(Debug, Default)]
pub(crate) struct Described {
    files: HashMap<String, Arc<[u8]>>,
    symbols: HashMap<String, Arc<[u8]>>,
}

impl Described {
    /// The contract, and the generic services that are served beside it.
    ///
    /// # Errors
    /// A set of descriptors cannot be decoded.
    pub(crate) fn read() -> Result<Arc<Self>, prost::DecodeError> {
        let mut described = Self::default();
        for encoded in [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            v1::FILE_DESCRIPTOR_SET,
            v1alpha::FILE_DESCRIPTOR_SET,
            // So that clients can show the details of a status.
            tonic_types::pb::FILE_DESCRIPTOR_SET,
        ] {
            for file in FileDescriptorSet::decode(encoded)?.file {
                described.add(&file);
            }
        }
        Ok(Arc::new(described))
    }

    fn add(&mut self, file: &FileDescriptorProto) {
        let encoded: Arc<[u8]> = file.encode_to_vec().into();
        let mut symbols = Vec::new();
        let package = file.package();
        for message in &file.message_type {
            add_message(&mut symbols, package, message);
        }
        for kind in &file.enum_type {
            add_enum(&mut symbols, package, kind);
        }
        for service in &file.service {
            let name = within(package, service.name());
            let methods = service.method.iter();
            symbols.extend(methods.map(|method| within(&name, method.name())));
            symbols.push(name);
        }
        let declared = symbols.into_iter().map(|name| (name, Arc::clone(&encoded)));
        self.symbols.extend(declared);
        self.files.insert(file.name().to_owned(), encoded);
    }
}

fn within(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

fn add_message(symbols: &mut Vec<String>, scope: &str, message: &DescriptorProto) {
    let name = within(scope, message.name());
    for nested in &message.nested_type {
        add_message(symbols, &name, nested);
    }
    for kind in &message.enum_type {
        add_enum(symbols, &name, kind);
    }
    let fields = message.field.iter().map(|field| field.name());
    let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
    symbols.extend(fields.chain(oneofs).map(|member| within(&name, member)));
    symbols.push(name);
}

fn add_enum(symbols: &mut Vec<String>, scope: &str, kind: &EnumDescriptorProto) {
    let name = within(scope, kind.name());
    symbols.extend(kind.value.iter().map(|value| within(&name, value.name())));
    symbols.push(name);
}

impl Reflection {
    /// Of the services of these names; each version names itself beside them.
    pub(crate) fn version_1(
        services: &[&'static str],
        described: Arc<Described>,
        log: EventLog,
        stop: CancellationToken,
    ) -> ReflectionV1 {
        Self::server(services, ReflectionV1::NAME, described, log, stop)
    }

    /// The same in the version before, which differs in nothing but the name.
    pub(crate) fn version_1_alpha(
        services: &[&'static str],
        described: Arc<Described>,
        log: EventLog,
        stop: CancellationToken,
    ) -> ReflectionV1Alpha {
        ReflectionV1Alpha(Self::server(
            services,
            ReflectionV1Alpha::NAME,
            described,
            log,
            stop,
        ))
    }

    fn server(
        services: &[&'static str],
        own_name: &'static str,
        described: Arc<Described>,
        log: EventLog,
        stop: CancellationToken,
    ) -> ReflectionV1 {
        let generic = ["grpc.health.v1.Health", own_name];
        let names = services.iter().chain(&generic);
        let reflection = Self {
            services: names.map(ToString::to_string).collect(),
            described,
            log,
            stop,
        };
        ServerReflectionServer::new(reflection).max_decoding_message_size(REQUEST_BYTES_MAX)
    }
}

/// What is described by the contract, or else by the types that services registered.
struct Known<'a> {
    described: &'a Described,
    registered: &'a Registry,
}

impl Known<'_> {
    fn file(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        let of_contract = self.described.files.get(name);
        (of_contract.map(|file| vec![file.to_vec()]))
            .or_else(|| self.registered.files_of_name(name))
            .or_else(|| well_known_file(name).map(|file| vec![file]))
    }

    fn symbol(&self, name: &str) -> Option<Vec<Vec<u8>>> {
        let of_contract = self.described.symbols.get(name);
        (of_contract.map(|file| vec![file.to_vec()]))
            .or_else(|| self.registered.files_of_symbol(name))
    }
}

fn answer(services: &[String], known: &Known<'_>, asked: &MessageRequest) -> MessageResponse {
    let files = |found: Option<Vec<Vec<u8>>>, what: &str, name: &str| match found {
        Some(file_descriptor_proto) => {
            MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                file_descriptor_proto,
            })
        }
        None => {
            let name = clip(name, NAME_CHARS_MAX);
            error(Code::NotFound, format!("there is no {what} \"{name}\""))
        }
    };
    match asked {
        MessageRequest::FileByFilename(name) => files(known.file(name), "file", name),
        MessageRequest::FileContainingSymbol(name) => files(known.symbol(name), "symbol", name),
        MessageRequest::FileContainingExtension(_) => {
            error(Code::NotFound, "there are no extensions".to_owned())
        }
        // Tools ask this of every message and take an error for the end.
        MessageRequest::AllExtensionNumbersOfType(name) => {
            MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                base_type_name: name.clone(),
                extension_number: Vec::new(),
            })
        }
        MessageRequest::ListServices(_) => {
            let named = |name: &String| ServiceResponse { name: name.clone() };
            MessageResponse::ListServicesResponse(ListServiceResponse {
                service: services.iter().map(named).collect(),
            })
        }
    }
}

fn error(code: Code, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse {
        error_code: code as i32,
        error_message,
    })
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let (services, described) = (self.services.clone(), Arc::clone(&self.described));
        let log = self.log.clone();
        let answers = request.into_inner().map(move |request| {
            let request = request?;
            let response = match &request.message_request {
                Some(asked) => {
                    let types = log.types();
                    let known = Known {
                        described: &described,
                        registered: types.registry(),
                    };
                    answer(&services, &known, asked)
                }
                None => error(Code::InvalidArgument, "nothing is asked for".to_owned()),
            };
            Ok(ServerReflectionResponse {
                valid_host: request.host.clone(),
                original_request: Some(request),
                message_response: Some(response),
            })
        });
        // A tool that asks nothing more would keep the server from stopping.
        let stop = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(answers.take_until(stop))))
    }
}

/// The service under the name of the version before; the messages are the same.
#[derive(Debug, Clone)]
pub(crate) struct ReflectionV1Alpha(ReflectionV1);

impl NamedService for ReflectionV1Alpha {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl Service<HttpRequest<Body>> for ReflectionV1Alpha {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = <ReflectionV1 as Service<HttpRequest<Body>>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<HttpRequest<Body>>::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, mut request: HttpRequest<Body>) -> Self::Future {
        let path = request.uri().path();
        let path = path.replacen(Self::NAME, ReflectionV1::NAME, 1);
        if let Ok(path) = path.parse::<PathAndQuery>() {
            *request.uri_mut() = Uri::from(path);
        }
        self.0.call(request)
    }
}
