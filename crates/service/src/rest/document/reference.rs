//! `GET /docs`: the OpenAPI document as a page.

use serde_json::Value;

use super::{
    Operation, html,
    html::{escaped, paragraphs, prose, table},
    schema,
};

/// The page.
pub(super) fn page(document: &Value, operations: &[Operation<'_>]) -> String {
    let title = escaped(document["info"]["title"].as_str().unwrap_or_default());
    let version = escaped(document["info"]["version"].as_str().unwrap_or_default());
    let about = paragraphs(document["info"]["description"].as_str().unwrap_or_default());
    let mut body = format!(
        "<h1>{title} {version}</h1>\n{about}<p>For programs: \
         <a href=\"/openapi.json\"><code>/openapi.json</code></a> (OpenAPI 3.1).</p>\n"
    );
    let rows: Vec<_> = operations.iter().map(Operation::row).collect();
    body.push_str(&table(["request", "what it does"], &rows));
    for tag in document["tags"].as_array().into_iter().flatten() {
        let name = tag["name"].as_str().unwrap_or_default();
        let about = prose(tag["description"].as_str().unwrap_or_default());
        body.push_str(&format!("<h2>{}</h2>\n<p>{about}</p>\n", escaped(name)));
        let tagged = operations
            .iter()
            .filter(|operation| operation.tag() == name);
        tagged.for_each(|operation| body.push_str(&section(operation)));
    }
    body.push_str("<h2>Schemas</h2>\n");
    let schemas = document["components"]["schemas"].as_object();
    for (name, schema) in schemas.into_iter().flatten() {
        body.push_str(&schema::section(name, schema));
    }
    html::page(&title, &body)
}

/// One operation: what it does, who may ask for it, what it takes and what it answers.
fn section(operation: &Operation<'_>) -> String {
    let Operation { path, about, .. } = operation;
    let (id, method) = (operation.anchor(), operation.shown_method());
    let path = escaped(path);
    let summary = prose(operation.summary());
    let description = paragraphs(about["description"].as_str().unwrap_or_default());
    let access = access(&about["security"]);
    let parameters = about["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<_> = parameters.map(parameter).collect();
    let parameters = table(["parameter", "in", "type", "meaning"], &parameters);
    let body = about["requestBody"]["content"]
        .as_object()
        .into_iter()
        .flatten();
    let body: String = body
        .map(|(media_type, content)| {
            let (media_type, kind) = (escaped(media_type), schema::type_of(&content["schema"]));
            format!("<p>Body: <code>{media_type}</code>, {kind}</p>\n")
        })
        .collect();
    let answers = about["responses"].as_object().into_iter().flatten();
    let answers: Vec<_> = answers
        .map(|(status, answer)| {
            let contents = answer["content"].as_object().into_iter().flatten();
            let kinds = contents.map(|(media_type, content)| match &content["schema"] {
                Value::Null => format!("<code>{}</code>", escaped(media_type)),
                schema => schema::type_of(schema),
            });
            [
                escaped(status),
                kinds.collect::<Vec<_>>().join(" or "),
                prose(answer["description"].as_str().unwrap_or_default()),
            ]
        })
        .collect();
    let answers = table(["status", "answer", "meaning"], &answers);
    format!(
        "<h3 id=\"{id}\"><code>{method} {path}</code></h3>\n<p><strong>{summary}</strong></p>\n\
         {description}<p>{access}</p>\n{parameters}{body}{answers}"
    )
}

fn parameter(parameter: &Value) -> [String; 4] {
    let name = escaped(parameter["name"].as_str().unwrap_or_default());
    let place = escaped(parameter["in"].as_str().unwrap_or_default());
    let required = if parameter["required"] == true {
        ", required"
    } else {
        ""
    };
    [
        format!("<code>{name}</code>"),
        format!("{place}{required}"),
        schema::type_of(&parameter["schema"]),
        prose(parameter["description"].as_str().unwrap_or_default()),
    ]
}

/// Who may make a request, by what the document says of it.
fn access(security: &Value) -> String {
    let said = security[0]["token"].as_array().into_iter().flatten();
    let said: Vec<_> = said.filter_map(Value::as_str).collect();
    match said.as_slice() {
        [] => "No token is needed.".to_owned(),
        [scope] => format!(
            "Where tokens are configured: the scope <code>{}</code>.",
            escaped(scope)
        ),
        [scope, limits @ ..] => format!(
            "Where tokens are configured: the scope <code>{}</code> (<code>{}</code>).",
            escaped(scope),
            escaped(&limits.join(", "))
        ),
    }
}
