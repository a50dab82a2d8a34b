use std::sync::Arc;

use proptest::prelude::*;
use prost_reflect::DescriptorPool;
use prost_types::Any;

use super::*;
use crate::{
    DescriptorSet,
    testing::{file, set},
};

const ORDER: &str = r#"
    message Order {
      string id = 1;
      int64 cents = 2;
      repeated int32 counts = 3;
      repeated Line lines = 4;
      map<string, Line> by_name = 5;
      google.protobuf.Timestamp at = 6;
      google.protobuf.Any more = 7;
      oneof how { bool cash = 8; bytes card = 9; }
      double weight = 10;
      Order before = 11;
      State state = 12;
      google.protobuf.Value value = 13;
      google.protobuf.Int64Value wrapped = 14;
      message Line { string name = 1; float price = 2; }
    }
    enum State { STATE_NEW = 0; STATE_PAID = 1; }
"#;

fn order(set: &Arc<DescriptorSet>) -> MessageDescriptor {
    set.pool().get_message_by_name("shop.Order").unwrap()
}

/// Bytes that say it in JSON.
fn bytes(json: &str) -> Vec<u8> {
    TypedPayload::from_json(&order(&set(ORDER)), json)
        .unwrap()
        .encode()
}

fn refused(bytes: &[u8]) -> String {
    TypedPayload::decode(&order(&set(ORDER)), bytes)
        .unwrap_err()
        .to_string()
}

#[test]
fn a_payload_is_the_same_in_bytes_and_in_json() {
    let json = r#"{"id":"a-1","cents":"9223372036854775807","counts":[1,-2],"lines":[{"name":"x","price":1.5}],"byName":{"k":{"name":"y"}},"at":"2026-02-03T04:05:06.000007Z","more":{"@type":"type.googleapis.com/shop.Order.Line","name":"z"},"card":"AP8=","weight":"NaN","before":{"id":"b"},"state":"STATE_PAID","value":{"a":[null,1.5,"t"]},"wrapped":"12"}"#;
    let of = order(&set(ORDER));
    let read = TypedPayload::from_json(&of, json).unwrap();
    assert_eq!(read.to_json().unwrap(), json);
    let decoded = TypedPayload::decode(&of, &read.encode()).unwrap();
    assert_eq!(decoded.to_json().unwrap(), json);
}

