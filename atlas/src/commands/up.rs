//! The collector, the threshold engine and the alert service in one process: each reads the logs of those before it
//! without a network between them, through the same code as over gRPC.

use std::{path::PathBuf, process::ExitCode};

use alert_service::{config as alerts_config, service as alerting};
use collector::{config as collector_config, series::SeriesRegistry, service as collecting};
use futures::FutureExt;
use service::{EXIT_CONFIG, Listeners, Program, Signals, config::CommonFlags, fail};
use threshold_engine::{
    config as engine_config,
    service::{self as evaluating, Registry, Source},
};
use tokio_util::sync::CancellationToken;

use crate::arguments::UpOptions;

const PROGRAM: &str = "atlas up";
/// The names under which checkpoints are found, as where services consume over gRPC.
const COLLECTOR: &str = "collector";
const ENGINE: &str = "threshold-engine";
/// What one service has for itself: two cannot listen at one address.
const OF_ONE: [&str; 4] = ["REST__", "GRPC__", "EVENTS__", "DATABASE__SCHEMA"];
const OF_COLLECTOR: &str = "COLLECTOR__";
const OF_ENGINE: &str = "ENGINE__";
const OF_ALERTS: &str = "ALERT_SERVICE__";
/// So that it can be seen at once what is notified.
const BEGINS_WITH_LOG: &str = "channels.begin_with_log=true";

/// Runs all until a signal asks them to end, or one of them ends.
pub(crate) fn run(options: &UpOptions) -> ExitCode {
    let environment = service::environment();
    let collector = collector_config::load(
        &collector_config::Flags {
            common: common(&options.collector_config, &options.collector_set),
            ..collector_config::Flags::default()
        },
        &environment_of(OF_COLLECTOR, &environment),
    );
    let engine = engine_config::load(
        &engine_config::Flags {
            common: common(&options.engine_config, &options.engine_set),
            patterns: options.patterns.clone(),
            ..engine_config::Flags::default()
        },
        &environment_of(OF_ENGINE, &environment),
    );
    let alerts_set = std::iter::once(BEGINS_WITH_LOG.to_owned());
    let alerts_set: Vec<_> = alerts_set.chain(options.alerts_set.clone()).collect();
    let alerts = alerts_config::load(
        &alerts_config::Flags {
            common: common(&options.alerts_config, &alerts_set),
            ..alerts_config::Flags::default()
        },
        &environment_of(OF_ALERTS, &environment),
    );
    let (collector, engine, alerts) = match (collector, engine, alerts) {
        (Ok(collector), Ok(engine), Ok(alerts)) => (collector.config, engine.config, alerts.config),
        (Err(error), ..) => return fail("atlas up: collector", &error, EXIT_CONFIG),
        (_, Err(error), _) => return fail("atlas up: threshold engine", &error, EXIT_CONFIG),
        (.., Err(error)) => return fail("atlas up: alert service", &error, EXIT_CONFIG),
    };
    let _traces = match service::telemetry::begin(&collector.common.telemetry, "atlas") {
        Ok(traces) => traces,
        Err(error) => return fail(PROGRAM, &error, EXIT_CONFIG),
    };
    match run_all(collector, engine, alerts) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(PROGRAM, error.as_ref(), 1),
    }
}

fn common(config: &Option<PathBuf>, set: &[String]) -> CommonFlags {
    CommonFlags {
        config: config.clone(),
        set: set.to_vec(),
        ..CommonFlags::default()
    }
}

/// The variables that one of the services sees; its own come last, and are stronger.
fn environment_of(prefix: &str, all: &[(String, String)]) -> Vec<(String, String)> {
    let common = all.iter().filter(|(name, _)| {
        let upper = name.to_ascii_uppercase();
        let mut none = OF_ONE.iter().chain(&[OF_COLLECTOR, OF_ENGINE, OF_ALERTS]);
        !none.any(|prefix| upper.starts_with(prefix))
    });
    let own = all.iter().filter_map(|(name, value)| {
        let upper = name.to_ascii_uppercase();
        let own = upper.strip_prefix(prefix)?;
        Some((own.to_owned(), value.clone()))
    });
    common.cloned().chain(own).collect()
}

