//! `[telemetry]`: where traces go, and under which name.

use documented::DocumentedFields;
use url::Url;

use super::Reader;

const ENDPOINT: &str = "telemetry.traces_endpoint";
const RATIO: &str = "telemetry.traces_sampling_ratio";
const NAME: &str = "telemetry.service_name";
const INSTANCE: &str = "telemetry.service_instance";

/// The part of `[telemetry]` that is about traces.
#[derive(Debug, Clone, PartialEq, DocumentedFields)]
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
        // The standard's own variables, weakest first.
        let endpoints = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ];
        reader.also(ENDPOINT, &endpoints);
        reader.also(RATIO, &["OTEL_TRACES_SAMPLER_ARG"]);
        reader.also(NAME, &["OTEL_SERVICE_NAME"]);
        let endpoint = reader.text(ENDPOINT);
        if let Some(problem) = endpoint.as_deref().and_then(problem_of) {
            reader.refuse(ENDPOINT, problem);
        }
        let traces = Self {
            endpoint,
            sampling_ratio: reader.fraction(RATIO, 1.0, 0.0..=1.0),
            service_name: reader.text(NAME),
            service_instance: reader.text(INSTANCE),
        };
        for (key, field) in [
            (ENDPOINT, "endpoint"),
            (RATIO, "sampling_ratio"),
            (NAME, "service_name"),
            (INSTANCE, "service_instance"),
        ] {
            reader.describe_by_field::<Self>(key, field);
        }
        traces
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
