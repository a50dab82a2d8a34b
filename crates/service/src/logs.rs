//! Log lines, and the trace that each belongs to.

use std::{
    fmt,
    io::IsTerminal,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::trace::TraceContextExt;
use tracing::{
    Event, Level, Metadata, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter, format::Writer},
    layer::{Context, Filter, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    config::{LogFormat, TelemetryConfig},
    traces::{Traces, TracesError},
};

/// Whether log lines are JSON; set once they are written.
static IN_JSON: AtomicBool = AtomicBool::new(false);

/// Whether everything that the process writes is to be JSON, one object for each line.
pub(crate) fn are_json() -> bool {
    IN_JSON.load(Ordering::Relaxed)
}

/// Has log lines written to standard error, and spans exported, until what is returned is dropped.
/// No effect if the process does that already.
///
/// # Errors
/// [`TracesError`].
pub fn begin(config: &TelemetryConfig, program: &str) -> Result<Option<Traces>, TracesError> {
    let traces = Traces::begin(&config.traces, program)?;
    let ansi = std::io::stderr().is_terminal();
    let written = subscriber(config, traces.as_ref(), std::io::stderr, ansi).try_init();
    if let Err(error) = written {
        tracing::debug!(%error, "log lines are written by the process that this runs in");
        return Ok(None);
    }
    if traces.is_some() {
        trace_context::turn_on();
    }
    IN_JSON.store(config.format == LogFormat::Json, Ordering::Relaxed);
    for problem in &config.traces.ignored {
        tracing::warn!("{problem}; ignored");
    }
    Ok(traces)
}

/// What takes the events and spans of the process.
fn subscriber(
    config: &TelemetryConfig,
    traces: Option<&Traces>,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
    ansi: bool,
) -> impl Subscriber + Send + Sync {
    let spans = traces.map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Besides the platform's spans, what went wrong in them.
            .with_filter(Asked(filter_fn(|metadata| match metadata.is_span() {
                true => metadata.target() == trace_context::TARGET,
                false => *metadata.level() <= Level::WARN,
            })))
    });
    // The exported spans would repeat in each line what the trace contains.
    let filter = EnvFilter::builder()
        .parse_lossy(&config.filter)
        .and(filter_fn(|metadata| {
            !(metadata.is_span() && metadata.target() == trace_context::TARGET)
        }));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match config.format {
        LogFormat::Text => {
            let format = tracing_subscriber::fmt::format().with_ansi(ansi);
            let format = WithTrace {
                format,
                is_json: false,
            };
            lines.with_ansi(ansi).event_format(format).boxed()
        }
        LogFormat::Json => {
            let format = tracing_subscriber::fmt::format().json().flatten_event(true);
            let format = WithTrace {
                format,
                is_json: true,
            };
            let fields = tracing_subscriber::fmt::format::JsonFields::new();
            lines.fmt_fields(fields).event_format(format).boxed()
        }
    };
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(Asked(filter)))
}

/// A filter that is asked about each event and span that it may let through.
///
/// `tracing-subscriber` keeps in the thread what each filter has said, and forgets it with the event
/// or span that was asked about. Where none follows, as with `enabled!` (the database's driver asks
/// so for each statement), it stays; and a filter that lets everything of some place through is not
/// asked again, so that the next event would go by what was said of another and get lost
/// (tokio-rs/tracing#2519). Asked each time, it says so itself.
struct Asked<F>(F);

impl<S, F: Filter<S>> Filter<S> for Asked<F> {
    fn enabled(&self, metadata: &Metadata<'_>, context: &Context<'_, S>) -> bool {
        self.0.enabled(metadata, context)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match self.0.callsite_enabled(metadata) {
            interest if interest.is_never() => interest,
            _ => Interest::sometimes(),
        }
    }

    fn event_enabled(&self, event: &Event<'_>, context: &Context<'_, S>) -> bool {
        self.0.event_enabled(event, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        self.0.max_level_hint()
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.0.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.0.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.0.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.0.on_close(id, context);
    }
}

/// Lines that end with the ids of the span under way, if one is recorded.
struct WithTrace<F> {
    format: F,
    is_json: bool,
}

impl<S, N, F> FormatEvent<S, N> for WithTrace<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let span =
            opentelemetry::Context::map_current(|context| context.span().span_context().clone());
        if !span.is_sampled() {
            return self.format.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.format
            .format_event(context, Writer::new(&mut line), event)?;
        let (trace, span) = (span.trace_id(), span.span_id());
        let line = line.trim_end();
        match line.strip_suffix('}').filter(|_| self.is_json) {
            Some(open) => {
                writeln!(
                    writer,
                    r#"{open},"trace_id":"{trace}","span_id":"{span}"}}"#
                )
            }
            None => writeln!(writer, "{line} trace_id={trace} span_id={span}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing::{debug, enabled, info, info_span, span_enabled, warn};

    use super::*;
    use crate::config::{TracesConfig, TracesSampler};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Every way of asking that a library has, with answers yes and no.
    fn ask() {
        let _ = span_enabled!(target: trace_context::TARGET, Level::INFO);
        let _ = enabled!(target: "sqlx::query", Level::INFO);
        let _ = enabled!(target: "sqlx::query", Level::DEBUG);
        let _ = span_enabled!(target: "h2", Level::WARN);
        let _ = trace_context::is_on();
    }

    /// Every line that is logged after somebody only asked what is enabled.
    #[tokio::test]
    async fn no_line_is_lost_to_a_question() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let config = TelemetryConfig {
                format,
                filter: "info,service::logs::tests=debug".to_owned(),
                traces: TracesConfig {
                    endpoint: Some("http://127.0.0.1:9".to_owned()),
                    sampler: TracesSampler::ParentBasedAlwaysOn,
                    ignored: Vec::new(),
                    service_name: None,
                    service_instance: None,
                },
            };
            let traces = Traces::begin(&config.traces, "test").unwrap().unwrap();
            let lines = Lines::default();
            let writer = lines.clone();
            let subscriber = subscriber(&config, Some(&traces), move || writer.clone(), false);
            tracing::subscriber::with_default(subscriber, || {
                for turn in 0..3 {
                    ask();
                    warn!(turn, "expected warning");
                    ask();
                    info!(turn, "expected information");
                    ask();
                    debug!(turn, "expected detail");
                    ask();
                    let span = info_span!(target: trace_context::TARGET, "a span");
                    let _entered = span.enter();
                    ask();
                    warn!(turn, "expected warning in a span");
                    debug!(target: "elsewhere", "not wanted");
                }
            });
            let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert_eq!(lines.matches("expected").count(), 12, "{lines}");
            assert!(!lines.contains("not wanted"), "{lines}");
        }
    }
}
