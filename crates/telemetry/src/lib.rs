//! Logs and traces: one line of text or JSON for each event on standard error, and spans to an OpenTelemetry
//! collector where one is configured; metrics for Prometheus.

pub mod metric;

use std::{io::IsTerminal as _, time::Duration};

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// How long spans that wait are given at the end.
const FLUSH: Duration = Duration::from_secs(3);

/// `[telemetry]` of the configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What is logged, as in `RUST_LOG`, which wins over this.
    pub log: String,
    /// One line of text or of JSON for each event.
    pub format: Format,
    /// Where spans go over OTLP/gRPC, `http://host:4317`; nowhere when absent.
    pub otlp_endpoint: Option<String>,
    /// Where metrics and health are served; [`DEFAULT_LISTEN`] when absent, if that is free.
    pub listen: Option<String>,
}

/// Where metrics and health are served when nothing else is said.
pub const DEFAULT_LISTEN: &str = "0.0.0.0:9100";

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self { log: "info".into(), format: Format::Text, otlp_endpoint: None, listen: None }
    }
}

impl Config {
    /// Where metrics and health are served.
    pub fn address(&self) -> &str {
        self.listen.as_deref().unwrap_or(DEFAULT_LISTEN)
    }
}

/// Keeps the exporter; [`Telemetry::shutdown`] sends what waits.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logging and tracing for the process. Must be called inside the runtime, which the exporter uses.
pub fn init(config: &Config, service: &'static str) -> anyhow::Result<Telemetry> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) => text,
        Err(_) => config.log.clone(),
    };
    let filter =
        EnvFilter::try_new(&filter).with_context(|| format!("telemetry.log {filter:?} is no filter"))?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let lines = match config.format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().boxed(),
    };
    let provider = config.otlp_endpoint.as_deref().map(|endpoint| exporter(endpoint, service)).transpose()?;
    let spans = provider
        .as_ref()
        .map(|provider| tracing_opentelemetry::layer().with_tracer(provider.tracer("graywave")));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init()?;
    Ok(Telemetry { provider })
}

fn exporter(endpoint: &str, service: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(FLUSH)
        .build()
        .with_context(|| format!("telemetry.otlp_endpoint {endpoint:?}"))?;
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build())
}

impl Telemetry {
    /// Sends the spans that wait. Blocks in the exporter, so it runs on a thread of its own, for a bounded time.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else { return };
        let flushing = tokio::task::spawn_blocking(move || provider.shutdown());
        match tokio::time::timeout(FLUSH, flushing).await {
            Ok(Ok(Ok(()))) => {}
            _ => tracing::warn!("some spans were not exported"),
        }
    }
}
