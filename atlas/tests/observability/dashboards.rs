//! The committed dashboards: what is asked in them, and what every panel has to have.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
};

use serde_json::Value;

use crate::{grafana_sql, repository};

/// A query of a panel, an annotation or a variable.
#[derive(Debug)]
pub(crate) struct Query {
    place: String,
    pub(crate) is_sql: bool,
    /// For SQL, with Grafana's macros and variables put in.
    pub(crate) text: String,
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

fn all() -> BTreeMap<String, Value> {
    let files = fs::read_dir(repository("grafana/dashboards")).unwrap();
    let dashboards: BTreeMap<_, _> = files
        .map(|file| file.unwrap().path())
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, serde_json::from_str(&text).unwrap())
        })
        .collect();
    assert!(dashboards.len() >= 5);
    dashboards
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = list(&dashboard["panels"]).iter();
    panels.filter(|panel| panel["type"] != "row")
}

/// Every query of every dashboard.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (name, dashboard) in all() {
        let mut add = |place: &str, target: &Value| {
            let sql = target["rawSql"].as_str();
            let text = sql.or(target["expr"].as_str());
            queries.push(Query {
                place: format!("{name}, {place}"),
                is_sql: sql.is_some(),
                text: sql.map_or_else(
                    || text.unwrap().to_owned(),
                    |sql| grafana_sql::expand(sql, &dashboard),
                ),
            });
        };
        for panel in panels(&dashboard) {
            for target in list(&panel["targets"]) {
                add(panel["title"].as_str().unwrap(), target);
            }
        }
        for annotation in list(&dashboard["annotations"]["list"]) {
            add(annotation["name"].as_str().unwrap(), &annotation["target"]);
        }
    }
    queries
}

/// Every panel has a title, a description, a unit, thresholds, a place of its own and queries.
pub(crate) fn check() {
    let sources = fs::read_to_string(repository("grafana/provisioning/datasources/atlas.yaml"));
    let sources = sources.unwrap();
    for (name, dashboard) in all() {
        assert_eq!(dashboard["uid"], name.as_str());
        assert!(!list(&dashboard["templating"]["list"]).is_empty(), "{name}");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in panels(&dashboard) {
            let place = format!("{name}, {}", panel["title"]);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{place}: id");
            let text = |key: &str| panel[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(text("title") && text("description"), "{place}");
            let defaults = &panel["fieldConfig"]["defaults"];
            assert!(defaults["unit"].is_string(), "{place}: unit");
            let steps = list(&defaults["thresholds"]["steps"]);
            assert!(!steps.is_empty(), "{place}: thresholds");
            assert!(!list(&panel["targets"]).is_empty(), "{place}: queries");
            for target in list(&panel["targets"]) {
                let uid = target["datasource"]["uid"].as_str().unwrap();
                assert!(sources.contains(&format!("uid: {uid}\n")), "{place}: {uid}");
            }
            let number = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            for x in number("x")..number("x") + number("w") {
                for y in number("y")..number("y") + number("h") {
                    assert!(x < 24 && taken.insert((x, y)), "{place} lies on another");
                }
            }
        }
    }
}

/// Every alert says in which part of the operations guide stands what to do about it.
pub(crate) fn check_runbooks() {
    let alerts = fs::read_to_string(repository("prometheus/alerts.yaml")).unwrap();
    let guide = fs::read_to_string(repository("docs/operations.md")).unwrap();
    let headings = guide.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<String> = headings
        .map(|line| line.trim_start_matches(['#', ' ']))
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect();
    let count = |word: &str| alerts.matches(word).count();
    assert_eq!(count("- alert:"), count("runbook_url:"));
    // An alert that comes and goes is one alert.
    assert_eq!(count("- alert:"), count("keep_firing_for: "));
    for line in alerts.lines() {
        if let Some((_, link)) = line.split_once("runbook_url: ") {
            let anchor = link.strip_prefix("docs/operations.md#").unwrap();
            assert!(anchors.contains(anchor), "{link}");
        }
    }
}
