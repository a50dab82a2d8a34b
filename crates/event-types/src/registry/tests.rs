use super::*;
use crate::{
    Rule,
    testing::{compile, file, set},
};

fn proposal(subject: &str, set: &Arc<DescriptorSet>) -> Proposal {
    Proposal {
        subject: subject.to_owned(),
        version: None,
        mode: None,
        set: Arc::clone(set),
    }
}

/// With the proposal registered.
fn registered(registry: Registry, proposal: &Proposal) -> Registry {
    let version = registry.check(proposal).unwrap();
    registry.with(&proposal.subject, version)
}

#[test]
fn versions_follow_each_other() {
    let first = set("message A { string a = 1; }");
    let second = set("message A { string a = 1; int32 b = 2; }");
    let registry = registered(Registry::default(), &proposal("shop", &first));
    let registry = registered(registry, &proposal("shop", &second));
    let numbers: Vec<_> = registry.subjects()["shop"]
        .versions()
        .iter()
        .map(|version| version.number)
        .collect();
    assert_eq!(numbers, [1, 2]);
    let found = registry.find("shop.A").unwrap();
    assert_eq!(
        (
            &*found.subject,
            found.version,
            found.descriptor.fields().len()
        ),
        ("shop", 2, 2)
    );
    assert!(registry.find("shop.B").is_none());
}

#[test]
fn the_same_set_is_the_same_version() {
    let first = set("message A { string a = 1; }");
    let registry = registered(Registry::default(), &proposal("shop", &first));
    let again = registry.check(&proposal(
        "shop",
        &set("// Said otherwise.\nmessage A { string a = 1; }"),
    ));
    assert_eq!(again.unwrap().number, 1);
    let stated = |version| Proposal {
        version: Some(version),
        ..proposal("shop", &first)
    };
    assert_eq!(registry.check(&stated(1)).unwrap().number, 1);
    // Registered anew, under a number of its own or with another mode.
    assert_eq!(registry.check(&stated(2)).unwrap().number, 2);
    let mode = Proposal {
        mode: Some(Mode::Full),
        ..proposal("shop", &first)
    };
    assert_eq!(registry.check(&mode).unwrap().number, 2);
}

#[test]
fn a_version_is_the_next_one() {
    let first = set("message A { string a = 1; }");
    let second = set("message A { string a = 1; int32 b = 2; }");
    let registry = registered(Registry::default(), &proposal("shop", &first));
    for asked in [0, 1, 3] {
        let refused = registry.check(&Proposal {
            version: Some(asked),
            ..proposal("shop", &second)
        });
        let subject = "shop".to_owned();
        assert_eq!(
            refused.unwrap_err(),
            Refusal::Version {
                subject,
                asked,
                next: 2
            }
        );
    }
}

/// A field that was deleted in version 2 does not come back with another type in version 3.
#[test]
fn all_versions_are_compared() {
    let versions = [
        "message A { int32 a = 1; }",
        "message A { reserved 1; reserved \"a\"; }",
        "message A { string a = 1; }",
    ]
    .map(set);
    let registry = registered(Registry::default(), &proposal("shop", &versions[0]));
    let registry = registered(registry, &proposal("shop", &versions[1]));
    let refused = registry.check(&proposal("shop", &versions[2])).unwrap_err();
    let Refusal::Incompatible { version: 1, breaks } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(breaks[0].rule, Rule::FieldWireJsonCompatibleType);
}

#[test]
fn the_mode_stays_until_another_is_given() {
    let versions = ["message A { int32 a = 1; }", "message A { string a = 1; }"].map(set);
    let none = Proposal {
        mode: Some(Mode::None),
        ..proposal("shop", &versions[0])
    };
    let registry = registered(Registry::default(), &none);
    let registry = registered(registry, &proposal("shop", &versions[1]));
    assert_eq!(
        registry.subjects()["shop"].latest().unwrap().mode,
        Mode::None
    );
    let back = Proposal {
        mode: Some(Mode::Backward),
        ..proposal("shop", &versions[0])
    };
    assert!(matches!(
        registry.check(&back),
        Err(Refusal::Incompatible { version: 2, .. })
    ));
}