#[tokio::main]
async fn run_all(
    collector: collector_config::Config,
    engine: engine_config::Config,
    alerts: alerts_config::Config,
) -> anyhow::Result<()> {
    let metrics = collector::telemetry::keep_metrics()?;
    evaluating::describe_metrics();
    alerting::describe_metrics();
    let mut signals = Signals::watch()?;
    let starting = async {
        let listeners = Listeners::bind(&collector).await?;
        let engine_listeners = Listeners::bind(&engine).await?;
        let alerts_listeners = Listeners::bind(&alerts).await?;
        let (collector, series) =
            collecting::Service::start_with_registry(collector, listeners, metrics.clone()).await?;
        let collected = Source::in_process(COLLECTOR, collector.log());
        let registry = series.map(registry_of);
        let starting = evaluating::Service::start_knowing(
            engine,
            vec![collected.clone()],
            registry,
            engine_listeners,
            metrics.clone(),
        );
        let engine = starting.await?;
        let sources = vec![Source::in_process(ENGINE, engine.log()), collected];
        let context = alert_service::Context::system();
        let alerts =
            alerting::Service::start(alerts, sources, alerts_listeners, metrics, context).await?;
        anyhow::Ok((collector, engine, alerts))
    };
    let (collector, engine, alerts) = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(()),
    };
    service::announce(&collector.ready_line(collecting::Service::TITLE))?;
    service::announce(&engine.ready_line(evaluating::Service::TITLE))?;
    service::announce(&alerts.ready_line(alerting::Service::TITLE))?;
    let shutdown = CancellationToken::new();
    let all = async {
        tokio::join!(
            run_one(collector, &shutdown),
            run_one(engine, &shutdown),
            run_one(alerts, &shutdown)
        )
    };
    let Some((collected, evaluated, alerted)) = signals.end(all, &shutdown).await else {
        anyhow::bail!("ended at once by a second signal");
    };
    alerted?;
    evaluated?;
    Ok(collected?)
}

/// Where one service ends, all do.
async fn run_one(
    service: service::Server,
    shutdown: &CancellationToken,
) -> Result<(), service::PartEnded> {
    let ended = service.run(shutdown.clone()).await;
    shutdown.cancel();
    ended
}

/// A collector that collects knows which series these are; one that only serves what others publish
/// does not know.
fn registry_of(series: SeriesRegistry) -> Registry {
    Registry::new(move || {
        let series = series.clone();
        async move { series.ids().await }.boxed()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_addresses_of_its_own() {
        let all: Vec<_> = [
            ("COLLECTOR__GRPC__PORT", "1"),
            ("Engine__Grpc__Port", "2"),
            ("GRPC__PORT", "3"),
            ("ENGINE__DATABASE_URL", "postgres://other/atlas"),
            ("ALERT_SERVICE__GRPC__PORT", "4"),
            ("ALERTS__RETENTION_DAYS", "60"),
            ("DATABASE_URL", "postgres://db/atlas"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let find = |prefix, name: &str| {
            let seen = environment_of(prefix, &all);
            seen.into_iter()
                .rfind(|(given, _)| given == name)
                .map(|(_, value)| value)
        };
        assert_eq!(find(OF_COLLECTOR, "GRPC__PORT").as_deref(), Some("1"));
        assert_eq!(find(OF_ENGINE, "GRPC__PORT").as_deref(), Some("2"));
        assert_eq!(find(OF_ALERTS, "GRPC__PORT").as_deref(), Some("4"));
        // A section of the alert service, and no prefix.
        let days = find(OF_ALERTS, "ALERTS__RETENTION_DAYS");
        assert_eq!(days.as_deref(), Some("60"));
        assert_eq!(find(OF_ENGINE, "ALERT_SERVICE__GRPC__PORT"), None);
        let urls = [OF_COLLECTOR, OF_ENGINE].map(|prefix| find(prefix, "DATABASE_URL"));
        let expected = ["postgres://db/atlas", "postgres://other/atlas"];
        assert_eq!(urls, expected.map(|url| Some(url.to_owned())));
    }
}
