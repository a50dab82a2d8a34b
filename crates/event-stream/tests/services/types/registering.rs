//! Versions of a subject: registered once, known to all servers, and never incompatible.

use atlas_events::{CheckTypesRequest, GetTypesRequest, ListTypesRequest};
use prost::Message;
use prost_types::FileDescriptorProto;
use test_support::{TestDatabase, eventually};
use tonic::Code;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

use super::*;
use crate::common::{DEADLINE, error_of, expectation, fact};

#[tokio::test]
async fn a_version_is_registered_once_and_known_to_all_servers() {
    let database = TestDatabase::create().await;
    let (server, other) = (
        Server::start(&database).await,
        Server::start(&database).await,
    );
    let set = order(FIELDS);
    let first = register(&server, set.clone()).await.unwrap();
    assert!(first.created);
    let version = first.version.unwrap();
    assert_eq!((&*version.subject, version.version), ("shop", 1));
    assert_eq!(version.messages, ["shop.v1.Line", "shop.v1.OrderPlaced"]);
    assert_eq!(version.registered_by, "anonymous");
    let again = register(&other, set.clone()).await.unwrap();
    assert_eq!(
        (again.created, again.version.as_ref()),
        (false, Some(&version))
    );

    let next = register(&other, order(&format!("{FIELDS} string note = 4;"))).await;
    assert_eq!(next.unwrap().version.unwrap().version, 2);
    let mut client = types(&server).await;
    let get = GetTypesRequest {
        subject: "shop".to_owned(),
        version: 2,
    };
    eventually(DEADLINE, async || {
        client.get_types(get.clone()).await.is_ok()
    })
    .await;

    let first = GetTypesRequest {
        subject: "shop".to_owned(),
        version: 1,
    };
    let first = client.get_types(first).await.unwrap().into_inner();
    assert_eq!(
        (first.version, first.file_descriptor_set),
        (Some(version), set)
    );
    let mut list = async |subject: &str| {
        let request = ListTypesRequest {
            subject: subject.to_owned(),
        };
        let answer = client.list_types(request).await.unwrap().into_inner();
        answer
            .versions
            .into_iter()
            .map(|version| version.version)
            .collect::<Vec<_>>()
    };
    assert_eq!(list("").await, [2]);
    assert_eq!(list("shop").await, [1, 2]);
    assert_eq!(list("bank").await, [0; 0]);
}

/// Two servers that register at once: one version, or two that follow each other.
#[tokio::test]
async fn versions_follow_each_other_whoever_registers_them() {
    let database = TestDatabase::create().await;
    let (server, other) = (
        Server::start(&database).await,
        Server::start(&database).await,
    );
    let note = |n: usize| order(&format!("{FIELDS} string note_{n} = {};", n + 10));
    let sets: Vec<_> = (0..6).map(note).collect();
    let registering = sets.iter().enumerate().map(|(n, set)| {
        let request = RegisterTypesRequest {
            subject: "shop".to_owned(),
            version: 0,
            compatibility: Compatibility::None.into(),
            file_descriptor_set: set.clone(),
        };
        let server = [&server, &other][n % 2];
        async move {
            types(server)
                .await
                .register_types(request)
                .await
                .unwrap()
                .into_inner()
        }
    });
    let registered = futures::future::join_all(registering).await;
    let mut numbers: Vec<_> = (registered.iter())
        .map(|answer| answer.version.as_ref().unwrap().version)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn what_is_incompatible_is_refused_with_the_rule_and_the_element() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    register(&server, order(FIELDS)).await.unwrap();
    let changed = order("string order_id = 1; string cents = 2; repeated Line lines = 3;");
    let refused = register(&server, changed.clone()).await.unwrap_err();
    assert_eq!(
        error_of(&refused),
        expectation(Code::FailedPrecondition, "INCOMPATIBLE", "")
    );
    assert_eq!(fact(&refused, "incompatible_with"), "1");
    let violations = refused
        .get_details_precondition_failure()
        .unwrap()
        .violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].r#type, "FIELD_WIRE_JSON_COMPATIBLE_TYPE");
    assert_eq!(
        violations[0].subject,
        "shop/v1/order.proto: shop.v1.OrderPlaced.cents"
    );
    assert_eq!(
        violations[0].description,
        "field 2: the type was int64 and is string"
    );

    let mut check = CheckTypesRequest {
        subject: "shop".to_owned(),
        version: 0,
        compatibility: Compatibility::Unspecified.into(),
        file_descriptor_set: changed,
    };
    let mut client = types(&server).await;
    let found = client
        .check_types(check.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((found.version, found.incompatible_with), (0, 1));
    assert_eq!(
        found.incompatible_changes[0].rule,
        "FIELD_WIRE_JSON_COMPATIBLE_TYPE"
    );
    check.compatibility = Compatibility::None.into();
    let found = client.check_types(check).await.unwrap().into_inner();
    assert_eq!((found.version, found.incompatible_changes.len()), (2, 0));
    // Nothing was registered by it.
    let list = client
        .list_types(ListTypesRequest {
            subject: "shop".to_owned(),
        })
        .await;
    assert_eq!(list.unwrap().into_inner().versions.len(), 1);
}

