//! Metrics and health of a role, on a separate address.

use std::{future::Future, sync::Arc};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use clap::ValueEnum;
use domain::version::PROGRAM;
use futures::{FutureExt as _, future::BoxFuture};
use server::Listener;
use telemetry::metric::{self, Exposition};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::set_header::SetResponseHeaderLayer;

use super::http;

/// Header that names the role which answers.
pub(crate) const ROLE_HEADER: HeaderName = HeaderName::from_static("graywave-role");

/// Role that serves metrics and health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HealthRole {
    /// REST API
    Api,
    /// Scheduler
    Scheduler,
    /// Worker
    Worker,
    /// All roles of `graywave dev`
    Dev,
}

impl HealthRole {
    /// Returns the name of the role's command.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Dev => "dev",
        }
    }
}

impl std::fmt::Display for HealthRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Maximum number of connections. Only probes and collectors connect.
const MAX_CONNECTIONS: usize = 100;

/// Readiness check of a role. The error is the reason why the role is not ready.
pub(crate) type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Wraps an asynchronous check.
pub(crate) fn readiness<F>(ask: impl Fn() -> F + Send + Sync + 'static) -> Readiness
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    Arc::new(move || ask().boxed())
}

/// Serves metrics and health until the process ends, and health alone on another address.
///
/// From `stop` on, the role reports that it is not ready.
///
/// Roles that share a machine need one `telemetry.listen` each.
pub(crate) async fn serve(
    settings: &telemetry::Config,
    role: HealthRole,
    ready: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let ready = until(ready, stop);
    if let Some(address) = &settings.health_listen {
        let bound = TcpListener::bind(address).await;
        let listener = bound
            .with_context(|| format!("cannot listen on {address} (telemetry.health_listen) for health"))?;
        tracing::info!(address = %listener.local_addr()?, "health is served");
        spawn(listener, health_routes(role, ready.clone()));
    }
    let address = settings.address();
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address} (telemetry.listen) for metrics and health of the {role}: each role on a machine \
             needs its own address, for example 127.0.0.1:9101"
        )
    })?;
    let metrics = metric::install(settings.cell())?;
    metric::BUILD_INFO.set(1, &[PROGRAM]);
    let routes = health_routes(role, ready).merge(metric_routes(metrics));
    tracing::info!(address = %listener.local_addr()?, "metrics and health are served");
    spawn(listener, routes);
    Ok(())
}

fn spawn(listener: TcpListener, routes: Router) {
    let listener = Listener::new(listener, MAX_CONNECTIONS);
    tokio::spawn(http::serve(listener, routes, None, CancellationToken::new()));
}

/// Wraps a readiness check. From `stop` on, the role is not ready.
fn until(ready: Readiness, stop: CancellationToken) -> Readiness {
    readiness(move || {
        let (ready, is_stopping) = (ready(), stop.is_cancelled());
        async move { if is_stopping { Err("the role is stopping".to_owned()) } else { ready.await } }
    })
}

/// Routes of health. Each answer names the role in the header [`ROLE_HEADER`].
fn health_routes(role: HealthRole, ready: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .with_state(ready)
        .layer(SetResponseHeaderLayer::overriding(ROLE_HEADER, HeaderValue::from_static(role.name())))
}

fn metric_routes(exposition: Exposition) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(exposition)
}

async fn readyz(State(ready): State<Readiness>) -> Response {
    match ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}

async fn metrics(State(exposition): State<Exposition>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], exposition.render())
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(ready: Result<(), String>, path: &str) -> (StatusCode, String) {
        let ready = readiness(move || std::future::ready(ready.clone()));
        let routes =
            health_routes(HealthRole::Api, ready).merge(metric_routes(metric::install(None).unwrap()));
        let answer = routes.oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn alive_is_not_ready_and_what_is_not_says_why() {
        let away = || Err("the database does not answer".to_owned());
        assert_eq!(ask(away(), "/healthz").await, (StatusCode::OK, "alive\n".into()));
        assert_eq!(ask(Ok(()), "/readyz").await, (StatusCode::OK, "ready\n".into()));
        let (status, body) = ask(away(), "/readyz").await;
        assert_eq!(
            (status, body.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: the database does not answer\n")
        );
        let stop = CancellationToken::new();
        let ready = until(readiness(|| std::future::ready(Ok(()))), stop.clone());
        assert_eq!(ready().await, Ok(()));
        stop.cancel();
        assert_eq!(ready().await, Err("the role is stopping".to_owned()));
        metric::WORKERS.set(3, &["false"]);
        assert!(ask(away(), "/metrics").await.1.contains("graywave_workers{draining=\"false\"} 3"));
    }
}
