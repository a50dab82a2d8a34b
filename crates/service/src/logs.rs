//! Log lines, and the trace that each belongs to.

use std::{
    fmt,
    io::IsTerminal,
    sync::atomic::{AtomicBool, Ordering},
};

use opentelemetry::{Context, trace::TraceContextExt};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
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
    let spans = traces.as_ref().map(|traces| {
        tracing_opentelemetry::layer()
            .with_tracer(traces.tracer())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            // Besides the platform's spans, what went wrong in them.
            .with_filter(filter_fn(|metadata| match metadata.is_span() {
                true => metadata.target() == trace_context::TARGET,
                false => *metadata.level() <= Level::WARN,
            }))
    });
    // The exported spans would repeat in each line what the trace tells.
    let filter = EnvFilter::builder()
        .parse_lossy(&config.filter)
        .and(filter_fn(|metadata| {
            !(metadata.is_span() && metadata.target() == trace_context::TARGET)
        }));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match config.format {
        LogFormat::Text => {
            let ansi = std::io::stderr().is_terminal();
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
    let written = tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init();
    if let Err(error) = written {
        tracing::debug!(%error, "log lines are written by the process that this runs in");
        return Ok(None);
    }
    IN_JSON.store(config.format == LogFormat::Json, Ordering::Relaxed);
    Ok(traces)
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
        let span = Context::map_current(|context| context.span().span_context().clone());
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
