//! Propagation of trace contexts across processes: in headers, rows and messages.
//!
//! Only sampled contexts are carried, so without one there is no work. A process that exports no
//! spans forwards the context that it received.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Target of all trace spans, and of events that only traces show. Spans with other targets are not
/// exported.
pub const TARGET: &str = "graywave::trace";

/// Maximum length of a context in bytes: a `traceparent`, a space and a `tracestate` of at most 512
/// bytes, the limit of the W3C standard.
pub const MAX_CONTEXT_BYTES: usize = 600;

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const MAX_STATE_BYTES: usize = 512;
/// Maximum number of links of one span; the SDK keeps as many.
const MAX_LINKS: usize = 127;

static EXPORTS: AtomicBool = AtomicBool::new(false);

/// Records that an exporter is installed.
pub(crate) fn exports() {
    EXPORTS.store(true, Ordering::Relaxed);
}

/// The two headers of a trace context.
struct Headers<'a> {
    parent: &'a str,
    state: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.parent),
            TRACESTATE => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

impl Headers<'_> {
    fn context(&self) -> Context {
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

/// Parses a carried context; `None` if it is malformed or not sampled.
fn read(carried: &str) -> Option<Context> {
    if carried.is_empty() || carried.len() > MAX_CONTEXT_BYTES {
        return None;
    }
    let (parent, state) =
        carried.split_once(' ').map_or((carried, None), |(parent, state)| (parent, Some(state)));
    let context = Headers { parent, state }.context();
    is_sampled(context.span().span_context()).then_some(context)
}

fn is_sampled(span: &SpanContext) -> bool {
    span.is_valid() && span.is_sampled()
}

/// Formats a context for carrying; `None` if it is not sampled.
fn write(context: &Context) -> Option<String> {
    let span = context.span();
    let span = span.span_context();
    if !is_sampled(span) {
        return None;
    }
    let mut text = format!("00-{}-{}-01", span.trace_id(), span.span_id());
    let state = span.trace_state().header();
    if !state.is_empty() && state.len() <= MAX_STATE_BYTES {
        text.push(' ');
        text.push_str(&state);
    }
    Some(text)
}

/// Makes a request's span part of its client's trace, if the headers name one. The client then
/// decides about sampling.
pub fn continues<'a>(span: &Span, header: impl Fn(&str) -> Option<&'a str>) {
    let Some(parent) = header(TRACEPARENT).filter(|_| EXPORTS.load(Ordering::Relaxed)) else { return };
    let context = Headers { parent, state: header(TRACESTATE) }.context();
    if context.span().span_context().is_valid() {
        set_parent(span, context);
    }
}

/// Creates a child span of a carried context. Without a carried context or an exporter, no span is
/// created.
pub fn child(carried: Option<&str>, make: impl FnOnce() -> Span) -> Span {
    let parent = carried.filter(|_| EXPORTS.load(Ordering::Relaxed)).and_then(read);
    let Some(parent) = parent else { return Span::none() };
    let span = make();
    set_parent(&span, parent);
    span
}

/// Creates a child span of the current span. Without a current span, none is created.
pub fn below(make: impl FnOnce() -> Span) -> Span {
    if Span::current().is_none() { Span::none() } else { make() }
}

fn set_parent(span: &Span, context: Context) {
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "setting the parent of a span failed");
    }
}

/// Context to carry onwards: that of the span, or the carried one if there is no span.
pub fn carry(span: &Span, carried: Option<&str>) -> Option<String> {
    let own = if span.is_none() { None } else { write(&span.context()) };
    own.or_else(|| carried.filter(|text| text.len() <= MAX_CONTEXT_BYTES).map(str::to_owned))
}

/// Context of the current span, to carry onwards.
pub fn current() -> Option<String> {
    carry(&Span::current(), None)
}

/// Renames the current span, if it is sampled.
pub fn rename(name: impl FnOnce() -> String) {
    let context = if EXPORTS.load(Ordering::Relaxed) { Span::current().context() } else { return };
    if is_sampled(context.span().span_context()) {
        context.span().update_name(name());
    }
}

/// Adds links from a span to other carried contexts.
pub fn link<'a>(span: &Span, others: impl Iterator<Item = &'a str>) {
    if span.is_none() {
        return;
    }
    for other in others.take(MAX_LINKS).filter_map(read) {
        span.add_link(other.span().span_context().clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_written_is_read_again() {
        for carried in [PARENT.to_owned(), format!("{PARENT} vendor=1,other=2")] {
            assert_eq!(write(&read(&carried).unwrap()).unwrap(), carried);
        }
    }

    #[test]
    fn what_is_no_sampled_context_is_nothing() {
        let unsampled = PARENT.replace("-01", "-00");
        let long = format!("{PARENT} {}", "x".repeat(MAX_CONTEXT_BYTES));
        for carried in
            ["", "00", &unsampled, &long, "00-00000000000000000000000000000000-b7ad6b7169203331-01"]
        {
            assert!(read(carried).is_none(), "{carried}");
        }
    }

    #[test]
    fn where_spans_go_nowhere_none_is_made_and_the_context_goes_on() {
        let span = child(Some(PARENT), || unreachable!("a span without an exporter"));
        assert!(span.is_none());
        assert_eq!(carry(&span, Some(PARENT)).as_deref(), Some(PARENT));
        assert_eq!(carry(&span, None), None);
    }
}
