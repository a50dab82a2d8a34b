//! `docker-compose.yaml` as the compose tool understands it: what it names exists, the services know
//! every variable that it sets, and with the same settings they work together, without containers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use atlas_events::{
    PublishRequest, event_publisher_client::EventPublisherClient,
    event_stream_client::EventStreamClient,
};
use serde_json::Value;
use service::{Listeners, config::Reference};
use test_support::{TestDatabase, series_event};
use tokio_util::sync::CancellationToken;
use url::Url;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const DEADLINE: Duration = Duration::from_secs(60);
const COLLECTOR: &str = "fred-collector";
const ENGINE: &str = "threshold-engine";
const ALERTS: &str = "alert-service";

static COMPOSE: LazyLock<Value> = LazyLock::new(|| {
    let output = Command::new(format!("{ROOT}/scripts/compose"))
        .arg("json")
        .env_remove("ATLAS_SECRETS")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "scripts/compose json: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
});

fn service(name: &str) -> &'static Value {
    let service = &COMPOSE["services"][name];
    assert!(service.is_object(), "there is no service {name}");
    service
}

fn environment(name: &str) -> Vec<(String, String)> {
    let variables = service(name)["environment"].as_object().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let variables = variables.iter();
    variables
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn everything_that_is_mounted_is_in_the_repository() {
    let services = COMPOSE["services"].as_object().unwrap();
    let mounts = services
        .values()
        .flat_map(|service| list(service, "volumes"));
    let mut bound = 0;
    for mount in mounts {
        let source = mount["source"].as_str().unwrap();
        match mount["type"].as_str() {
            Some("bind") => {
                assert!(
                    Path::new(source).exists(),
                    "{source} is mounted and does not exist"
                );
                bound += 1;
            }
            Some("volume") => {
                assert!(
                    COMPOSE["volumes"][source].is_object(),
                    "{source} is no volume"
                );
            }
            other => panic!("{other:?} of {source}"),
        }
    }
    assert!(bound > 0);
}

#[test]
fn images_are_made_of_what_is_here_and_ask_their_own_program_how_it_is() {
    let root = Path::new(ROOT);
    let file = service(COLLECTOR)["build"]["dockerfile"].as_str().unwrap();
    let text = std::fs::read_to_string(root.join(file)).unwrap();
    let copied = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    for line in copied.filter(|line| !line.starts_with("--from=")) {
        let (source, _) = line.split_once(' ').unwrap();
        assert!(root.join(source).exists(), "{source}");
    }
    let packages: Vec<_> = text.split("--package ").skip(1).collect();
    assert_eq!(packages.len(), 4);
    for package in packages {
        let (package, _) = package.split_once([' ', '\n']).unwrap();
        let manifest = std::fs::read_to_string(root.join(package).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{package}\"")));
    }
    assert!(text.contains(":nonroot AS runtime\n"));
    for name in [COLLECTOR, ENGINE, ALERTS] {
        let target = service(name)["build"]["target"].as_str().unwrap();
        let (_, stage) = text
            .split_once(&format!("\nFROM runtime AS {target}\n"))
            .unwrap();
        let stage = stage.split("\nFROM ").next().unwrap();
        let program = &service(name)["healthcheck"]["test"][1];
        assert_eq!(service(name)["healthcheck"]["test"][2], "health");
        assert!(
            stage.contains(&format!("ENTRYPOINT [{program}]")),
            "{stage}"
        );
        assert!(
            stage.contains(&format!("CMD [{program}, \"health\"]")),
            "{stage}"
        );
    }
}

