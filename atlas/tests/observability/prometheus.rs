//! A real Prometheus with the committed configuration and rules, which scrapes once a second.

use std::{
    fs,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::Value;
use test_support::eventually;

use crate::{DEADLINE, repository};

/// Long enough for a rate, as Grafana would choose it for a scrape interval of a second.
const RATE_INTERVAL: &str = "60s";

/// Nobody listens there.
const ALERTMANAGER: &str = "127.0.0.1:9";
/// Nor there: in place of the one that the configuration names.
const OF_COMPOSE: &str = "127.0.0.1:8";

pub(crate) struct Prometheus {
    child: Child,
    url: String,
    client: reqwest::Client,
    folder: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Prometheus {
    /// `targets` are those of collectors, of engines, and of alert services.
    pub(crate) async fn start(targets: &[Vec<String>; 3]) -> Self {
        let name = format!("atlas-prometheus-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let config = fs::read_to_string(repository("prometheus/prometheus.yml")).unwrap();
        let config = config
            .replace("15s", "1s")
            .replace("fred-collector:5000", &targets[0].join("\", \""))
            .replace("threshold-engine:5100", &targets[1].join("\", \""))
            .replace("alert-service:8082", &targets[2].join("\", \""))
            .replace("alertmanager:9093", OF_COMPOSE);
        fs::write(folder.join("prometheus.yaml"), config).unwrap();
        let rules = repository("prometheus/alerts.yaml");
        fs::copy(rules, folder.join("alerts.yaml")).unwrap();
        fs::create_dir_all(folder.join("alertmanagers")).unwrap();
        let alertmanager = format!("- targets: [\"{ALERTMANAGER}\"]\n");
        fs::write(folder.join("alertmanagers/of-the-test.yaml"), alertmanager).unwrap();
        // Prometheus does not say which port it was given, so one is looked for beforehand.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let at = |name: &str| folder.join(name).display().to_string();
        let child = Command::new(repository("scripts/prometheus"))
            .arg("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yaml")))
            .arg(format!("--storage.tsdb.path={}", at("data")))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--log.level=warn")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let prometheus = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            client: reqwest::Client::new(),
            folder,
        };
        let count = targets.concat().len();
        eventually(DEADLINE, async || prometheus.scrapes(count).await).await;
        prometheus
    }

    async fn scrapes(&self, count: usize) -> bool {
        let up = self.query("up == 1").await;
        up.is_some_and(|up| up.len() == count)
    }

    /// The answer to a query: its series, each with a value.
    async fn query(&self, query: &str) -> Option<Vec<Value>> {
        let request = self
            .client
            .get(format!("{}/api/v1/query", self.url))
            .query(&[("query", query)]);
        let answer = request.send().await.ok()?;
        let answer: Value = answer.json().await.ok()?;
        assert_ne!(answer["status"], "error", "{query}: {answer}");
        Some(answer["data"]["result"].as_array()?.clone())
    }

    /// Whether the query of a panel returns a number.
    pub(crate) async fn answers(&self, query: &str) -> bool {
        let query = query
            .replace("$__rate_interval", RATE_INTERVAL)
            .replace("$instance", ".*");
        let found = self.query(&query).await.unwrap();
        found.iter().any(|series| series["value"][1] != "NaN")
    }

    /// Waits until it sends alerts to the Alertmanager of compose and to the one that a file in the folder names.
    pub(crate) async fn knows_the_alertmanagers(&self) {
        let url = format!("{}/api/v1/alertmanagers", self.url);
        eventually(DEADLINE, async || {
            let answer = self.client.get(&url).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            let active = answer["data"]["activeAlertmanagers"].as_array().unwrap();
            [ALERTMANAGER, OF_COMPOSE].iter().all(|address| {
                let address = format!("//{address}/");
                let mut urls = active.iter().filter_map(|known| known["url"].as_str());
                urls.any(|url| url.contains(&address))
            })
        })
        .await;
    }

    /// Waits until each rule was evaluated, and checks that none failed.
    pub(crate) async fn evaluated_every_rule(&self) {
        let url = format!("{}/api/v1/rules", self.url);
        eventually(DEADLINE, async || {
            let answer = self.client.get(&url).send().await.unwrap();
            let answer: Value = answer.json().await.unwrap();
            let groups = answer["data"]["groups"].as_array().unwrap().clone();
            let mut rules = groups
                .iter()
                .flat_map(|group| group["rules"].as_array().unwrap());
            !groups.is_empty()
                && rules.all(|rule| {
                    assert_ne!(rule["health"], "err", "{rule}");
                    rule["health"] == "ok"
                })
        })
        .await;
    }
}
