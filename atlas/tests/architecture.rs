//! The direction of dependencies, as ARCHITECTURE.md states it: each crate may depend on these of
//! ours and on no others, and some libraries belong to one side of a boundary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What a crate may depend on among ours (development dependencies aside).
const ALLOWED: [(&str, &[&str]); 18] = [
    ("atlas-events", &[]),
    ("trace-context", &[]),
    ("evaluation", &[]),
    ("event-types", &[]),
    (
        "event-log",
        &["event-types", "trace-context", "atlas-events"],
    ),
    ("schedule", &[]),
    ("access", &["atlas-events"]),
    (
        "event-stream",
        &[
            "event-log",
            "event-types",
            "access",
            "trace-context",
            "atlas-events",
        ],
    ),
    (
        "consumer",
        &["event-log", "access", "trace-context", "atlas-events"],
    ),
    (
        "service",
        &[
            "consumer",
            "event-stream",
            "event-log",
            "access",
            "trace-context",
            "atlas-events",
        ],
    ),
    ("test-support", &["atlas-events"]),
    ("fred-stand-in", &[]),
    (
        "collector",
        &[
            "service",
            "event-log",
            "schedule",
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
            "evaluation",
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
            "evaluation",
            "event-log",
            "schedule",
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
            "alert-service",
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
            "service",
            "evaluation",
            "event-stream",
            "event-log",
            "atlas-events",
        ],
    ),
];

/// Libraries that a crate must not see: it would know what it must never know.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    ("atlas-events", &["sqlx", "axum", "tokio"]),
    (
        "evaluation",
        &["sqlx", "axum", "tokio", "tonic", "reqwest", "hyper"],
    ),
    ("event-types", &["sqlx", "axum", "tokio", "tonic"]),
    ("schedule", &["sqlx", "tokio"]),
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

/// Where a filter that shows everything is built: by an access without limits, and for a process that reads for
/// itself, as the alert service does for its stream of alerts, of which everybody gets their own. Everybody else gets
/// theirs from `Access::narrow`.
const UNRESTRICTED: [&str; 6] = [
    "alert-service/src/rest/stream.rs",
    "bench/src/workloads/page_cost.rs",
    "collector/src/rest/event_page.rs",
    "crates/access/src/grant.rs",
    "crates/consumer/src/source/in_process.rs",
    "proto/src/filter.rs",
];

#[test]
fn only_an_access_shows_everything() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut found = BTreeSet::new();
    for package in packages().values() {
        let manifest = Path::new(&package.path);
        for file in sources(&manifest.with_file_name("src")) {
            let text = fs::read_to_string(&file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let names_it = |line: &str| {
                let is_comment = line.trim_start().starts_with("//");
                !is_comment && line.contains("unrestricted(")
            };
            if code.lines().any(names_it) {
                let root = root.canonicalize().unwrap();
                let file = file.strip_prefix(root).unwrap();
                found.insert(file.to_string_lossy().into_owned());
            }
        }
    }
    let allowed = UNRESTRICTED.map(str::to_owned);
    assert_eq!(found, BTreeSet::from(allowed));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => sources(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
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
