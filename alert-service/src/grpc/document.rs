//! Documents of REST as `google.protobuf.Struct`.

use pbjson_types::{ListValue, Struct, value::Kind};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};
use service::rest::{Problem, ProblemKind, extract::JsonText};

/// Below this a double holds every integer.
const INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Reads a document as REST reads its body.
pub(super) fn read<T: DeserializeOwned>(field: &str, given: Option<Struct>) -> Result<T, Problem> {
    let Some(given) = given else {
        let kind = ProblemKind::InvalidRequest;
        return Err(Problem::field(kind, field, "is required"));
    };
    let text = object(given).to_string();
    if text.contains("\\u0000") {
        let kind = ProblemKind::InvalidRequest;
        return Err(Problem::field(kind, field, "holds a NUL character"));
    }
    JsonText(text.into()).read()
}

/// A document of REST.
pub(super) fn written(document: &impl Serialize) -> Result<Struct, Problem> {
    match serde_json::to_value(document) {
        Ok(Value::Object(members)) => Ok(structure(members)),
        _ => Err(Problem::new(
            ProblemKind::Internal,
            "the rule cannot be shown",
        )),
    }
}

fn object(given: Struct) -> Value {
    let members = given.fields.into_iter();
    let members = members.map(|(name, value)| (name, json(value)));
    Value::Object(members.collect())
}

fn json(given: pbjson_types::Value) -> Value {
    match given.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(truth)) => Value::Bool(truth),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => match number {
            // REST distinguishes 5 from 5.0, and Struct does not.
            whole if whole.fract() == 0.0 && whole.abs() < INTEGER_MAX => {
                Value::Number((whole as i64).into())
            }
            number => Number::from_f64(number).map_or(Value::Null, Value::Number),
        },
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(json).collect()),
        Some(Kind::StructValue(members)) => object(members),
    }
}

fn structure(members: Map<String, Value>) -> Struct {
    let fields = members.into_iter();
    Struct {
        fields: fields
            .map(|(name, value)| (name, value_of(value)))
            .collect(),
    }
}

fn value_of(value: Value) -> pbjson_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(truth) => Kind::BoolValue(truth),
        Value::String(text) => Kind::StringValue(text),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Value::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(value_of).collect(),
        }),
        Value::Object(members) => Kind::StructValue(structure(members)),
    };
    pbjson_types::Value { kind: Some(kind) }
}