#[test]
fn every_secret_is_a_file_that_the_script_makes() {
    let script = std::fs::read_to_string(Path::new(ROOT).join("scripts/secrets")).unwrap();
    let secrets = COMPOSE["secrets"].as_object().unwrap();
    for (name, secret) in secrets {
        let file = secret["file"].as_str().unwrap();
        assert!(file.ends_with(&format!("/{name}")), "{file}");
        assert!(
            script.contains(&format!("\nput {name} "))
                || script.contains(&format!("\nkey {name} ")),
            "scripts/secrets makes no {name}"
        );
    }
    for (name, service) in COMPOSE["services"].as_object().unwrap() {
        let given: Vec<_> = list(service, "secrets")
            .iter()
            .map(|s| &s["source"])
            .collect();
        let variables = service["environment"].as_object();
        for (variable, value) in variables.into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let Some(secret) = value.strip_prefix("/run/secrets/") else {
                let open = ["PASSWORD", "_KEY", "TOKEN"]
                    .iter()
                    .any(|w| variable.contains(w));
                assert!(!open, "{name}: {variable} is a secret and not a file");
                continue;
            };
            assert!(
                given.iter().any(|source| *source == secret),
                "{name} is given no {secret}"
            );
        }
    }
}

/// A folder that `scripts/secrets` fills.
fn make_secrets(folder: &Path, key: Option<&str>) {
    let mut script = Command::new(format!("{ROOT}/scripts/secrets"));
    script.arg(folder).env_remove("FRED_API_KEY");
    if let Some(key) = key {
        script.env("FRED_API_KEY", key);
    }
    let made = script.output().unwrap();
    let errors = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "scripts/secrets: {errors}");
}

#[test]
fn a_key_can_be_added_and_changed_after_a_run_without_one() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("secrets_of_keys");
    let _ = std::fs::remove_dir_all(&folder);
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    make_secrets(&folder, None);
    assert_eq!(read("fred_api_key"), "");
    let password = read("postgres_password");
    make_secrets(&folder, Some("first"));
    assert_eq!(read("fred_api_key"), "first");
    make_secrets(&folder, None);
    assert_eq!(read("fred_api_key"), "first");
    make_secrets(&folder, Some("second"));
    assert_eq!(read("fred_api_key"), "second");
    assert_eq!(read("postgres_password"), password);
}

/// Docker refuses a service that may use more processors than there are, and one that is asked
/// more often while it starts, before version 25.
#[test]
fn every_engine_from_one_processor_on_takes_the_file() {
    for (name, service) in COMPOSE["services"].as_object().unwrap() {
        let limit = &service["deploy"]["resources"]["limits"]["cpus"];
        let processors = limit.as_f64().or_else(|| limit.as_str()?.parse().ok());
        assert!(processors.unwrap_or(0.0) <= 1.0, "{name}: {limit}");
        let asked = &service["healthcheck"]["start_interval"];
        assert!(asked.is_null(), "{name}: start_interval {asked}");
    }
}

#[test]
fn every_variable_is_known_to_its_service() {
    let check = |name: &str, reference: Reference| {
        for (variable, _) in environment(name) {
            assert!(reference.knows_variable(&variable), "{name}: {variable}");
        }
    };
    check(COLLECTOR, collector::config::SETTINGS.reference());
    check(ENGINE, threshold_engine::config::SETTINGS.reference());
    check(ALERTS, alert_service::config::SETTINGS.reference());
}

