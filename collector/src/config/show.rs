use std::fmt;

use super::Config;

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
        write!(f, "{database}\n{rest}\n{grpc}\n{events}")?;
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
        write!(f, "\n{shutdown}\n{telemetry}")
    }
}
