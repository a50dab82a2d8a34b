use super::*;
use crate::testing::{file, set};

/// The names of the rules that the step from one version to the next breaks.
fn broken(old: &str, new: &str, mode: Mode) -> Vec<&'static str> {
    let found = breaks(&set(old), &set(new), mode);
    found.iter().map(|broken| broken.rule.as_str()).collect()
}

/// Backward, as by default.
fn step(old: &str, new: &str) -> Vec<&'static str> {
    broken(old, new, Mode::Backward)
}

const NOTHING: [&str; 0] = [];

#[test]
fn what_keeps_the_encoding_is_allowed() {
    for (old, new) in [
        // Fields, messages and values are added.
        (
            "message A { string a = 1; }",
            "message A { string a = 1; int32 b = 2; } message B {}",
        ),
        ("enum E { E_0 = 0; }", "enum E { E_0 = 0; E_1 = 1; }"),
        // Another name with the same name in JSON.
        (
            "message A { string a = 1; }",
            "message A { string b = 1 [json_name = \"a\"]; }",
        ),
        // The order says nothing.
        (
            "message A { string a = 1; int32 b = 2; } enum E { E_0 = 0; E_1 = 1; }",
            "enum E { E_0 = 0; E_1 = 1; } message A { int32 b = 2; string a = 1; }",
        ),
        // Integers of one encoding.
        (
            "message A { int32 a = 1; uint64 b = 2; }",
            "message A { uint32 a = 1; int64 b = 2; }",
        ),
        (
            "message A { fixed32 a = 1; sfixed64 b = 2; }",
            "message A { sfixed32 a = 1; fixed64 b = 2; }",
        ),
        // A field that may be absent.
        (
            "message A { string a = 1; }",
            "message A { optional string a = 1; }",
        ),
        // What is gone is reserved.
        (
            "message A { string a = 1; }",
            "message A { reserved 1; reserved \"a\"; }",
        ),
        (
            "enum E { E_0 = 0; E_1 = 1; }",
            "enum E { E_0 = 0; reserved 1; reserved \"E_1\"; }",
        ),
        // A wider range, also in two parts.
        (
            "message A { reserved 3 to 5; }",
            "message A { reserved 4 to 9, 2 to 3; }",
        ),
        (
            "enum E { E_0 = 0; reserved 3 to 5; }",
            "enum E { E_0 = 0; reserved 1 to 3, 4 to max; }",
        ),
        // Another name of a number.
        (
            "enum E { E_0 = 0; }",
            "enum E { option allow_alias = true; E_0 = 0; E_ZERO = 0; }",
        ),
    ] {
        for mode in [Mode::Backward, Mode::Forward, Mode::Full] {
            assert_eq!(broken(old, new, mode), NOTHING, "{old} to {new}");
        }
    }
}

#[test]
fn a_field_of_another_type_is_refused() {
    const KINDS: [&str; 17] = [
        "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
        "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes", "M", "E",
    ];
    const SAME: [[&str; 2]; 4] = [
        ["int32", "uint32"],
        ["int64", "uint64"],
        ["fixed32", "sfixed32"],
        ["fixed64", "sfixed64"],
    ];
    let declared = |field: &str| {
        set(&format!(
            "message A {{ {field} a = 1; }} message M {{}} enum E {{ E_0 = 0; }}"
        ))
    };
    let sets = KINDS.map(|kind| {
        (
            kind,
            declared(kind),
            declared(&format!("map<string, {kind}>")),
        )
    });
    for (old, before, map_before) in &sets {
        for (new, now, map_now) in &sets {
            let is_same = old == new
                || SAME
                    .iter()
                    .any(|pair| pair.contains(old) && pair.contains(new));
            for (before, now) in [(before, now), (map_before, map_now)] {
                let found = breaks(before, now, Mode::Backward);
                let rules: Vec<_> = found.iter().map(|broken| broken.rule).collect();
                let expected: &[_] = if is_same {
                    &[]
                } else {
                    &[Rule::FieldWireJsonCompatibleType]
                };
                assert_eq!(rules, expected, "{old} to {new}");
            }
        }
    }
    let keys = [
        "message A { map<string, bool> a = 1; }",
        "message A { map<int32, bool> a = 1; }",
    ];
    assert_eq!(step(keys[0], keys[1]), ["FIELD_WIRE_JSON_COMPATIBLE_TYPE"]);
}

#[test]
fn a_field_of_another_shape_is_refused() {
    let one = "message A { string a = 1; }";
    let list = "message A { repeated string a = 1; }";
    let map = "message A { map<string, string> a = 1; }";
    for (old, new) in [(one, list), (list, one), (one, map), (map, list)] {
        assert_eq!(step(old, new), ["FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY"]);
    }
}

#[test]
fn a_field_that_is_gone_is_reserved() {
    let old = "message A { string a = 1; }";
    let number = "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED";
    let name = "FIELD_NO_DELETE_UNLESS_NAME_RESERVED";
    assert_eq!(step(old, "message A {}"), [number, name]);
    assert_eq!(step(old, "message A { reserved 1; }"), [name]);
    assert_eq!(step(old, "message A { reserved \"a\"; }"), [number]);
    // The number is free, the name taken by another.
    assert_eq!(step(old, "message A { reserved 1; string a = 2; }"), [name]);
}

