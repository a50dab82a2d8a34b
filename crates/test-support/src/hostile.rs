//! Texts that no client should send, put wherever a service reads one.

use serde_json::{Map, Value, json};

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// It holds what no database stores.
    Nul,
    /// It holds what controls a terminal.
    Control,
    /// It is of 50,000 characters.
    Long,
}

/// One of each kind.
pub fn texts() -> [(Text, String); 3] {
    [
        (Text::Nul, "a\0b".to_owned()),
        (Text::Control, "a\u{1b}[31mb".to_owned()),
        (Text::Long, "x".repeat(50_000)),
    ]
}

/// A request of REST that holds such a text in one place.
#[derive(Debug, Clone)]
pub struct Hostile {
    /// What is wrong with the text.
    pub text: Text,
    /// Such as `GET`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// In JSON, if the operation takes one.
    pub body: Option<String>,
}

/// A request for each text that an OpenAPI document has as a parameter or at the top of a body.
pub fn hostile_requests(document: &Value) -> Vec<Hostile> {
    let mut requests = Vec::new();
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let mut add = |text, path: String, body: Option<Value>| {
                requests.push(Hostile {
                    text,
                    method: method.to_ascii_uppercase(),
                    path,
                    body: body.map(|body| body.to_string()),
                });
            };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let empty = (!schema.is_null()).then(|| json!({}));
            let parameters = operation["parameters"].as_array();
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                for (text, own) in texts() {
                    // Bounds of the HTTP library come before ours.
                    let own: String = escaped(&own).chars().take(8_000).collect();
                    let path = match parameter["in"] == "path" {
                        true => filled(route, &own),
                        false => format!("{}?{name}={own}", filled(route, "x")),
                    };
                    add(text, path, empty.clone());
                }
            }
            for name in fields(document, schema) {
                for (text, own) in texts() {
                    let body = Map::from_iter([(name.clone(), Value::String(own))]);
                    add(text, filled(route, "x"), Some(Value::Object(body)));
                }
            }
        }
    }
    requests
}

/// A route with its variable part.
fn filled(route: &str, part: &str) -> String {
    match route.split_once('{') {
        Some((before, behind)) => {
            let behind = behind.split_once('}').unwrap().1;
            format!("{before}{part}{behind}")
        }
        None => route.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    text.bytes().map(escape).collect()
}

/// The names of what a body holds.
fn fields(document: &Value, schema: &Value) -> Vec<String> {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => schema,
    };
    let alternatives = schema["oneOf"].as_array().into_iter().flatten();
    let own = schema["properties"].as_object().into_iter().flatten();
    let own: Vec<_> = own.map(|(name, _)| name.clone()).collect();
    alternatives
        .flat_map(|alternative| fields(document, alternative))
        .chain(own)
        .collect()
}
