use std::fmt;

use super::Config;

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            database,
            rest,
            grpc,
            events,
            consumer,
            patterns,
            shutdown,
            telemetry,
        } = self;
        write!(f, "{database}\n{rest}\n{grpc}\n{events}")?;
        let sources = consumer.sources.iter();
        let sources: Vec<_> = sources.map(|s| format!("{}={}", s.name, s.url)).collect();
        writeln!(f, "\n[consumer]\nsources = {sources:?}")?;
        let months = consumer.backfill_months.unwrap_or(0);
        writeln!(f, "backfill_months = {months}")?;
        writeln!(f, "batch_events_max = {}", consumer.batch_events_max)?;
        let folder = patterns.folder.display().to_string();
        writeln!(f, "\n[patterns]\nfolder = {folder:?}")?;
        let milliseconds = patterns.reload_interval.as_millis();
        writeln!(f, "reload_interval_milliseconds = {milliseconds}")?;
        writeln!(f, "uncollected = \"{}\"", patterns.uncollected)?;
        if let Some(collected) = &patterns.collected {
            let collected: Vec<_> = collected.iter().collect();
            writeln!(f, "collected = {collected:?}")?;
        }
        write!(f, "\n{shutdown}\n{telemetry}")
    }
}