#[test]
fn reservations_stay() {
    let old = "message A { reserved 2 to 4; reserved \"b\"; }";
    assert_eq!(
        step(old, "message A { reserved \"b\"; reserved 2, 4; }"),
        ["RESERVED_MESSAGE_NO_DELETE"]
    );
    assert_eq!(
        step(old, "message A { reserved 2 to 4; }"),
        ["RESERVED_MESSAGE_NO_DELETE"]
    );
    let old = "enum E { E_0 = 0; reserved 2 to 4; reserved \"E_2\"; }";
    assert_eq!(
        step(old, "enum E { E_0 = 0; reserved \"E_2\"; }"),
        ["RESERVED_ENUM_NO_DELETE"]
    );
    assert_eq!(
        step(old, "enum E { E_0 = 0; reserved 2 to 4; }"),
        ["RESERVED_ENUM_NO_DELETE"]
    );
}

#[test]
fn names_in_json_stay() {
    assert_eq!(
        step("message A { string a = 1; }", "message A { string b = 1; }"),
        ["FIELD_SAME_JSON_NAME"]
    );
    assert_eq!(
        step(
            "message A { string a = 1; }",
            "message A { string a = 1 [json_name = \"c\"]; }"
        ),
        ["FIELD_SAME_JSON_NAME"]
    );
}

#[test]
fn fields_stay_in_their_oneof() {
    let none = "message A { string a = 1; string b = 2; }";
    let within = "message A { oneof o { string a = 1; string b = 2; } }";
    let other = "message A { oneof p { string a = 1; string b = 2; } }";
    for (old, new) in [(none, within), (within, none), (within, other)] {
        assert_eq!(step(old, new), ["FIELD_SAME_ONEOF"; 2]);
    }
}

#[test]
fn types_are_not_deleted_and_keep_their_package() {
    let old = "message A { message B {} } enum E { E_0 = 0; }";
    assert_eq!(
        step(old, "message A {} enum E { E_0 = 0; }"),
        ["MESSAGE_NO_DELETE"]
    );
    assert_eq!(step(old, "message A { message B {} }"), ["ENUM_NO_DELETE"]);
    // Who knows the earlier version reads nothing of what is not written any more.
    assert_eq!(broken(old, "message A {}", Mode::Forward), NOTHING);
    let moved = breaks(&set(old), &file("proto3", "store", old), Mode::Backward);
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(moved[0].rule, Rule::FileSamePackage);
    assert_eq!(
        moved[0].message,
        "the package was \"shop\" and is \"store\""
    );
}

#[test]
fn enum_values_keep_number_and_name() {
    let old = "enum E { E_0 = 0; E_1 = 1; }";
    assert_eq!(
        step(old, "enum E { E_0 = 0; E_X = 1; }"),
        ["ENUM_VALUE_SAME_NAME"]
    );
    assert_eq!(
        step(old, "enum E { E_0 = 0; E_1 = 2; }"),
        [
            "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED",
            "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"
        ]
    );
    assert_eq!(
        step(old, "enum E { E_0 = 0; reserved 1; }"),
        ["ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED"]
    );
    // A name that is gone may stand in stored JSON, even if the number has another.
    let alias = "enum E { option allow_alias = true; E_0 = 0; E_1 = 1; E_ONE = 1; }";
    assert_eq!(step(alias, old), ["ENUM_VALUE_SAME_NAME"]);
}

#[test]
fn required_fields_and_closed_enums_depend_on_the_direction() {
    let proto2 = |declarations: &str| file("proto2", "shop", declarations);
    let steps = |old: &str, new: &str, mode| {
        let found = breaks(&proto2(old), &proto2(new), mode);
        found
            .iter()
            .map(|broken| broken.rule.as_str())
            .collect::<Vec<_>>()
    };
    let required = "message A { required string a = 1; }";
    let optional = "message A { optional string a = 1; }";
    let none = "message A { reserved 1; reserved \"a\"; }";
    let rule = ["MESSAGE_SAME_REQUIRED_FIELDS"];
    for (old, new) in [(optional, required), (none, required)] {
        let reserved: &[_] = if old == none {
            &["RESERVED_MESSAGE_NO_DELETE"; 2]
        } else {
            &[]
        };
        assert_eq!(steps(old, new, Mode::Backward), [&rule, reserved].concat());
        assert_eq!(steps(old, new, Mode::Forward), reserved);
    }
    for (old, new) in [(required, optional), (required, none)] {
        assert_eq!(steps(old, new, Mode::Backward), NOTHING);
        assert_eq!(steps(old, new, Mode::Forward), rule);
        assert_eq!(steps(old, new, Mode::Full), rule);
    }
    let (old, new) = ("enum E { E_0 = 0; }", "enum E { E_0 = 0; E_1 = 1; }");
    assert_eq!(steps(old, new, Mode::Backward), NOTHING);
    assert_eq!(
        steps(old, new, Mode::Forward),
        ["ENUM_VALUE_NO_ADD_TO_CLOSED"]
    );
    let opened = breaks(&proto2(old), &set(old), Mode::Backward);
    assert_eq!(opened[0].rule, Rule::EnumSameType);
}

#[test]
fn a_break_names_the_file_the_element_and_the_change() {
    let found = breaks(
        &set("message A { message B { int32 n = 7; } }"),
        &set("message A { message B { string n = 7; } }"),
        Mode::Backward,
    );
    let expected = Break {
        rule: Rule::FieldWireJsonCompatibleType,
        file: "shop.proto".to_owned(),
        element: "shop.A.B.n".to_owned(),
        message: "field 7: the type was int32 and is string".to_owned(),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn where_nothing_is_asked_nothing_is_checked() {
    assert_eq!(
        broken("message A { int32 a = 1; }", "message B {}", Mode::None),
        NOTHING
    );
}

#[test]
fn modes_have_names() {
    for mode in [Mode::Backward, Mode::Forward, Mode::Full, Mode::None] {
        assert_eq!(Mode::from_stored(mode.as_str()), Some(mode));
    }
    assert_eq!(Mode::from_stored("sideways"), None);
}
