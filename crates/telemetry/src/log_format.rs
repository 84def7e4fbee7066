//! Log lines with the ids of their trace and span.

use std::fmt;

use opentelemetry::{Context, trace::TraceContextExt as _};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
    },
    registry::LookupSpan,
};

use crate::{CELL, Format};

/// Log format that appends the cell if it has a name, and `trace_id` and `span_id` while a sampled
/// span is active.
pub(crate) struct WithIds<F> {
    pub(crate) form: F,
    pub(crate) format: Format,
    pub(crate) cell: Option<String>,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
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
        let active = Context::current();
        let span = active.span();
        let ids = span.span_context();
        let ids = (ids.is_valid() && ids.is_sampled())
            .then(|| [("trace_id", ids.trace_id().to_string()), ("span_id", ids.span_id().to_string())]);
        let cell = self.cell.iter().map(|cell| (CELL, cell.clone()));
        let fields: Vec<(&str, String)> = cell.chain(ids.into_iter().flatten()).collect();
        if fields.is_empty() {
            return self.form.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.form.format_event(context, Writer::new(&mut line), event)?;
        // None of the values needs an escape.
        match (self.format, line.trim_end().strip_suffix('}')) {
            (Format::Json, Some(open)) => {
                write!(writer, "{open}")?;
                for (name, value) in fields {
                    write!(writer, ",\"{name}\":\"{value}\"")?;
                }
                writeln!(writer, "}}")
            }
            _ => {
                write!(writer, "{}", line.trim_end())?;
                for (name, value) in fields {
                    write!(writer, " {name}={value}")?;
                }
                writeln!(writer)
            }
        }
    }
}
