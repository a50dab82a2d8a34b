//! `[telemetry]`: where traces go, and under which name.

use std::fmt;

use url::Url;

use super::Reader;

const ENDPOINT: &str = "telemetry.traces_endpoint";
const RATIO: &str = "telemetry.traces_sampling_ratio";

/// The standard's own variables, weakest first, each with its key.
pub(super) const ALIASES: [(&str, &str); 4] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", ENDPOINT),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT),
    ("OTEL_TRACES_SAMPLER_ARG", RATIO),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// The part of `[telemetry]` that is about traces.
#[derive(Debug, Clone, PartialEq)]
pub struct TracesConfig {
    /// Where to export spans with OTLP over gRPC, such as `http://localhost:4317`; `None`: nowhere.
    pub endpoint: Option<String>,
    /// Which part of the traces that begin here is recorded, 0 to 1; those that were begun elsewhere
    /// are recorded if they are there.
    pub sampling_ratio: f64,
    /// `service.name` of what is exported; the name of the program if absent.
    pub service_name: Option<String>,
    /// `service.instance.id`; one that is made at start if absent.
    pub service_instance: Option<String>,
}

impl TracesConfig {
    /// Reads the settings.
    pub(super) fn read(reader: &mut Reader) -> Self {
        let endpoint = reader.text(ENDPOINT);
        if let Some(problem) = endpoint.as_deref().and_then(problem_of) {
            reader.refuse(ENDPOINT, problem);
        }
        Self {
            endpoint,
            sampling_ratio: ratio(reader),
            service_name: reader.text("telemetry.service_name"),
            service_instance: reader.text("telemetry.service_instance"),
        }
    }
}

/// What is wrong with an endpoint, without repeating what may be a password.
fn problem_of(endpoint: &str) -> Option<&'static str> {
    let url = Url::parse(endpoint).ok();
    let Some(url) = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    else {
        return Some("is not an address such as http://localhost:4317");
    };
    (!url.username().is_empty() || url.password().is_some())
        .then_some("is not to hold credentials; give them as headers in OTEL_EXPORTER_OTLP_HEADERS")
}

fn ratio(reader: &mut Reader) -> f64 {
    const ALL: f64 = 1.0;
    let Some(value) = reader.value(RATIO) else {
        return ALL;
    };
    let shown = value.to_string();
    match value.into_float() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
        _ => {
            reader.refuse(RATIO, format!("{shown} is not a number from 0 to 1"));
            ALL
        }
    }
}

impl fmt::Display for TracesConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = |key: &str, value: &Option<String>| match value {
            Some(value) => writeln!(f, "{key} = {value:?}"),
            None => Ok(()),
        };
        text("traces_endpoint", &self.endpoint)?;
        text("service_name", &self.service_name)?;
        text("service_instance", &self.service_instance)?;
        writeln!(f, "traces_sampling_ratio = {:?}", self.sampling_ratio)
    }
}
