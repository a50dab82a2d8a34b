//! `[telemetry]`: where traces go, which are recorded, and under which name.

use documented::DocumentedFields;
use url::Url;

use crate::config::Reader;

const ENDPOINT: &str = "telemetry.traces_endpoint";
const SAMPLER: &str = "telemetry.traces_sampler";
const ARGUMENT: &str = "telemetry.traces_sampler_arg";
const RATIO: &str = "telemetry.traces_sampling_ratio";
const NAME: &str = "telemetry.service_name";
const INSTANCE: &str = "telemetry.service_instance";

/// The part of `[telemetry]` that is about traces.
#[derive(Debug, Clone, PartialEq, DocumentedFields)]
pub struct TracesConfig {
    /// Where to export spans with OTLP over gRPC, such as `http://localhost:4317`; `None`: nowhere.
    pub endpoint: Option<String>,
    /// Which traces are recorded: always_on, always_off, traceidratio, parentbased_always_on,
    /// parentbased_always_off or parentbased_traceidratio. Those that begin with `parentbased_`
    /// record a trace that was begun elsewhere if it is recorded there. Not set:
    /// parentbased_traceidratio.
    pub sampler: TracesSampler,
    /// What the standard's variables say that cannot be used, each as a sentence. It is ignored, as
    /// the specification demands, and logged at start.
    pub ignored: Vec<String>,
    /// `service.name` of what is exported; the name of the program if absent.
    pub service_name: Option<String>,
    /// `service.instance.id`; one that is made at start if absent.
    pub service_instance: Option<String>,
}

/// Which traces are recorded, by the names of the OpenTelemetry specification. Ratios are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TracesSampler {
    /// `always_on`: all.
    AlwaysOn,
    /// `always_off`: none, not even those that were begun elsewhere and are recorded there.
    AlwaysOff,
    /// `traceidratio`: this part of all, by the id of the trace and whatever the parent says.
    TraceIdRatio(f64),
    /// `parentbased_always_on`: as the parent; all that have none.
    ParentBasedAlwaysOn,
    /// `parentbased_always_off`: as the parent; none that has none.
    ParentBasedAlwaysOff,
    /// `parentbased_traceidratio`: as the parent; this part of those that have none.
    ParentBasedTraceIdRatio(f64),
}

impl TracesSampler {
    /// Reads a name as the specification gives it, in any case. The ratio, for those that have one,
    /// is 1.
    fn named(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "always_on" => Some(Self::AlwaysOn),
            "always_off" => Some(Self::AlwaysOff),
            "traceidratio" => Some(Self::TraceIdRatio(1.0)),
            "parentbased_always_on" => Some(Self::ParentBasedAlwaysOn),
            "parentbased_always_off" => Some(Self::ParentBasedAlwaysOff),
            "parentbased_traceidratio" => Some(Self::ParentBasedTraceIdRatio(1.0)),
            _ => None,
        }
    }

    /// The same with another ratio, where it has one.
    fn with_ratio(self, ratio: f64) -> Self {
        match self {
            Self::TraceIdRatio(_) => Self::TraceIdRatio(ratio),
            Self::ParentBasedTraceIdRatio(_) => Self::ParentBasedTraceIdRatio(ratio),
            Self::AlwaysOn
            | Self::AlwaysOff
            | Self::ParentBasedAlwaysOn
            | Self::ParentBasedAlwaysOff => self,
        }
    }

    fn has_ratio(self) -> bool {
        matches!(
            self,
            Self::TraceIdRatio(_) | Self::ParentBasedTraceIdRatio(_)
        )
    }
}

impl TracesConfig {
    /// Reads the settings.
    pub(crate) fn read(reader: &mut Reader) -> Self {
        // The standard's own variables, weakest first.
        let endpoints = [
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        ];
        reader.also(ENDPOINT, &endpoints);
        reader.also(NAME, &["OTEL_SERVICE_NAME"]);
        let endpoint = reader.text(ENDPOINT);
        if let Some(problem) = endpoint.as_deref().and_then(problem_of) {
            reader.refuse(ENDPOINT, problem);
        }
        let mut ignored = Vec::new();
        let traces = Self {
            endpoint,
            sampler: sampler(reader, &mut ignored),
            ignored,
            service_name: reader.text(NAME),
            service_instance: reader.text(INSTANCE),
        };
        for (key, field) in [
            (ENDPOINT, "endpoint"),
            (SAMPLER, "sampler"),
            (NAME, "service_name"),
            (INSTANCE, "service_instance"),
        ] {
            reader.describe_by_field::<Self>(key, field);
        }
        reader.describe(
            ARGUMENT,
            "The ratio of a `traces_sampler` that has one, in place of `traces_sampling_ratio`; \
             without a `traces_sampler` it is ignored.",
        );
        reader.describe(
            RATIO,
            "Which part of the traces that begin here is recorded, 0 to 1, where `traces_sampler` is \
             not set or has a ratio.",
        );
        traces
    }
}

