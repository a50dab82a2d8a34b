use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::*;
use crate::testing::compile;

const ORDER: &str = r#"
    syntax = "proto3";
    package shop.v1;
    import "google/protobuf/timestamp.proto";
    import "shop/v1/money.proto";
    // An order was placed.
    message OrderPlaced {
      string order_id = 1;
      google.protobuf.Timestamp at = 2;
      repeated Line lines = 3;
      message Line { Money price = 1; map<string, int64> counts = 2; }
    }
"#;
const MONEY: &str = r#"
    syntax = "proto3";
    package shop.v1;
    message Money { string amount = 1; Currency currency = 2; }
    enum Currency { CURRENCY_UNSPECIFIED = 0; CURRENCY_EUR = 1; }
"#;

fn shop() -> Vec<u8> {
    compile(&[
        ("shop/v1/order.proto", ORDER),
        ("shop/v1/money.proto", MONEY),
    ])
}

/// The same set, changed.
fn changed(change: impl FnOnce(&mut Vec<FileDescriptorProto>)) -> Result<DescriptorSet, SetError> {
    let mut set = FileDescriptorSet::decode(&*shop()).unwrap();
    change(&mut set.file);
    DescriptorSet::parse(&set.encode_to_vec())
}

fn file<'a>(files: &'a mut [FileDescriptorProto], name: &str) -> &'a mut FileDescriptorProto {
    files.iter_mut().find(|file| file.name() == name).unwrap()
}

fn order(files: &mut [FileDescriptorProto]) -> &mut FileDescriptorProto {
    file(files, "shop/v1/order.proto")
}

#[test]
fn a_set_has_its_types_and_the_uploaded_bytes_of_its_files() {
    let encoded = shop();
    let set = DescriptorSet::parse(&encoded).unwrap();
    let names: Vec<_> = set
        .messages()
        .map(|message| message.full_name().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "shop.v1.Money",
            "shop.v1.OrderPlaced",
            "shop.v1.OrderPlaced.Line"
        ]
    );
    let files: Vec<_> = set.files().keys().collect();
    assert_eq!(files, ["shop/v1/money.proto", "shop/v1/order.proto"]);
    for file in set.files().values() {
        let bytes = file.encoded();
        assert!(
            encoded
                .windows(bytes.len())
                .any(|window| window == &**bytes)
        );
    }
    // The order of files says nothing.
    changed(|files| files.reverse()).unwrap();
}

#[test]
fn comments_are_no_difference() {
    let set = DescriptorSet::parse(&shop()).unwrap();
    let without = changed(|files| {
        for file in files {
            file.source_code_info = None;
        }
    });
    assert!(set.declares_the_same(&without.unwrap()));
    let other = changed(|files| order(files).message_type[0].field[0].json_name = Some("x".into()));
    assert!(!set.declares_the_same(&other.unwrap()));
}

#[test]
fn what_is_no_set_is_refused() {
    let error = |bytes: &[u8]| DescriptorSet::parse(bytes).unwrap_err();
    assert_eq!(error(&[]), SetError::Empty);
    assert_eq!(error(b"syntax = \"proto3\";"), SetError::Malformed);
    let bytes = SET_BYTES_MAX + 1;
    assert_eq!(error(&vec![0; bytes]), SetError::TooLarge { bytes });
    let only_known = compile(&[(
        "a.proto",
        "syntax = \"proto3\"; import \"google/protobuf/any.proto\";",
    )]);
    let mut only_known = FileDescriptorSet::decode(&*only_known).unwrap();
    only_known.file.retain(|file| file.name() != "a.proto");
    assert_eq!(error(&only_known.encode_to_vec()), SetError::Empty);
}

#[test]
fn syntaxes_that_are_not_known_are_refused() {
    for syntax in ["editions", "proto4", "\u{1b}[2J"] {
        let refused = changed(|files| order(files).syntax = Some(syntax.to_owned()));
        let file = "shop/v1/order.proto".to_owned();
        let syntax = syntax.to_owned();
        assert_eq!(refused.unwrap_err(), SetError::Syntax { file, syntax });
    }
}

