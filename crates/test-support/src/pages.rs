//! Checks of the pages that every service shows about itself.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Values of an attribute, in the order of the page.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!(" {name}=\"");
    let parts = html.split(start.as_str()).skip(1);
    parts.map(|part| part.split('"').next().unwrap()).collect()
}

/// The operations of an OpenAPI document, as `GET /path`, with their ids.
fn operations(document: &Value) -> BTreeMap<String, String> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            let method = method.to_ascii_uppercase();
            let id = operation["operationId"].as_str().unwrap();
            (format!("{method} {path}"), id.to_owned())
        })
    });
    operations.collect()
}

/// Checks the answer of `GET /` against the OpenAPI document: it has every operation, and no other.
#[track_caller]
pub fn check_index(index: &Value, document: &Value) {
    let listed = index["requests"].as_array().unwrap();
    let listed: BTreeSet<_> = listed
        .iter()
        .map(|request| {
            let [method, path, summary] =
                ["method", "path", "summary"].map(|key| request[key].as_str().unwrap());
            assert!(!summary.is_empty(), "{request}");
            format!("{method} {path}")
        })
        .collect();
    assert_eq!(listed, operations(document).into_keys().collect());
    for path in ["documentation", "openapi"] {
        let path = index[path].as_str().unwrap();
        assert!(listed.contains(&format!("GET {path}")), "{path}");
    }
}

/// Checks a page of a service: it links every operation of the OpenAPI document, runs no script,
/// loads nothing, and its policy permits exactly the one style that it has. The page with the
/// documentation explains every operation and schema, and all its own links lead somewhere.
#[track_caller]
pub fn check_page(html: &str, policy: &str, document: &Value, explains: bool) {
    let links = attributes(html, "href");
    let anchors = attributes(html, "id");
    for (operation, id) in operations(document) {
        assert!(html.contains(&format!("{operation}</code>")), "{operation}");
        assert!(links.contains(&format!("/docs#{id}").as_str()), "{id}");
        assert_eq!(anchors.contains(&id.as_str()), explains, "{id}");
    }
    if explains {
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            assert!(
                anchors.contains(&format!("schema-{name}").as_str()),
                "{name}"
            );
        }
        let own = links.iter().filter_map(|link| {
            link.strip_prefix('#')
                .or_else(|| link.strip_prefix("/docs#"))
        });
        for target in own {
            assert!(anchors.contains(&target), "{target} leads nowhere");
        }
        let unique: BTreeSet<_> = anchors.iter().collect();
        assert_eq!(unique.len(), anchors.len(), "two places have one name");
    }
    for forbidden in [
        "<script",
        "<img",
        "<link",
        "<iframe",
        "@import",
        "url(",
        " src=",
        " style=",
        " onclick=",
    ] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert!(
        links.iter().all(|link| link.starts_with(['/', '#'])),
        "{links:?}"
    );
    let style = html.split("<style>").nth(1).unwrap();
    let style = style.split("</style>").next().unwrap();
    let digest = BASE64_STANDARD.encode(Sha256::digest(style));
    let expected = format!(
        "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    assert_eq!(policy, expected);
    assert!(style.contains("color-scheme:light dark"), "{style}");
}
