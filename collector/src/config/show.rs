use std::fmt;

use secrecy::ExposeSecret;

use super::{Config, LogFormat, connection_string::masked};

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            database,
            rest,
            grpc,
            events,
            fred,
            shutdown,
            telemetry,
        } = self;
        writeln!(f, "[database]")?;
        writeln!(f, "url = {:?}", masked(database.url.expose_secret()))?;
        writeln!(f, "schema = {:?}", database.schema)?;
        writeln!(f, "connections_max = {}", database.connections_max)?;
        writeln!(f, "\n[rest]\naddress = \"{}\"", rest.address)?;
        let seconds = rest.request_timeout.as_secs();
        writeln!(f, "request_timeout_seconds = {seconds}")?;
        writeln!(f, "\n[grpc]\naddress = \"{}\"", grpc.address)?;
        writeln!(f, "subscriptions_max = {}", grpc.subscriptions_max)?;
        let retention_days = events.retention_days.unwrap_or(0);
        writeln!(f, "\n[events]\nretention_days = {retention_days}")?;
        writeln!(f, "ring_bytes_max = {}", events.ring_bytes_max)?;
        writeln!(f, "queue_events_max = {}", events.queue_events_max)?;
        let milliseconds = events.poll_interval.as_millis();
        writeln!(f, "poll_interval_milliseconds = {milliseconds}")?;
        writeln!(f, "\n[fred]")?;
        if fred.api_key.is_some() {
            writeln!(f, "api_key = \"***\"")?;
        }
        writeln!(f, "base_url = {:?}", fred.base_url)?;
        let milliseconds = fred.request_interval.as_millis();
        writeln!(f, "request_interval_milliseconds = {milliseconds}")?;
        let seconds = fred.request_timeout.as_secs();
        writeln!(f, "request_timeout_seconds = {seconds}")?;
        writeln!(f, "attempts_max = {}", fred.attempts_max)?;
        writeln!(f, "series = [")?;
        for seed in &fred.series {
            write!(
                f,
                "    {{ id = {:?}, backfill = \"{}\"",
                seed.id, seed.backfill
            )?;
            if let Some(schedule) = &seed.schedule {
                write!(f, ", schedule = {schedule:?}")?;
            }
            writeln!(f, " }},")?;
        }
        writeln!(f, "]")?;
        let seconds = shutdown.drain.as_secs();
        writeln!(f, "\n[shutdown]\ndrain_seconds = {seconds}")?;
        let format = match telemetry.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(f, "\n[telemetry]\nformat = \"{format}\"")?;
        writeln!(f, "filter = {:?}", telemetry.filter)
    }
}
