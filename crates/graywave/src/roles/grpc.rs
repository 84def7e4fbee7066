//! What any gRPC client may ask a scheduler: whether it serves, and which calls there are.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic_health::{
    ServingStatus,
    pb::health_server::HealthServer,
    server::{HealthReporter, HealthService},
};
use tonic_reflection::server::Builder;

use super::health::Readiness;

/// How often it is found out whether it serves.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// What workers call.
const FOR_WORKERS: &str = "graywave.scheduler.v1.SchedulerService";
/// What health and reflection are called themselves.
const HEALTH: &str = "grpc.health.v1.Health";
/// The newer reflection, and the one that many clients still ask for.
const REFLECTIONS: [&str; 2] =
    ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"];

/// The state of all services as `grpc.health.v1` tells it; they serve as long as the scheduler is
/// ready. What clients may ask for is known from the first call on.
pub(crate) struct Health {
    reporter: HealthReporter,
    ready: Readiness,
}

impl Health {
    pub(crate) async fn new(ready: Readiness) -> Self {
        let health = Self { reporter: HealthReporter::new(), ready };
        health.look().await;
        health
    }

    /// What tells it.
    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn look(&self) {
        let is_ready = (self.ready)().await.is_ok();
        self.tell(if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
    }

    async fn tell(&self, status: ServingStatus) {
        // The empty name stands for the server.
        for name in admin::SERVICES.into_iter().chain(["", FOR_WORKERS]) {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Looks again and again until `stop`; from then on nothing is served.
    pub(crate) async fn watch(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(ASKED_EVERY)).await.is_some() {
            self.look().await;
        }
        self.tell(ServingStatus::NotServing).await;
    }
}

/// Descriptions of the calls that are served, and of the details that come with failures.
pub(crate) fn reflection() -> Builder<'static> {
    let served = admin::SERVICES.into_iter().chain([FOR_WORKERS, HEALTH]).chain(REFLECTIONS);
    let described = Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET);
    served.fold(described, Builder::with_service_name)
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
        let health = Health::new(ready).await;
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
        tokio::time::sleep(ASKED_EVERY * 2).await;
        assert_eq!(status("").await, Serving);
        stop.cancel();
        watching.await.unwrap();
        assert_eq!(status("").await, NotServing);
    }

    #[test]
    fn what_is_described_is_there() {
        reflection().build_v1().unwrap();
        reflection().build_v1alpha().unwrap();
    }
}