#[test]
fn names_belong_to_one_subject() {
    let registry = registered(
        Registry::default(),
        &proposal(
            "shop",
            &set("message A { string a = 1; } enum E { E_0 = 0; }"),
        ),
    );
    // The same file with other content; another file with a type of the same name.
    let refused = registry
        .check(&proposal("other", &set("message A { int32 a = 1; }")))
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the file \"shop.proto\" belongs to \"shop\", where it is declared otherwise"
    );
    for (declaration, name) in [
        ("message A {}", "shop.A"),
        ("enum E { E_0 = 0; }", "shop.E"),
    ] {
        let source = format!("syntax = \"proto3\"; package shop; {declaration}");
        let elsewhere = DescriptorSet::parse(&compile(&[("elsewhere.proto", &source)])).unwrap();
        let refused = registry
            .check(&proposal("other", &Arc::new(elsewhere)))
            .unwrap_err();
        let owner = "shop".to_owned();
        assert_eq!(
            refused,
            Refusal::Taken {
                what: "the type",
                name: name.to_owned(),
                owner
            }
        );
    }
    // The same file with the same content is shared.
    let same = set("message A { string a = 1; } enum E { E_0 = 0; }");
    registry.check(&proposal("other", &same)).unwrap();
}

#[test]
fn a_type_that_is_gone_is_found_in_the_version_that_has_it() {
    let versions = ["message A {} message B {}", "message B {}"].map(set);
    let mut registry = Registry::default();
    for version in &versions {
        let none = Proposal {
            mode: Some(Mode::None),
            ..proposal("shop", version)
        };
        registry = registered(registry, &none);
    }
    assert_eq!(registry.find("shop.A").unwrap().version, 1);
    assert_eq!(registry.find("shop.B").unwrap().version, 2);
}

#[test]
fn subjects_have_names() {
    let registry = Registry::default();
    for name in ["", "a b", "a/b", "ä", "a\u{0}", &"a".repeat(101)] {
        assert_eq!(
            registry
                .check(&proposal(name, &set("message A {}")))
                .unwrap_err(),
            Refusal::Subject
        );
    }
    for name in ["a", "Shop.orders_v1-x", &"a".repeat(100)] {
        registry
            .check(&proposal(name, &file("proto3", "p", "message A {}")))
            .unwrap();
    }
}

#[test]
fn there_is_a_bound_on_all_that_is_registered() {
    let mut registry = Registry::default();
    let sets = [
        set("message A { string a = 1; }"),
        set("message A { string a = 1; int32 b = 2; }"),
    ];
    for number in 0..VERSIONS_MAX {
        let none = Proposal {
            mode: Some(Mode::None),
            ..proposal("shop", &sets[number % 2])
        };
        registry = registered(registry, &none);
    }
    let refused = registry.check(&proposal("shop", &sets[0])).unwrap_err();
    let subject = "shop".to_owned();
    assert_eq!(refused, Refusal::Versions { subject });
    let other = file("proto3", "other", "message A {}");
    let mut registry = Registry {
        bytes: REGISTRY_BYTES_MAX - other.encoded().len(),
        ..Registry::default()
    };
    registry.check(&proposal("other", &other)).unwrap();
    registry.bytes += 1;
    let refused = registry.check(&proposal("other", &other)).unwrap_err();
    assert_eq!(refused, Refusal::Full);
}

#[test]
fn symbols_and_files_are_found_with_their_imports() {
    let money = (
        "shop/money.proto",
        "syntax = \"proto3\"; package shop; message Money { int64 cents = 1; }",
    );
    let order = (
        "shop/order.proto",
        "syntax = \"proto3\"; package shop; import \"shop/money.proto\"; import \"google/protobuf/any.proto\";
         message Order { Money sum = 1; google.protobuf.Any more = 2; enum State { NEW = 0; } }
         service Orders { rpc Place(Order) returns (Money); }",
    );
    let set = DescriptorSet::parse(&compile(&[order, money])).unwrap();
    let registry = registered(Registry::default(), &proposal("shop", &Arc::new(set)));
    let names = |files: Option<Vec<Vec<u8>>>| {
        let decode =
            |file: Vec<u8>| <prost_types::FileDescriptorProto as prost::Message>::decode(&*file);
        let names = files
            .into_iter()
            .flatten()
            .map(|file| decode(file).unwrap().name.unwrap());
        names.collect::<Vec<_>>()
    };
    let all = [
        "shop/order.proto",
        "shop/money.proto",
        "google/protobuf/any.proto",
    ];
    for symbol in [
        "shop.Order",
        "shop.Order.sum",
        "shop.Order.State",
        "shop.Order.State.NEW",
        "shop.Orders",
        "shop.Orders.Place",
    ] {
        assert_eq!(names(registry.files_of_symbol(symbol)), all, "{symbol}");
    }
    assert_eq!(
        names(registry.files_of_symbol("shop.Money.cents")),
        ["shop/money.proto"]
    );
    assert_eq!(names(registry.files_of_name("shop/order.proto")), all);
    for unknown in ["shop", "shop.Missing", "google.protobuf.Any", ""] {
        assert!(registry.files_of_symbol(unknown).is_none(), "{unknown}");
    }
    assert!(
        registry
            .files_of_name("google/protobuf/any.proto")
            .is_none()
    );
}
