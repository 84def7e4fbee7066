//! The roles, each as its own process: composed here and nowhere else.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use control::{Control, DatabaseClock};
use mtls::{Role, Signer, Tls};
use scheduler::{Enrolment, Retention, Scheduler, Wakes};
use server::{Listener, Security};
use store::Store;
use telemetry::metric;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{service::interceptor::InterceptedService, transport::Server};

use crate::{
    certificates,
    config::Settings,
    grpc,
    health::{self, Readiness},
    http::{self, LAST_ANSWERS},
};

/// A probe is answered in this time.
const READY_WITHIN: Duration = Duration::from_secs(2);
const CONNECTIONS_EVERY: Duration = Duration::from_secs(5);

/// How often what has expired is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(300);

/// Binds an address, with an error that names it.
pub(crate) async fn bind(address: &str, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for {what}"))
}

/// The use cases over a database.
pub(crate) fn control(settings: &Settings, store: Store) -> anyhow::Result<Control> {
    let clock = Arc::new(DatabaseClock::new(&store));
    Ok(Control::new(store, settings.defaults(), clock, settings.access()?))
}

/// Brings the schema up to date.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    migrate_store(&settings.store()?).await?;
    tracing::info!("the schema is up to date");
    Ok(())
}

pub(crate) async fn migrate_store(store: &Store) -> anyhow::Result<()> {
    store.migrate().await?;
    let mut connection = store.acquire().await?;
    Ok(store::partition::ensure(&mut connection, store.clock().now()).await?)
}

/// Serves the REST API until `stop`.
pub(crate) async fn api(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.api.listen, "the REST API").await?;
    let store = settings.store()?;
    let control = control(settings, store.clone())?;
    health::serve(&settings.telemetry, database_answers(&store), stop.clone()).await?;
    watched(&store, serve_api(settings, control, listener, stop)).await
}

/// Whether the database of a role answers.
pub(crate) fn database_answers(store: &Store) -> Readiness {
    let store = store.clone();
    health::readiness(move || {
        let store = store.clone();
        async move {
            let answer = tokio::time::timeout(READY_WITHIN, store.unless_silent(store.ping())).await;
            match answer {
                Ok(Ok(())) => Ok(()),
                _ => Err("the database does not answer".to_owned()),
            }
        }
    })
}

fn hears_a_scheduler(ready: worker::Ready) -> Readiness {
    health::readiness(move || {
        let reason = "no scheduler hears this worker, or it is stopping";
        std::future::ready(ready.is_ready().then_some(()).ok_or_else(|| reason.to_owned()))
    })
}

/// Tells from time to time how the pool is used.
async fn tell_connections(store: &Store) -> Infallible {
    loop {
        let (used, idle) = store.connections();
        metric::DATABASE_CONNECTIONS.set(used.into(), &["used"]);
        metric::DATABASE_CONNECTIONS.set(idle.into(), &["idle"]);
        tokio::time::sleep(CONNECTIONS_EVERY).await;
    }
}

/// Serves, and looks meanwhile whether the database still answers.
pub(crate) async fn watched(
    store: &Store,
    serving: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    tokio::select! {
        served = serving => served,
        never = store.watch() => match never {},
        never = tell_connections(store) => match never {},
    }
}

pub(crate) async fn serve_api(
    settings: &Settings,
    control: Control,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = api::router(control.clone(), &settings.api_options());
    tracing::info!(address = %listener.local_addr()?, "the REST API serves");
    let listener = Listener::new(listener, settings.api.max_connections);
    tokio::join!(http::serve(listener, router, stop.clone()), forget_expired(&control, &stop));
    Ok(())
}

/// Forgets used signatures and idempotency keys from time to time, until `stop`.
async fn forget_expired(control: &Control, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FORGET_EVERY) => {}
        }
        if let Err(error) = control.forget_expired().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what has expired could not be forgotten"
            );
        }
    }
}

/// Runs the scheduler and its gRPC server, with the admin service beside it, until `stop`.
pub(crate) async fn scheduler(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.scheduler.listen, "gRPC").await?;
    let tls = certificates::load(&settings.tls, Role::Scheduler, &listener)?;
    let signer = certificates::signer(&settings.orders, tls.as_ref())?;
    let store = settings.store()?;
    let engine = Scheduler::new(store.clone(), settings.scheduler.clone());
    let engine = match (settings.enrolment.files()?, &tls) {
        (Some(files), Some(tls)) => {
            let enrolment = Enrolment::new(files, tls.clone(), settings.enrolment.life());
            engine.with_enrolment(enrolment.context("enrolment")?)
        }
        _ => engine,
    };
    let control = control(settings, store.clone())?;
    health::serve(&settings.telemetry, database_answers(&store), stop.clone()).await?;
    let door = Door { listener, tls: tls.clone(), signer: signer.clone() };
    let admin = Admin { control, options: settings.admin_options(), ready: database_answers(&store) };
    let serving = watched(&store, serve_scheduler(engine, settings.retention, admin, door, stop));
    Box::pin(certificates::watched(tls, Signer::watched(signer, serving))).await
}

/// What operators are served with.
pub(crate) struct Admin {
    pub(crate) control: Control,
    pub(crate) options: admin::Options,
    /// Whether the scheduler can do its work.
    pub(crate) ready: Readiness,
}

/// Where a scheduler waits for its peers, what it shows them, and what it signs its orders with.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<Tls>,
    pub(crate) signer: Option<Signer>,
}

pub(crate) async fn serve_scheduler(
    engine: Scheduler,
    retention: Retention,
    admin: Admin,
    door: Door,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Door { listener, tls, signer } = door;
    let wakes = Wakes::default();
    let health = grpc::Health::new(admin.ready).await;
    tracing::info!(address = %listener.local_addr()?, "the scheduler serves");
    let incoming = server::grpc(Listener::new(listener, engine.config().max_connections), Security::new(tls));
    let workers = scheduler::service(engine.clone(), wakes.clone(), signer, stop.clone());
    let operators = admin::routes(admin.control, &admin.options, certificates::OPERATORS, stop.clone());
    let serving = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        .add_routes(operators)
        .add_service(health.service())
        .add_service(grpc::reflection().build_v1()?)
        .add_service(grpc::reflection().build_v1alpha()?)
        .add_service(InterceptedService::new(workers, certificates::WORKERS))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    let loops = Box::pin(scheduler::run(engine, retention, wakes, stop.clone()));
    let (served, (), ()) = tokio::join!(bounded(serving, &stop), loops, health.watch(stop.clone()));
    served.context("the scheduler's gRPC server failed")
}

/// Runs the worker until `stop`.
pub(crate) async fn worker(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = bind(&settings.worker.listen, "agents").await?;
    let tls = certificates::load(&settings.tls, Role::Worker, &listener)?;
    let ready = worker::Ready::default();
    health::serve(&settings.telemetry, hears_a_scheduler(ready.clone()), stop.clone()).await?;
    let serving = worker::run(settings.worker.clone(), listener, tls.clone(), ready, stop);
    Ok(Box::pin(certificates::watched(tls, serving)).await?)
}

/// Waits for a server to end by itself, and once it was told to stop, only a bounded time: a client that never
/// lets go must not keep the process.
async fn bounded<E>(serving: impl Future<Output = Result<(), E>>, stop: &CancellationToken) -> Result<(), E> {
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        ended = serving => ended,
        () = too_late => Ok(()),
    }
}
