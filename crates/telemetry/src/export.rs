//! Export of spans, with a bounded number of log lines without a collector.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use tracing::Metadata;

use crate::Throttle;

/// Exporter that logs its failures itself: at most one a minute, and one line when it works again.
#[derive(Debug)]
pub(crate) struct Throttled<E> {
    inner: E,
    endpoint: String,
    failures: Mutex<Throttle>,
}

impl<E> Throttled<E> {
    pub(crate) fn new(inner: E, endpoint: &str) -> Self {
        Self { inner, endpoint: endpoint.to_owned(), failures: Mutex::default() }
    }

    fn observe(&self, exported: &OTelSdkResult, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let endpoint = &self.endpoint;
        match exported {
            Ok(()) if failures.end() => tracing::info!(endpoint, "spans are exported again"),
            Ok(()) => {}
            Err(error) => {
                if let Some(suppressed) = failures.pass(now) {
                    let cause = cause(error);
                    tracing::warn!(endpoint, suppressed, "exporting spans failed; they are lost: {cause}");
                }
            }
        }
    }
}

fn cause(error: &OTelSdkError) -> String {
    match error {
        OTelSdkError::InternalFailure(cause) => cause.clone(),
        other => other.to_string(),
    }
}

impl<E: SpanExporter> SpanExporter for Throttled<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let exported = self.inner.export(batch).await;
        self.observe(&exported, Instant::now());
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn shutdown(&self) -> OTelSdkResult {
        self.inner.shutdown()
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Whether an event of the SDK repeats what [`Throttled`] logs.
pub(crate) fn is_repeated(metadata: &Metadata<'_>) -> bool {
    let name = metadata.name();
    metadata.target().starts_with("opentelemetry")
        && (name == "BatchSpanProcessor.ExportError" || name.starts_with("Export.Failed"))
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Lines of the log.
    #[derive(Debug, Clone, Default)]
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

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn missing_collector_fills_no_log() {
        let lines = Lines::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().finish();
        tracing::subscriber::with_default(subscriber, || {
            let (exporter, begin) = (Throttled::new((), "http://collector:4317"), Instant::now());
            let refused = Err(OTelSdkError::InternalFailure("connection refused".to_owned()));
            // One failure every 5 s, for 2 minutes.
            for number in 0..24 {
                exporter.observe(&refused, begin + Duration::from_secs(5 * number));
            }
            exporter.observe(&Ok(()), begin + Duration::from_secs(120));
            exporter.observe(&Ok(()), begin + Duration::from_secs(125));
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let found: Vec<&str> = text.lines().collect();
        assert_eq!(found.len(), 3, "{text}");
        assert!(found[0].contains("WARN") && found[0].contains("connection refused"), "{text}");
        assert!(found[0].contains("suppressed=0") && found[1].contains("suppressed=11"), "{text}");
        assert!(found[2].contains("INFO") && found[2].contains("spans are exported again"), "{text}");
    }
}