#[test]
fn services_start_one_after_the_other_once_they_are_healthy() {
    for (name, needed) in [
        (COLLECTOR, "timescaledb"),
        (ENGINE, "timescaledb"),
        (ENGINE, COLLECTOR),
        (ALERTS, "timescaledb"),
        (ALERTS, ENGINE),
    ] {
        let condition = &service(name)["depends_on"][needed]["condition"];
        assert_eq!(condition, "service_healthy", "{name} and {needed}");
        assert!(service(needed)["healthcheck"].is_object(), "{needed}");
    }
    for (name, service) in COMPOSE["services"].as_object().unwrap() {
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(
            limits["memory"].is_string(),
            "{name} has no limit of memory"
        );
        for port in list(service, "ports") {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
    }
}

#[test]
fn alertmanager_presents_a_token_to_a_route_of_the_alert_service() {
    let read = |file| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let config = read("prometheus/alertmanager.yml");
    let value = |key: &str| {
        let lines = config.lines().map(str::trim);
        let mut values = lines.filter_map(|line| line.trim_start_matches("- ").strip_prefix(key));
        values.next().unwrap().trim().to_owned()
    };
    let url = Url::parse(&value("url:")).unwrap();
    let alertmanager = service("alertmanager");
    let secret = value("credentials_file:");
    let secret = secret.strip_prefix("/run/secrets/").unwrap();
    let given = list(alertmanager, "secrets");
    assert!(given.iter().any(|given| given["source"] == secret));
    // The route is there, and takes a POST.
    let routes = read("alert-service/src/rest/external.rs");
    assert!(
        routes.contains(&format!("post, path = \"{}\"", url.path())),
        "{url}"
    );
    let mounted = list(alertmanager, "volumes").iter();
    let mounted: Vec<_> = mounted
        .filter_map(|mount| mount["source"].as_str())
        .collect();
    assert!(
        mounted
            .iter()
            .any(|source| source.ends_with("prometheus/alertmanager.yml")),
        "{mounted:?}"
    );
}

/// `name:port` in a file or a setting, where the name is no number.
fn addresses(text: &str) -> Vec<(String, u16)> {
    let of_address = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.');
    let words = text.lines().map(|line| line.split('#').next().unwrap());
    let words = words.flat_map(|line| line.split(move |c| !of_address(c)));
    let pairs = words.filter_map(|word| word.rsplit_once(':'));
    let pairs = pairs.filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    let numbered = pairs.filter_map(|(name, port)| Some((name.to_owned(), port.parse().ok()?)));
    numbered.collect()
}

#[test]
fn everybody_is_found_under_the_name_that_others_use() {
    let files = [
        "prometheus/prometheus.yml",
        "prometheus/alertmanager.yml",
        "grafana/provisioning/datasources/atlas.yaml",
        "otel/collector.yaml",
    ];
    let read = |file| std::fs::read_to_string(Path::new(ROOT).join(file)).unwrap();
    let mut named: Vec<_> = files.map(read).iter().flat_map(|t| addresses(t)).collect();
    for name in [COLLECTOR, ENGINE, ALERTS] {
        let values = environment(name).into_iter();
        named.extend(values.flat_map(|(_, value)| addresses(&value)));
    }
    assert!(named.len() >= 8, "{named:?}");
    // What the images of others listen at, as their configuration here or they themselves say.
    let others = [
        ("prometheus", 9090),
        ("alertmanager", 9093),
        ("tempo", 3200),
        ("tempo", 4317),
        ("otel-collector", 4317),
        ("timescaledb", 5432),
    ];
    for (name, port) in named {
        service(&name);
        let of_ours = [COLLECTOR, ENGINE, ALERTS].contains(&name.as_str())
            && environment(&name).iter().any(|(key, value)| {
                key.ends_with("__ADDRESS") && value.ends_with(&format!(":{port}"))
            });
        assert!(of_ours || others.contains(&(&name, port)), "{name}:{port}");
    }
}

/// The environment of a service with hosts, ports and paths of this machine.
struct Substitution {
    database: Url,
    secrets: PathBuf,
    collector: String,
}

impl Substitution {
    fn new(database: &TestDatabase) -> Self {
        let url = Url::parse(&database.url()).unwrap();
        let folder = format!("secrets_{}", url.path().trim_start_matches('/'));
        let secrets = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
        make_secrets(&secrets, None);
        let password = secrets.join("postgres_password");
        std::fs::remove_file(&password).unwrap();
        // A server that asks for none takes any; an empty file would be refused.
        std::fs::write(&password, url.password().unwrap_or("none")).unwrap();
        Self {
            database: url,
            secrets,
            collector: String::new(),
        }
    }

    fn of(&self, name: &str) -> Vec<(String, String)> {
        let database = format!(
            "Host={};Port={};Database={};Username={}",
            self.database.host_str().unwrap(),
            self.database.port().unwrap_or(5432),
            self.database.path().trim_start_matches('/'),
            self.database.username(),
        );
        let patterns = format!("{ROOT}/threshold-engine/patterns");
        let secrets = self.secrets.display().to_string();
        let replace = |(variable, value): (String, String)| {
            let value = value
                .replace("/run/secrets", &secrets)
                .replace("/etc/atlas/patterns", &patterns)
                .replace("http://fred-collector:5001", &self.collector)
                .replace("Host=timescaledb;Database=atlas;Username=atlas", &database)
                .replace("0.0.0.0:", "127.0.0.1:");
            (variable, value)
        };
        environment(name).into_iter().map(replace).collect()
    }
}

fn any_port(address: &mut SocketAddr) {
    address.set_port(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_settings_make_services_that_work_together() {
    let database = TestDatabase::create().await;
    let mut substitution = Substitution::new(&database);
    let metrics = collector::telemetry::keep_metrics().unwrap();
    let stop = CancellationToken::new();

    let variables = substitution.of(COLLECTOR);
    let loaded = collector::config::load(&collector::config::Flags::default(), &variables);
    let mut config = loaded.unwrap().config;
    assert_eq!(config.common.grpc.address.port(), 5001);
    assert_eq!(config.common.rest.address.port(), 5000);
    any_port(&mut config.common.grpc.address);
    any_port(&mut config.common.rest.address);
    let listeners = Listeners::bind(&config).await.unwrap();
    let collecting = collector::service::Service::start(config, listeners, metrics.clone());
    let collecting = collecting.await.unwrap();
    let rest = collecting.rest_address();
    substitution.collector = format!("http://{}", collecting.grpc_address());
    let collecting = tokio::spawn(collecting.run(stop.clone()));
    healthy(rest).await;

    let variables = substitution.of(ENGINE);
    let loaded = threshold_engine::config::load(&Default::default(), &variables);
    let mut config = loaded.unwrap().config;
    any_port(&mut config.common.grpc.address);
    any_port(&mut config.common.rest.address);
    let listeners = Listeners::bind(&config).await.unwrap();
    let sources = config.consumer.sources().unwrap();
    let evaluating = threshold_engine::service::Service::start(config, sources, listeners, metrics);
    let evaluating = evaluating.await.unwrap();
    let (rest, grpc) = (evaluating.rest_address(), evaluating.grpc_address());
    let evaluating = tokio::spawn(evaluating.run(stop.clone()));
    healthy(rest).await;

    let collector = substitution.collector.clone();
    let mut publisher = EventPublisherClient::connect(collector).await.unwrap();
    let events = vec![
        series_event(1, "VIXCLS", "2024-08-02", "23.39"),
        series_event(2, "VIXCLS", "2024-08-05", "38.57"),
    ];
    publisher
        .publish(PublishRequest {
            events,
            ..PublishRequest::default()
        })
        .await
        .unwrap();
    let engine = format!("http://{grpc}");
    let mut emitted = EventStreamClient::connect(engine).await.unwrap();
    test_support::eventually(DEADLINE, async || {
        emitted.get_latest_event_time(()).await.is_ok()
    })
    .await;

    stop.cancel();
    collecting.await.unwrap().unwrap();
    evaluating.await.unwrap().unwrap();
    std::fs::remove_dir_all(&substitution.secrets).unwrap();
}

/// As the containers ask themselves.
async fn healthy(rest: SocketAddr) {
    test_support::eventually(DEADLINE, async || {
        let asked = tokio::task::spawn_blocking(move || service::ask_readiness(rest, None));
        asked.await.unwrap().is_ok()
    })
    .await;
}