#[test]
fn fields_that_the_type_does_not_have_are_kept() {
    let newer = set(&ORDER.replacen("string id = 1;", "string id = 1; string note = 99;", 1));
    let encoded = TypedPayload::from_json(&order(&newer), r#"{"id":"a","note":"kept"}"#)
        .unwrap()
        .encode();
    let older = TypedPayload::decode(&order(&set(ORDER)), &encoded).unwrap();
    assert_eq!(older.to_json().unwrap(), r#"{"id":"a"}"#);
    let again = TypedPayload::decode(&order(&newer), &older.encode()).unwrap();
    assert_eq!(again.to_json().unwrap(), r#"{"id":"a","note":"kept"}"#);
}

#[test]
fn a_misfit_names_its_field() {
    // Field 4 (lines), within it field 1 (name), as a varint.
    assert_eq!(
        refused(&[0x22, 0x02, 0x08, 0x01]),
        "lines.name: is encoded as a varint, where bytes with a length is expected: these are bytes of another type"
    );
    // Field 5 (by_name), its value (2), its name (1), not UTF-8.
    assert_eq!(
        refused(&[0x2a, 0x05, 0x12, 0x03, 0x0a, 0x01, 0xff]),
        "by_name.value.name: is not UTF-8"
    );
    assert_eq!(refused(&[0x0a, 0x01, 0x00]), "id: contains a NUL character");
    assert_eq!(refused(&[0x0a, 0x05, b'a']), "id: is cut off");
    assert_eq!(
        refused(&[0x52, 0x01, 0x00]),
        "weight: is encoded as bytes with a length, where 64 bits is expected: these are bytes of another type"
    );
    // A packed list that ends within a number.
    assert_eq!(
        refused(&[0x1a, 0x01, 0x80]),
        "counts: is not in the wire format"
    );
    assert_eq!(refused(&[0xff]), "is not in the wire format");
    // The end of a group that did not begin, and one that does not end.
    assert_eq!(refused(&[0x0c]), "a group ends that did not begin");
    // Field 99 is not known: still it has to be in the wire format.
    assert_eq!(refused(&[0x9a, 0x06, 0x05]), "is not in the wire format");
}

#[test]
fn lists_are_read_packed_and_one_by_one() {
    let of = order(&set(ORDER));
    for encoded in [&[0x1a, 0x02, 0x01, 0x02][..], &[0x18, 0x01, 0x18, 0x02]] {
        let read = TypedPayload::decode(&of, encoded).unwrap();
        assert_eq!(read.to_json().unwrap(), r#"{"counts":[1,2]}"#);
    }
}

#[test]
fn what_has_no_form_in_json_is_refused() {
    let set = set(ORDER);
    let json = |bytes: &[u8]| {
        TypedPayload::decode(&order(&set), bytes).and_then(|payload| payload.to_json())
    };
    // `at` with seconds beyond the year 9999.
    let mut late = vec![0x32, 0x07, 0x08];
    prost::encoding::encode_varint(253_402_300_800, &mut late);
    late[1] = u8::try_from(late.len() - 2).unwrap();
    assert!(json(&late).is_err());
}

#[test]
fn an_any_of_it_has_its_fields_beside_the_type() {
    let of = order(&set(ORDER));
    let any = |json: &str| {
        TypedPayload::from_json(&of, json)
            .unwrap()
            .to_any_json()
            .unwrap()
    };
    assert_eq!(any("{}"), r#"{"@type":"type.googleapis.com/shop.Order"}"#);
    assert_eq!(
        any(r#"{"id":"a","cents":"5"}"#),
        r#"{"@type":"type.googleapis.com/shop.Order","id":"a","cents":"5"}"#
    );
}

#[test]
fn values_have_a_bound() {
    let of = order(&set(ORDER));
    // Packed, one by one, empty messages, and fields that are not known.
    let packed = |count: usize| {
        let mut encoded = vec![0x1a];
        prost::encoding::encode_varint(count as u64, &mut encoded);
        [encoded, vec![1; count]].concat()
    };
    TypedPayload::decode(&of, &packed(VALUES_MAX)).unwrap();
    let refusal = "has more than 100000 values";
    assert!(refused(&packed(VALUES_MAX + 1)).ends_with(refusal));
    for one in [&[0x18, 1][..], &[0x22, 0], &[0x98, 0x06, 1]] {
        TypedPayload::decode(&of, &one.repeat(VALUES_MAX)).unwrap();
        assert!(refused(&one.repeat(VALUES_MAX + 1)).ends_with(refusal));
    }
}

#[test]
fn json_of_another_type_is_refused() {
    let of = order(&set(ORDER));
    for text in [
        r#"{"nothing":1}"#,
        r#"{"id":1}"#,
        r#"{"cents":"1e30"}"#,
        r#"{"id":"a"} x"#,
        "[]",
        "",
        r#"{"id":"a\u0000b"}"#,
        r#"{"state":"STATE_LOST"}"#,
        r#"{"more":{"@type":"type.googleapis.com/shop.Missing"}}"#,
    ] {
        assert!(TypedPayload::from_json(&of, text).is_err(), "{text}");
    }
}

#[test]
fn required_fields_are_there() {
    let set = file(
        "proto2",
        "shop",
        "message A { required string a = 1; optional group G = 2 { optional int32 n = 1; } }",
    );
    let of = set.pool().get_message_by_name("shop.A").unwrap();
    assert_eq!(
        TypedPayload::decode(&of, &[]).unwrap_err().to_string(),
        "a: is required"
    );
    TypedPayload::decode(&of, &[0x0a, 0x00]).unwrap();
    let group = [0x0a, 0x00, 0x13, 0x08, 0x05, 0x14];
    assert_eq!(
        TypedPayload::decode(&of, &group)
            .unwrap()
            .to_json()
            .unwrap(),
        r#"{"a":"","g":{"n":5}}"#
    );
    assert_eq!(
        TypedPayload::decode(&of, &group[..5])
            .unwrap_err()
            .to_string(),
        "g: a group does not end"
    );
}

/// A message in field 11 (before) of another, so many times.
fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |inner, _| {
        let mut outer = vec![0x5a];
        prost::encoding::encode_varint(inner.len() as u64, &mut outer);
        [outer, inner].concat()
    })
}

#[test]
fn nesting_has_a_bound() {
    let of = order(&set(ORDER));
    TypedPayload::decode(&of, &nested(NESTING_MAX))
        .unwrap()
        .to_json()
        .unwrap();
    for levels in [NESTING_MAX + 1, 90, 100_000] {
        let refused = refused(&nested(levels));
        assert!(
            refused.ends_with("messages are nested more than 50 deep"),
            "{refused}"
        );
    }
    // Groups of unknown fields.
    let groups = [0x9b, 0x06].repeat(200_000);
    assert_eq!(refused(&groups), "is not in the wire format");
}

/// An `Any` in field 7 (more) of an order, so many times.
fn any_levels(levels: usize) -> Vec<u8> {
    (0..levels).fold(Vec::new(), |value, _| {
        let any = Any {
            type_url: "type.googleapis.com/shop.Order".to_owned(),
            value,
        };
        let any = any.encode_to_vec();
        let mut outer = vec![0x3a];
        prost::encoding::encode_varint(any.len() as u64, &mut outer);
        [outer, any].concat()
    })
}

#[test]
fn any_in_any_has_a_bound() {
    let of = order(&set(ORDER));
    TypedPayload::decode(&of, &any_levels(ANY_LEVELS_MAX))
        .unwrap()
        .to_json()
        .unwrap();
    for levels in [ANY_LEVELS_MAX + 1, 10_000] {
        let refused = refused(&any_levels(levels));
        assert!(
            refused.ends_with("google.protobuf.Any holds others more than 3 deep"),
            "{refused}"
        );
    }
    // One that is empty, and one of a type that nobody knows.
    TypedPayload::decode(&of, &[0x3a, 0x00]).unwrap();
    let unknown = Any {
        type_url: "x/shop.Missing".to_owned(),
        value: Vec::new(),
    }
    .encode_to_vec();
    let mut encoded = vec![0x3a, u8::try_from(unknown.len()).unwrap()];
    encoded.extend(unknown);
    assert_eq!(
        refused(&encoded),
        "more: the type \"shop.Missing\" is not in the same set of descriptors"
    );
}

proptest! {
    /// Whatever passes decodes with the library and has the same content after JSON.
    #[test]
    fn no_bytes_panic_and_what_passes_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let of = order(&set(ORDER));
        if let Ok(payload) = TypedPayload::decode(&of, &bytes) {
            prop_assert!(DynamicMessage::decode(of.clone(), &*bytes).is_ok());
            if let Ok(json) = payload.to_json() {
                let again = TypedPayload::from_json(&of, &json).unwrap();
                prop_assert_eq!(again.to_json().unwrap(), json);
            }
        }
    }
}

#[test]
fn a_pool_of_the_well_known_types_is_enough() {
    let of = DescriptorPool::global()
        .get_message_by_name("google.protobuf.Timestamp")
        .unwrap();
    assert!(TypedPayload::decode(&of, &bytes("{}")).is_ok());
}