#[tokio::test]
async fn what_is_no_set_of_types_is_refused() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let refused = async |set: Vec<u8>| error_of(&register(&server, set).await.unwrap_err());
    let invalid = expectation(
        Code::InvalidArgument,
        "INVALID_TYPES",
        "file_descriptor_set",
    );
    assert_eq!(refused(Vec::new()).await, invalid);
    assert_eq!(refused(b"syntax = \"proto3\";".to_vec()).await, invalid);
    let ours = compile(&[(
        "a.proto",
        "syntax = \"proto3\"; package atlas.events; message Event {}",
    )]);
    assert_eq!(refused(ours).await, invalid);
    let bare = compile(&[("a.proto", "syntax = \"proto3\"; message CustomEvent {}")]);
    assert_eq!(refused(bare).await, invalid);
    let (code, reason, _) = refused(vec![0; 2 * 1024 * 1024]).await;
    assert_eq!(
        (code, &*reason),
        (Code::ResourceExhausted, "MESSAGE_TOO_LARGE")
    );

    register(&server, order(FIELDS)).await.unwrap();
    let mut client = types(&server).await;
    let mut request = RegisterTypesRequest {
        subject: "bank".to_owned(),
        version: 0,
        compatibility: Compatibility::None.into(),
        file_descriptor_set: order("string other = 1;"),
    };
    let taken = client.register_types(request.clone()).await.unwrap_err();
    assert_eq!(
        error_of(&taken),
        expectation(Code::AlreadyExists, "TYPE_TAKEN", "")
    );
    assert_eq!(fact(&taken, "subject"), "shop");
    request.subject = "sh op".to_owned();
    let name = client.register_types(request.clone()).await.unwrap_err();
    assert_eq!(
        error_of(&name),
        expectation(Code::InvalidArgument, "INVALID_ARGUMENT", "subject")
    );
    request.subject = "shop".to_owned();
    request.version = 7;
    let number = client.register_types(request).await.unwrap_err();
    assert_eq!(
        error_of(&number),
        expectation(Code::FailedPrecondition, "NOT_NEXT_VERSION", "version")
    );
    assert_eq!(fact(&number, "next_version"), "2");
    let unknown = GetTypesRequest {
        subject: "shop".to_owned(),
        version: 9,
    };
    let unknown = client.get_types(unknown).await.unwrap_err();
    assert_eq!(
        error_of(&unknown),
        expectation(Code::NotFound, "NO_SUCH_TYPES", "")
    );
}

/// Generic tools learn of registered types as of those of the contract.
#[tokio::test]
async fn reflection_serves_registered_types_with_what_they_import() {
    let database = TestDatabase::create().await;
    let server = Server::start(&database).await;
    let ask = async |asked: MessageRequest| {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(asked),
        };
        let endpoint = Channel::from_shared(server.url.clone()).unwrap();
        let mut client = ServerReflectionClient::new(endpoint.connect().await.unwrap());
        let answers = client
            .server_reflection_info(futures::stream::iter([request]))
            .await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        match answer.message_response.unwrap() {
            MessageResponse::FileDescriptorResponse(files) => files.file_descriptor_proto,
            _ => Vec::new(),
        }
    };
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    assert!(ask(symbol("shop.v1.OrderPlaced")).await.is_empty());
    register(&server, order(FIELDS)).await.unwrap();
    let names = |files: Vec<Vec<u8>>| {
        let name = |file: Vec<u8>| FileDescriptorProto::decode(&*file).unwrap().name.unwrap();
        files.into_iter().map(name).collect::<Vec<_>>()
    };
    let all = [FILE, "google/protobuf/timestamp.proto"];
    for name in ["shop.v1.OrderPlaced", "shop.v1.Line.name"] {
        assert_eq!(names(ask(symbol(name)).await), all, "{name}");
    }
    let file = |name: &str| MessageRequest::FileByFilename(name.to_owned());
    assert_eq!(names(ask(file(FILE)).await), all);
    let known = "google/protobuf/wrappers.proto";
    assert_eq!(names(ask(file(known)).await), [known]);
}