#[test]
fn reserved_packages_are_refused() {
    for package in [
        "google.protobuf",
        "google.protobuf.compiler",
        "atlas",
        "atlas.events",
        "grpc.health.v1",
    ] {
        let refused =
            changed(|files| file(files, "shop/v1/money.proto").package = Some(package.to_owned()));
        assert!(
            matches!(refused, Err(SetError::Reserved { .. })),
            "{package}: {refused:?}"
        );
    }
    for package in ["google.type", "atlassian", "google.protobuffer"] {
        let source = format!("syntax = \"proto3\"; package {package}; message A {{}}");
        DescriptorSet::parse(&compile(&[("a.proto", &source)])).unwrap();
    }
}

/// A file of the name of a well-known one is not used: the types are those that everybody knows.
#[test]
fn a_forged_well_known_file_has_no_effect() {
    let forged = FileDescriptorProto {
        name: Some("google/protobuf/timestamp.proto".to_owned()),
        package: Some("google.protobuf".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto {
            name: Some("Timestamp".to_owned()),
            ..DescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    let set = changed(|files| {
        files.retain(|file| !file.name().starts_with("google/"));
        files.insert(0, forged);
    });
    let timestamp = set
        .unwrap()
        .pool()
        .get_message_by_name("google.protobuf.Timestamp");
    assert_eq!(timestamp.unwrap().fields().len(), 2);
}

#[test]
fn files_that_do_not_fit_together_are_refused() {
    let error = |change: fn(&mut Vec<FileDescriptorProto>)| changed(change).unwrap_err();
    let twice = error(|files| {
        let copy = order(files).clone();
        files.push(copy);
    });
    assert!(matches!(twice, SetError::Twice { .. }), "{twice}");
    let missing = error(|files| files.retain(|file| file.name() != "shop/v1/money.proto"));
    assert_eq!(
        missing.to_string(),
        "shop/v1/order.proto imports \"shop/v1/money.proto\", which is not in the set; include \
         imports (`protoc --include_imports`; `buf build` does so)"
    );
    let circle = error(|files| {
        file(files, "shop/v1/money.proto")
            .dependency
            .push("shop/v1/order.proto".to_owned());
    });
    assert!(matches!(circle, SetError::Cycle { .. }), "{circle}");
    let itself = error(|files| {
        order(files)
            .dependency
            .push("shop/v1/order.proto".to_owned())
    });
    assert!(matches!(itself, SetError::Cycle { .. }), "{itself}");
    let unknown = error(|files| {
        order(files).message_type[0].field[1].type_name = Some(".shop.v1.Missing".to_owned());
    });
    assert!(matches!(unknown, SetError::Link(_)), "{unknown}");
}

#[test]
fn names_that_the_language_does_not_have_are_refused() {
    let changes: [fn(&mut FileDescriptorProto); 10] = [
        |file| file.name = Some("a b.proto".to_owned()),
        |file| file.name = Some(String::new()),
        |file| file.package = Some("shop..v1".to_owned()),
        |file| file.message_type[0].name = Some("Order Placed".to_owned()),
        |file| file.message_type[0].name = None,
        |file| file.message_type[0].name = Some("O".repeat(300)),
        |file| file.message_type[0].field[0].name = Some("1st".to_owned()),
        |file| file.message_type[0].field[0].json_name = Some("@type".to_owned()),
        |file| file.message_type[0].field[0].json_name = Some("a\u{0}".to_owned()),
        |file| {
            let second = FieldDescriptorProto {
                name: Some("second".to_owned()),
                number: Some(9),
                ..file.message_type[0].field[0].clone()
            };
            file.message_type[0].field.push(second);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let refused = changed(|files| change(order(files)));
        assert!(
            matches!(refused, Err(SetError::Name { .. })),
            "{number}: {refused:?}"
        );
    }
}

#[test]
fn there_is_a_bound_on_files_and_types() {
    let many = |count: usize| {
        changed(|files| {
            files.extend((0..count).map(|number| FileDescriptorProto {
                name: Some(format!("{number}.proto")),
                syntax: Some("proto3".to_owned()),
                ..FileDescriptorProto::default()
            }));
        })
    };
    let too_many = many(FILES_MAX).unwrap_err();
    assert!(matches!(too_many, SetError::TooMany { what: "files", .. }));
    many(FILES_MAX - 2).unwrap();
    let types = changed(|files| {
        let message = |number| DescriptorProto {
            name: Some(format!("M{number}")),
            ..DescriptorProto::default()
        };
        order(files)
            .message_type
            .extend((0..TYPES_MAX).map(message));
    });
    assert!(matches!(
        types,
        Err(SetError::TooMany { max: TYPES_MAX, .. })
    ));
}
