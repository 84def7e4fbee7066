//! Health and reflection services of a scheduler.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_reflection::server::Builder;

use super::{health::Readiness, http::LAST_ANSWERS};

/// Interval between readiness checks.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// Service for workers.
const FOR_WORKERS: &str = "graywave.scheduler.v1.SchedulerService";

/// Services of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// Those of operators and of workers.
    All,
    /// Those of operators.
    Operators,
}

impl Served {
    fn names(self) -> impl Iterator<Item = &'static str> {
        admin::SERVICES.into_iter().chain((self == Self::All).then_some(FOR_WORKERS))
    }
}
/// Full names of the health and reflection services.
const HEALTH: &str = "grpc.health.v1.Health";
/// Current reflection version, and the older one that many clients still use.
const REFLECTIONS: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// Reports the readiness of the scheduler as the state of the services of a listener, through
/// `grpc.health.v1`. The names are registered before the first call.
pub(crate) struct Health {
    reporter: HealthReporter,
    served: Served,
    ready: Readiness,
}

impl Health {
    pub(crate) async fn new(ready: Readiness, served: Served) -> Self {
        let health = Self { reporter: HealthReporter::new(), served, ready };
        health.refresh().await;
        health
    }

    /// Returns the health service.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn refresh(&self) {
        let is_ready = (self.ready)().await.is_ok();
        self.report(if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
    }

    async fn report(&self, status: ServingStatus) {
        // The empty name means the whole server.
        for name in self.served.names().chain([""]) {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Updates the state until `stop`. Afterwards all services are NOT_SERVING.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(REFRESH_INTERVAL)).await.is_some() {
            self.refresh().await;
        }
        self.report(ServingStatus::NotServing).await;
    }
}

/// Returns the reflection builder with the methods of a listener and the types of error details.
pub(crate) fn reflection(served: Served) -> Builder<'static> {
    let served = served.names().chain([HEALTH]).chain(REFLECTIONS);
    let described = Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    served.fold(described, Builder::with_service_name)
}

/// Waits for a server. After `stop` the wait is bounded, so that a client with an open connection
/// cannot block the exit.
pub(super) async fn bounded<E>(
    serving: impl Future<Output = Result<(), E>>,
    stop: &CancellationToken,
) -> Result<(), E> {
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = too_late => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use tonic::Request;
    use tonic_health::pb::{HealthCheckRequest, health_check_response, health_server::Health as _};

    use super::*;
    use crate::roles::health::readiness;

    #[tokio::test(start_paused = true)]
    async fn it_serves_while_it_is_ready_and_not_from_the_stop_on() {
        let is_ready = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&is_ready);
        let ready = readiness(move || {
            std::future::ready(asked.load(Ordering::SeqCst).then_some(()).ok_or_else(|| "not yet".to_owned()))
        });
        let health = Health::new(ready, Served::All).await;
        let service = HealthService::from_health_reporter(health.reporter.clone());
        let status = async |name: &str| {
            let request = Request::new(HealthCheckRequest { service: name.to_owned() });
            service.check(request).await.unwrap().into_inner().status()
        };
        use health_check_response::ServingStatus::{NotServing, Serving};
        for name in ["", FOR_WORKERS, "graywave.admin.v1.TaskService"] {
            assert_eq!(status(name).await, NotServing, "{name:?}");
        }
        let stop = CancellationToken::new();
        let watching = tokio::spawn(health.watch(stop.clone()));
        is_ready.store(true, Ordering::SeqCst);
        tokio::time::sleep(REFRESH_INTERVAL * 2).await;
        assert_eq!(status("").await, Serving);
        stop.cancel();
        watching.await.unwrap();
        assert_eq!(status("").await, NotServing);
    }

    #[test]
    fn what_is_described_is_there() {
        for served in [Served::All, Served::Operators] {
            reflection(served).build_v1().unwrap();
            reflection(served).build_v1alpha().unwrap();
        }
    }
}
