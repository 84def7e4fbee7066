//! Logs, traces and metrics: one line of text or JSON per event on standard error, spans to an
//! OpenTelemetry collector if one is configured, and Prometheus metrics.

mod export;
mod log_format;
pub mod metric;
mod throttle;
pub mod trace;

pub use throttle::{LOG_INTERVAL, Throttle};

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use serde::Deserialize;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{LevelFilter, filter_fn},
    fmt::format::{self, JsonFields},
    layer::SubscriberExt as _,
};

use export::Throttled;
use log_format::WithIds;
pub use tracing_subscriber::fmt::writer::BoxMakeWriter;

/// Time limit for exporting pending spans at shutdown.
const FLUSH: Duration = Duration::from_secs(3);

/// `[telemetry]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Log filter in `RUST_LOG` syntax; the variable `RUST_LOG` overrides it.
    pub log: String,
    /// Text or JSON, one line per event.
    pub format: Format,
    /// OTLP/gRPC endpoint for spans, for example `http://host:4317`; without it no spans are
    /// exported.
    pub otlp_endpoint: Option<String>,
    /// Fraction of locally started traces that is sampled, 0 to 1. For a trace from a client, the
    /// client decides.
    pub sample_ratio: f64,
    /// Listen address of metrics and health; if unset, [`DEFAULT_LISTEN`].
    pub listen: Option<String>,
    /// Listen address of health alone, for probes from other machines; if unset, health is served
    /// with the metrics only.
    pub health_listen: Option<String>,
    /// Name of the cell, a whole Graywave among several: a label of every metric, and a field of
    /// every log line and span. Without it, all of these lack it.
    pub cell: Option<String>,
}

/// Label, log field and resource attribute of the cell.
pub(crate) const CELL: &str = "cell";

/// Maximum number of characters of the name of a cell, as of a label in Kubernetes and DNS.
const MAX_CELL_CHARS: usize = 63;

/// Default listen address of metrics and health.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9100";

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text for operators.
    Text,
    /// JSON for log collectors.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".into(),
            format: Format::Text,
            otlp_endpoint: None,
            sample_ratio: 0.01,
            listen: None,
            health_listen: None,
            cell: None,
        }
    }
}

impl Config {
    /// Listen address of metrics and health.
    pub fn address(&self) -> &str {
        self.listen.as_deref().unwrap_or(DEFAULT_LISTEN)
    }

    /// Name of the cell; `None` if it is unset or empty, as an unset variable of a container is.
    pub fn cell(&self) -> Option<&str> {
        self.cell.as_deref().filter(|cell| !cell.is_empty())
    }

    /// Address that answers probes.
    pub fn health_address(&self) -> &str {
        self.health_listen.as_deref().unwrap_or_else(|| self.address())
    }
}

/// Owner of the exporter; [`Telemetry::shutdown`] exports pending spans.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logging and tracing for the process. Must be called inside the runtime, which the
/// exporter uses.
pub fn init(config: &Config, service: &'static str) -> anyhow::Result<Telemetry> {
    init_to(config, service, BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal())
}