/// Reads which traces are recorded. What is wrong in a variable of the standard is a reason to warn
/// (the specification demands that it is ignored); elsewhere it is a mistake.
fn sampler(reader: &mut Reader, ignored: &mut Vec<String>) -> TracesSampler {
    reader.also(SAMPLER, &["OTEL_TRACES_SAMPLER"]);
    reader.also(ARGUMENT, &["OTEL_TRACES_SAMPLER_ARG"]);
    let ratio = reader.fraction(RATIO, 1.0, 0.0..=1.0);
    let name = reader.text(SAMPLER);
    let (form, shown) = ("name of a sampler", name.clone().map(Into::into));
    reader.asked(SAMPLER, form, None, shown);
    let named = name.as_deref().and_then(TracesSampler::named);
    if name.is_some() && named.is_none() {
        let known = "known are always_on, always_off, traceidratio, parentbased_always_on, \
                     parentbased_always_off and parentbased_traceidratio";
        object(
            reader,
            SAMPLER,
            format!("is not a known sampler; {known}"),
            ignored,
        );
    }
    let given = reader.value(ARGUMENT);
    let argument = given.clone().and_then(|value| value.into_float().ok());
    let argument = argument.filter(|ratio| (0.0..=1.0).contains(ratio));
    let shown = argument.map(Into::into);
    reader.asked(ARGUMENT, "number from 0 to 1", None, shown);
    if given.is_some() && argument.is_none() {
        object(
            reader,
            ARGUMENT,
            "is not a number from 0 to 1".to_owned(),
            ignored,
        );
    }
    match named {
        Some(named) if named.has_ratio() => named.with_ratio(argument.unwrap_or(ratio)),
        Some(named) => named,
        None => {
            if argument.is_some() && name.is_none() {
                let problem = "has no effect without a sampler (OTEL_TRACES_SAMPLER)".to_owned();
                object(reader, ARGUMENT, problem, ignored);
            }
            TracesSampler::ParentBasedTraceIdRatio(ratio)
        }
    }
}

/// Refuses a value, or notes that it is ignored if it is of a variable of the standard.
fn object(reader: &mut Reader, key: &'static str, problem: String, ignored: &mut Vec<String>) {
    let origin = reader.origin(key).unwrap_or_default();
    match origin.to_ascii_uppercase().starts_with("OTEL_") {
        true => ignored.push(format!("{origin} {problem}")),
        false => reader.refuse(key, problem),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigError, Settings, Sources};

    const SETTINGS: Settings<TracesConfig> = Settings {
        program: "test",
        flags: &[],
        read: |reader| {
            reader.section::<crate::config::TelemetryConfig>("telemetry");
            TracesConfig::read(reader)
        },
    };

    fn load(variables: &[(&str, &str)], set: &[&str]) -> Result<TracesConfig, ConfigError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment: Vec<_> = variables.iter().map(owned).collect();
        let set: Vec<_> = set.iter().map(|text| (*text).to_owned()).collect();
        let sources = Sources {
            environment: &environment,
            set: &set,
            ..Sources::default()
        };
        SETTINGS.load(&sources).map(|loaded| loaded.config)
    }

    /// What the variables of the standard lead to, and how many of them are warned of.
    #[track_caller]
    fn check(name: Option<&str>, argument: Option<&str>, expected: TracesSampler, warned: usize) {
        let name = name.map(|name| ("OTEL_TRACES_SAMPLER", name));
        let argument = argument.map(|argument| ("OTEL_TRACES_SAMPLER_ARG", argument));
        let variables: Vec<_> = name.into_iter().chain(argument).collect();
        let traces = load(&variables, &[]).unwrap();
        assert_eq!(traces.sampler, expected, "{variables:?}");
        assert_eq!(traces.ignored.len(), warned, "{:?}", traces.ignored);
    }

    #[test]
    fn samplers_are_read_as_the_specification_says() {
        use TracesSampler::*;
        let default = ParentBasedTraceIdRatio(1.0);
        check(None, None, default, 0);
        check(Some("always_on"), None, AlwaysOn, 0);
        check(Some("always_off"), None, AlwaysOff, 0);
        check(Some("traceidratio"), Some("0.25"), TraceIdRatio(0.25), 0);
        check(Some("traceidratio"), None, TraceIdRatio(1.0), 0);
        check(
            Some("parentbased_always_on"),
            Some("0"),
            ParentBasedAlwaysOn,
            0,
        );
        check(
            Some("parentbased_always_off"),
            None,
            ParentBasedAlwaysOff,
            0,
        );
        let ratio = ParentBasedTraceIdRatio(0.5);
        check(Some("parentbased_traceidratio"), Some("0.5"), ratio, 0);
        check(Some("Always_Off"), None, AlwaysOff, 0);
    }

    #[test]
    fn what_the_standard_does_not_know_is_ignored_with_a_warning() {
        let default = TracesSampler::ParentBasedTraceIdRatio(1.0);
        check(Some("jaeger_remote"), None, default, 1);
        check(Some("never"), Some("0.1"), default, 1);
        check(None, Some("0.1"), default, 1);
        for argument in ["all", "1.5", "-1", "NaN"] {
            let sampler = TracesSampler::TraceIdRatio(1.0);
            check(Some("traceidratio"), Some(argument), sampler, 1);
        }
        let set = &["telemetry.traces_sampling_ratio=0.2"];
        let traces = load(&[("OTEL_TRACES_SAMPLER", "never")], set).unwrap();
        assert_eq!(traces.sampler, TracesSampler::ParentBasedTraceIdRatio(0.2));
    }

    #[test]
    fn elsewhere_a_mistake_is_one() {
        assert!(load(&[], &["telemetry.traces_sampler=never"]).is_err());
        let variables = [("TELEMETRY__TRACES_SAMPLER_ARG", "2")];
        assert!(load(&variables, &["telemetry.traces_sampler=traceidratio"]).is_err());
    }
}
