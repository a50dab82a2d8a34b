//! What is watched, by what watches it: a collector and an engine under load, each a process of its
//! own, scraped by a real Prometheus; every query of every dashboard, and the page of metrics.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on is to fail loudly, where it stands"
)]

mod alerting;
mod dashboards;
mod grafana_sql;
mod guarded;
mod load;
mod page;
mod process;
mod prometheus;
mod scrape;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use dashboards::Query;
use load::Load;
use tokio::time::{Instant, interval};

/// What takes longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(60);

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// Asks until every query has been answered with something, while the load goes on.
async fn ask_all(load: &Load, prometheus: &prometheus::Prometheus, queries: &[Query]) {
    let end = Instant::now() + DEADLINE;
    let mut open: Vec<&Query> = queries.iter().collect();
    let mut rounds = interval(Duration::from_millis(250));
    while !open.is_empty() {
        rounds.tick().await;
        load.once().await;
        let mut unanswered = Vec::new();
        for query in open {
            let answered = match query.is_sql {
                true => load.rows(&query.text).await > 0,
                false => prometheus.answers(&query.text).await,
            };
            if !answered {
                unanswered.push(query);
            }
        }
        open = unanswered;
        assert!(
            Instant::now() < end,
            "nothing is returned for {}",
            open.iter()
                .map(|query| format!("\n{query}"))
                .collect::<String>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_shows_something_and_every_metric_is_described() {
    let load = Load::start().await;
    let prometheus = prometheus::Prometheus::start(&load.targets()).await;
    let queries = dashboards::queries();
    assert!(queries.len() > 80, "{}", queries.len());
    ask_all(&load, &prometheus, &queries).await;
    prometheus.evaluated_every_rule().await;
    prometheus.knows_the_alertmanagers().await;

    let mut metrics = scrape::Metrics::default();
    for target in load.targets().concat() {
        metrics.read(&scrape::get(&format!("http://{target}/metrics")).await);
    }
    metrics.check();
    page::check(&metrics);
    let used: BTreeSet<String> = queries
        .iter()
        .filter(|query| !query.is_sql)
        .flat_map(|query| scrape::names_in(&query.text))
        .collect();
    metrics.has_all(&used);
    load.stop().await;
}

#[test]
fn dashboards_are_complete() {
    dashboards::check();
}

#[test]
fn alerts_name_what_to_do() {
    dashboards::check_runbooks();
}

#[test]
fn this_program_as_a_service() {
    process::serve_if_asked();
}
