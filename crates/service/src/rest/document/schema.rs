//! JSON schemas of the document, in words.

use serde_json::Value;

use super::html::{escaped, prose, table};

/// Where the document keeps its schemas.
const SCHEMAS: &str = "#/components/schemas/";

/// The type of a schema, as HTML: a link for one with a name.
pub(super) fn type_of(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escaped(reference.strip_prefix(SCHEMAS).unwrap_or(reference));
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(parts) = schema[several].as_array() {
            return parts.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let named = names.into_iter().map(|name| match name {
        "array" => format!("array of {}", type_of(&schema["items"])),
        _ => escaped(name),
    });
    let mut shown = named.collect::<Vec<_>>().join(" or ");
    if let Some(format) = schema["format"].as_str() {
        shown.push_str(&format!(" ({})", escaped(format)));
    }
    let values = schema["enum"].as_array().into_iter().flatten();
    let values: Vec<_> = values.filter_map(Value::as_str).map(escaped).collect();
    if !values.is_empty() {
        shown.push_str(&format!(
            ": <code>{}</code>",
            values.join("</code>, <code>")
        ));
    }
    for (key, word) in [
        ("minimum", "from"),
        ("maximum", "to"),
        ("default", "default"),
    ] {
        match &schema[key] {
            Value::Null => {}
            value => shown.push_str(&format!(", {word} {}", escaped(&value.to_string()))),
        }
    }
    shown
}

/// A schema with a name: what it is, and the table of its members.
pub(super) fn section(name: &str, schema: &Value) -> String {
    let required = schema["required"].as_array().into_iter().flatten();
    let required: Vec<_> = required.filter_map(Value::as_str).collect();
    let members = schema["properties"].as_object().into_iter().flatten();
    let rows: Vec<_> = members
        .map(|(member, schema)| {
            let presence = if required.contains(&member.as_str()) {
                "required"
            } else {
                "optional"
            };
            [
                format!("<code>{}</code>", escaped(member)),
                type_of(schema),
                presence.to_owned(),
                prose(schema["description"].as_str().unwrap_or_default()),
            ]
        })
        .collect();
    let kind = if rows.is_empty() {
        format!("<p>{}</p>\n", type_of(schema))
    } else {
        String::new()
    };
    let name = escaped(name);
    let about = prose(schema["description"].as_str().unwrap_or_default());
    let members = table(["member", "type", "", "meaning"], &rows);
    format!("<h3 id=\"schema-{name}\">{name}</h3>\n<p>{about}</p>\n{kind}{members}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn types_are_in_words() {
        let named = json!({"$ref": "#/components/schemas/Event"});
        let link = "<a href=\"#schema-Event\">Event</a>";
        for (schema, expected) in [
            (named.clone(), link.to_owned()),
            (
                json!({"type": "array", "items": named}),
                format!("array of {link}"),
            ),
            (
                json!({"type": ["string", "null"]}),
                "string or null".to_owned(),
            ),
            (
                json!({"type": "string", "format": "date"}),
                "string (date)".to_owned(),
            ),
            (
                json!({"type": "string", "enum": ["a", "b"]}),
                "string: <code>a</code>, <code>b</code>".to_owned(),
            ),
            (
                json!({"type": "integer", "minimum": 1, "default": 7}),
                "integer, from 1, default 7".to_owned(),
            ),
            (
                json!({"oneOf": [{"type": "null"}, named]}),
                format!("null or {link}"),
            ),
            (json!({}), "any".to_owned()),
        ] {
            assert_eq!(type_of(&schema), expected, "{schema}");
        }
    }
}