/// Like [`init`], with another destination of the log. `ansi` permits colours.
pub fn init_to(
    config: &Config,
    service: &'static str,
    log: BoxMakeWriter,
    ansi: bool,
) -> anyhow::Result<Telemetry> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) => text,
        Err(_) => config.log.clone(),
    };
    let filter = EnvFilter::try_new(&filter)
        .with_context(|| format!("telemetry.log {filter:?} is not a valid filter"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(log).with_ansi(ansi);
    let (format, cell) = (config.format, config.cell().map(str::to_owned));
    let lines = match format {
        Format::Text => {
            let form = format::Format::default().with_target(false).with_ansi(ansi);
            lines.event_format(WithIds { form, format, cell }).boxed()
        }
        Format::Json => {
            let form = format::Format::default().json().with_target(false);
            lines.fmt_fields(JsonFields::new()).event_format(WithIds { form, format, cell }).boxed()
        }
    };
    // An empty variable counts as unset.
    let endpoint = config.otlp_endpoint.as_deref().filter(|url| !url.is_empty());
    let provider = endpoint.map(|url| exporter(url, config, service)).transpose()?;
    let spans = provider.as_ref().map(|provider| {
        trace::exports();
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("graywave"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(belongs_to_traces).with_max_level_hint(LevelFilter::DEBUG))
    });
    // Log filter and trace filter are independent: a quiet log leaves no gaps in traces.
    let both = tracing_subscriber::registry()
        .with(lines.with_filter(filter).with_filter(filter_fn(|metadata| !export::is_repeated(metadata))))
        .with(spans);
    // The bridge from the crate `log` is not installed. Its `enabled` query, which the database
    // client makes at every statement, makes per-layer filters drop the next event.
    tracing::subscriber::set_global_default(both)?;
    Ok(Telemetry { provider })
}

/// Selects spans and events of Graywave's own crates; events of libraries are not exported.
fn belongs_to_traces(metadata: &Metadata<'_>) -> bool {
    const OURS: [&str; 8] = ["admin", "agent", "api", "control", "graywave", "scheduler", "store", "worker"];
    if metadata.target() == trace::TARGET {
        return true;
    }
    let of = metadata.target().split("::").next().unwrap_or_default();
    metadata.is_event() && *metadata.level() <= Level::INFO && OURS.contains(&of)
}

fn exporter(endpoint: &str, config: &Config, service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(FLUSH)
        .build()
        .with_context(|| format!("telemetry.otlp_endpoint {endpoint:?}"))?;
    let begun_here = Sampler::TraceIdRatioBased(config.sample_ratio);
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(Throttled::new(exporter, endpoint))
        .with_sampler(Sampler::ParentBased(Box::new(begun_here)))
        .with_resource(resource(config, service))
        .build())
}

fn resource(config: &Config, service: &'static str) -> Resource {
    let cell = config.cell().map(|cell| KeyValue::new(CELL, cell.to_owned()));
    Resource::builder().with_service_name(service).with_attributes(cell).build()
}

impl Config {
    /// Checks the limits of the settings; the error names the setting and its limit.
    pub fn check(&self) -> Result<(), String> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err("telemetry.sample_ratio must be 0 to 1".into());
        }
        if let Some(cell) = self.cell() {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if cell.len() > MAX_CELL_CHARS || !cell.bytes().all(is_allowed) {
                return Err(format!(
                    "telemetry.cell {cell:?} is not valid: use at most {MAX_CELL_CHARS} ASCII letters, digits, \
                     - _ and ."
                ));
            }
        }
        Ok(())
    }
}

impl Telemetry {
    /// Exports pending spans. The exporter blocks, so it runs on a blocking thread with a time
    /// limit.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let flushing = tokio::task::spawn_blocking(move || provider.shutdown());
        match tokio::time::timeout(FLUSH, flushing).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::warn!("some spans were not exported"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cell(cell: &str) -> Config {
        Config { cell: Some(cell.to_owned()), ..Config::default() }
    }

    #[test]
    fn cell_has_few_characters_and_an_empty_one_is_unset() {
        for cell in ["eu-1", "Cell_7.b", &"c".repeat(63)] {
            let config = with_cell(cell);
            config.check().unwrap();
            assert_eq!(config.cell(), Some(cell));
        }
        for cell in ["a b", "a\"b", "é", "a\nb", "{}", &"c".repeat(64)] {
            let refused = with_cell(cell).check().unwrap_err();
            assert!(refused.starts_with("telemetry.cell ") && refused.contains("63"), "{refused}");
        }
        with_cell("").check().unwrap();
        assert_eq!(with_cell("").cell(), None);
    }

    #[test]
    fn resource_has_the_cell_only_if_set() {
        let cell = |config: &Config| {
            let resource = resource(config, "graywave-api");
            resource.get(&opentelemetry::Key::new(CELL)).map(|value| value.to_string())
        };
        assert_eq!(cell(&with_cell("eu-1")).as_deref(), Some("eu-1"));
        assert_eq!(cell(&Config::default()), None);
    }
}
