//! The direction of dependencies, as ARCHITECTURE.md states it: each crate may depend on these of
//! ours and on no others, and some libraries belong to one side of a boundary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// What a crate may depend on among ours (development dependencies aside).
const ALLOWED: [(&str, &[&str]); 15] = [
    ("atlas-events", &[]),
    ("trace-context", &[]),
    ("event-log", &["trace-context", "atlas-events"]),
    ("access", &["atlas-events"]),
    (
        "event-stream",
        &["event-log", "access", "trace-context", "atlas-events"],
    ),
    (
        "consumer",
        &["event-log", "access", "trace-context", "atlas-events"],
    ),
    (
        "service",
        &["event-log", "access", "trace-context", "atlas-events"],
    ),
    ("test-support", &["atlas-events"]),
    ("fred-stand-in", &[]),
    (
        "collector",
        &[
            "service",
            "event-stream",
            "event-log",
            "trace-context",
            "access",
            "atlas-events",
        ],
    ),
    (
        "threshold-engine",
        &[
            "service",
            "consumer",
            "event-stream",
            "event-log",
            "trace-context",
            "access",
            "atlas-events",
        ],
    ),
    (
        "alert-service",
        &[
            "service",
            "consumer",
            "event-stream",
            "event-log",
            "trace-context",
            "access",
            "atlas-events",
        ],
    ),
    (
        "atlas",
        &[
            "collector",
            "threshold-engine",
            "service",
            "access",
            "atlas-events",
        ],
    ),
    ("attack", &["access", "atlas-events"]),
    (
        "bench",
        &[
            "threshold-engine",
            "event-stream",
            "event-log",
            "atlas-events",
        ],
    ),
];

/// Libraries that a crate must not see: it would know what it must never know.
const FORBIDDEN: [(&str, &[&str]); 5] = [
    ("atlas-events", &["sqlx", "axum", "tokio"]),
    ("access", &["sqlx", "axum", "tonic", "hyper"]),
    ("event-log", &["tonic", "axum", "reqwest", "hyper"]),
    ("event-stream", &["sqlx"]),
    ("atlas", &["sqlx"]),
];

struct Package {
    dependencies: BTreeSet<String>,
    path: String,
}

fn packages() -> BTreeMap<String, Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| (text(&package["name"]), read(package)))
        .collect()
}

fn read(package: &Value) -> Package {
    let all = package["dependencies"].as_array().unwrap().iter();
    let normal = all.filter(|dependency| dependency["kind"] != "dev");
    Package {
        dependencies: normal.map(|dependency| text(&dependency["name"])).collect(),
        path: text(&package["manifest_path"]),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let ours: BTreeSet<_> = packages.keys().cloned().collect();
    let listed: BTreeSet<_> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(
        ours, listed,
        "every crate has its line here and in ARCHITECTURE.md"
    );
    for (name, allowed) in ALLOWED {
        for dependency in packages[name].dependencies.intersection(&ours) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} depends on {dependency}"
            );
        }
    }
}

#[test]
fn boundaries_hold() {
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        for library in forbidden {
            let known = packages[name].dependencies.contains(*library);
            assert!(!known, "{name} must not know {library}");
        }
    }
}

#[test]
fn the_map_names_every_crate_and_its_folder() {
    let map = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md"));
    let map = map.unwrap();
    assert!(map.lines().count() < 150, "the map is to stay short");
    for (name, package) in packages() {
        assert!(
            map.contains(&format!("| `{name}` |")),
            "{name} is not on the map"
        );
        let folder = package.path.trim_end_matches("/Cargo.toml");
        let named = map.lines().any(|line| {
            let mut cells = line.split('|').map(str::trim);
            let names_it = cells.nth(1) == Some(&format!("`{name}`"));
            let place = cells.next().map(|cell| cell.trim_matches(['`', '/']));
            names_it && place.is_some_and(|place| folder.ends_with(place))
        });
        assert!(named, "the map has {name} in another folder than {folder}");
    }
}
