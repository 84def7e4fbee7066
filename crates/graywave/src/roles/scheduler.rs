//! The role `scheduler`.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use control::{Control, MasterKeys, RequestLimits};
use mtls::{Role, Signer, Tls};
use scheduler::{Enrolment, KeyWrap, Retention, Scheduler, Wakes};
use server::{Listener, Security};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{service::interceptor::InterceptedService, transport::Server};

use super::{
    certificates,
    database::{self, bind, control, database_seen, watched},
    grpc::{self, Served, bounded},
    health::{self, HealthRole, Readiness},
    operators::OperatorListener,
};
use crate::{config::Settings, reload::reloading, service_manager};

/// Time for the first look at the deny-list. A scheduler that cannot read it ends, and its
/// supervisor starts it again.
const DENY_LIST_WITHIN: Duration = Duration::from_secs(30);

/// Runs the scheduler and its gRPC server with the admin service, until `stop`.
pub(crate) async fn scheduler(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.scheduler.listen, "gRPC").await?;
    let tls = certificates::load(&settings.tls, Role::Scheduler, &listener)?;
    let operators = OperatorListener::bind(&settings.admin, tls.clone()).await?;
    let signer = certificates::signer(&settings.orders, tls.as_ref())?;
    let (database, partitions) = (settings.scheduler_store()?, settings.partition_store()?);
    let keys = settings.access.master_keys()?;
    let store = database.store.clone();
    database::warn_of_unverified(settings);
    let wrap = Arc::new(MasterKeyWrap(keys.keys.clone()));
    let engine = Scheduler::new(store.clone(), settings.scheduler.clone())
        .with_key_wrap(wrap)
        .with_signer(signer.clone())
        .with_partition_store(partitions.as_ref().map(|partitions| partitions.store.clone()));
    let engine = match (settings.enrolment.files()?, &tls) {
        (Some(files), Some(tls)) => {
            let enrolment = Enrolment::new(files, tls.clone(), settings.enrolment.life());
            engine.with_enrolment(enrolment.context("enrolment")?)
        }
        _ => engine,
    };
    let engine = match &tls {
        Some(tls) => engine.with_certificates(tls.clone()),
        None => engine,
    };
    let control = control(settings, store.clone(), keys.keys.clone())?;
    health::serve(&settings.telemetry, HealthRole::Scheduler, database_seen(&store), stop.clone()).await?;
    service_manager::ready(&stop);
    if tls.is_some() {
        // Before the first connection: a denied peer must not be accepted meanwhile.
        let list = tokio::time::timeout(DENY_LIST_WITHIN, engine.load_deny_list()).await;
        list.context("the database does not answer")?.context("the deny-list cannot be read")?;
    }
    let role_server = RoleServer { listener, operators, tls: tls.clone(), signer: signer.clone() };
    let admin = Admin { control, limits: settings.admin_limits(), ready: database_seen(&store) };
    let serving = Box::pin(serve_scheduler(engine, settings.retention, admin, role_server, stop));
    let serving = watched(&store, serving);
    let serving = reloading([Some(&database), partitions.as_ref()], &keys, serving);
    Box::pin(certificates::watched(tls, signer, serving)).await
}

/// Encrypts session keys with the master keys, if there are any.
#[derive(Debug)]
struct MasterKeyWrap(MasterKeys);

impl KeyWrap for MasterKeyWrap {
    fn wrap(&self, context: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        self.0.wrap(context, key)
    }

    fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<Vec<u8>> {
        self.0.unwrap(context, wrapped)
    }
}

/// Parts of the admin service.
pub(crate) struct Admin {
    pub(crate) control: Control,
    pub(crate) limits: RequestLimits,
    /// Readiness of the scheduler.
    pub(crate) ready: Readiness,
}

/// Listeners, TLS configuration and order signer of a scheduler.
pub(crate) struct RoleServer {
    pub(crate) listener: TcpListener,
    /// The admin listener; `None` if none is configured.
    pub(crate) operators: Option<OperatorListener>,
    pub(crate) tls: Option<Tls>,
    pub(crate) signer: Option<Signer>,
}

pub(crate) async fn serve_scheduler(
    engine: Scheduler,
    retention: Retention,
    admin: Admin,
    role_server: RoleServer,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let RoleServer { listener, operators, tls, signer } = role_server;
    let wakes = Wakes::default();
    let health = grpc::Health::new(admin.ready.clone(), Served::All).await;
    tracing::info!(address = %listener.local_addr()?, "scheduler ready");
    let incoming = server::grpc(Listener::new(listener, engine.config().max_connections), Security::new(tls));
    let workers = scheduler::service(engine.clone(), wakes.clone(), signer, stop.clone());
    let services = admin::gated(admin.control, &admin.limits, stop.clone());
    let serving = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_routes(services.guarded(certificates::OPERATORS))
        .add_service(health.service())
        .add_service(grpc::reflection(Served::All).build_v1()?)
        .add_service(grpc::reflection(Served::All).build_v1alpha()?)
        .add_service(InterceptedService::new(workers, certificates::WORKERS))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let loops = Box::pin(scheduler::run(engine, retention, wakes, stop.clone()));
    let for_operators = async {
        match operators {
            Some(listener) => Box::pin(listener.serve(services, admin.ready, stop.clone())).await,
            None => Ok(()),
        }
    };
    let serving = Box::pin(bounded(serving, &stop));
    let serving = async {
        let for_workers = async { serving.await.context("the scheduler's gRPC server failed") };
        let served = tokio::try_join!(for_workers, for_operators).map(drop);
        if served.is_err() {
            // The loops end too: without its ports, the process must not live on.
            stop.cancel();
        }
        served
    };
    let (served, (), ()) = tokio::join!(serving, loops, health.watch(stop.clone()));
    served
}
