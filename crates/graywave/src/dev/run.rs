//! Start and stop of the dev cluster.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};

use agent::RunnerProgram;
use anyhow::{Context as _, bail};
use clap::Args;
use control::Control;
use domain::{
    ids::ProjectId,
    page::{DESKTOP_LIST, Page},
};
use mtls::WebTls;
use pgcluster::{Cluster, Durability, Options, Wanted};
use scheduler::Scheduler;
use store::{
    PoolOptions, Store,
    desktop::{self, DesktopFilter, DesktopOrder, Retired},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    credentials,
    ready::{Ready, ReadyFormat},
};
use crate::{
    address,
    config::{Settings, list_connections},
    eprint,
    roles::{
        self, certificates,
        health::{self, HealthRole},
    },
};
use cli::{number, print};

/// Maximum time for the local desktops to connect.
const DESKTOPS_WITHIN: Duration = Duration::from_secs(60);
/// Maximum time that a stop waits for running scripts.
const DRAIN_MS: u64 = 1_000;

/// Run all roles and local desktops in one process, on a private Postgres.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the addresses and the next commands once the cluster is ready; without a terminal, one line \
of JSON with addresses, project and credentials. Ctrl-C stops the cluster; its data stays in the \
directory for the next start. A machine without Postgres gets one: from apt as root on Debian, else \
a download of 14 MB.

Example:
  graywave dev --desktops 50
  . graywave-data/env && graywave desktops")]
pub(crate) struct DevArgs {
    /// Data directory: database, credentials and the desktops' journals
    #[arg(long, default_value = "graywave-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Number of local desktops
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = number::<u16>(0, 1_000, 20))]
    desktops: u16,
    /// Listen address of the REST API; port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    http: String,
    /// Listen address of the scheduler's gRPC; port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    grpc: String,
    /// Listen address for agents; port 0 picks a free port
    #[arg(long, default_value = "127.0.0.1:9443", value_name = "HOST:PORT")]
    agents: String,
    /// Directory with initdb, pg_ctl and postgres [default: PATH, then installed packages]
    #[arg(long, env = pgcluster::BINARIES_VARIABLE, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// Format of the report when the cluster is ready [default: text on a terminal, else json]
    #[arg(long, value_enum, value_name = "FORMAT")]
    output: Option<ReadyFormat>,
}

/// Listeners of all addresses, bound before anything starts, so that a port conflict fails
/// immediately.
struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    agents: TcpListener,
    /// The admin listener; `None` if none is configured.
    operators: Option<roles::OperatorListener>,
    /// Certificate of the REST API; `None` without HTTPS.
    https: Option<WebTls>,
}

impl Listeners {
    const fn rest_scheme(&self) -> &'static str {
        if self.https.is_some() { "https" } else { "http" }
    }
}

/// Persistent state of the cluster, and the URL of its database.
struct Home {
    data_dir: PathBuf,
    credentials: credentials::Credentials,
    database_url: String,
}

/// Runs the dev cluster until `stop`.
pub(crate) async fn run(
    arguments: DevArgs,
    settings: &Settings,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let data_dir = prepare(&arguments.data_dir)?;
    let _lock = lock(&data_dir)?;
    let http = roles::bind(&arguments.http, "the REST API").await?;
    let listeners = Listeners {
        https: certificates::https(&settings.api, http.local_addr()?)?,
        http,
        grpc: roles::bind(&arguments.grpc, "gRPC").await?,
        agents: roles::bind(&arguments.agents, "agents").await?,
        operators: roles::OperatorListener::bind(&settings.admin, None).await?,
    };
    if settings.tls != mtls::FilesGiven::default() {
        bail!(
            "graywave dev does not support TLS; remove [tls] from the settings, or run the roles separately"
        );
    }
    for listener in [&listeners.grpc, &listeners.agents] {
        certificates::only_this_machine(listener.local_addr()?).context("graywave dev has no TLS")?;
    }
    let credentials = credentials::Credentials::load_or_make(&data_dir.join("credentials.json"))?;
    let cluster = start_postgres(data_dir.join("postgres"), arguments.postgres_bin.clone()).await?;
    let home = Home { data_dir, credentials, database_url: cluster.url("postgres") };
    let outcome = Box::pin(over_database(&arguments, settings, listeners, &home, &stop)).await;
    let stopped = tokio::task::spawn_blocking(move || cluster.stop()).await?;
    outcome?;
    stopped.context("the private Postgres did not stop")
}

fn prepare(data_dir: &Path) -> anyhow::Result<PathBuf> {
    pgcluster::check_directory(&data_dir.join("postgres"))?;
    std::fs::create_dir_all(data_dir).with_context(|| format!("cannot create {}", data_dir.display()))?;
    data_dir.canonicalize().with_context(|| format!("cannot enter {}", data_dir.display()))
}

/// Locks the data directory for the lifetime of the process. Two clusters on one directory would
/// stop each other's database.
fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    file.try_lock().with_context(|| format!("another graywave dev uses {}", data_dir.display()))?;
    Ok(file)
}

/// Starts the private Postgres, on binaries of the version that created its database.
async fn start_postgres(directory: PathBuf, binaries: Option<PathBuf>) -> anyhow::Result<Cluster> {
    let start = move || {
        let wanted = Wanted { directory: binaries, ..Wanted::for_cluster(&directory) };
        let binaries = pgcluster::provide_binaries(&wanted, &mut eprint)?;
        Cluster::start(&Options {
            directory,
            binaries,
            durability: Durability::Full,
            max_connections: 100,
            preload: "",
        })
    };
    Ok(tokio::task::spawn_blocking(start).await??)
}

async fn over_database(
    arguments: &DevArgs,
    settings: &Settings,
    listeners: Listeners,
    home: &Home,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let store = Store::connect(&PoolOptions {
        max_connections: settings.database.max_connections,
        liveness_connections: 1,
        list_connections: list_connections(settings.database.max_connections),
        list_timeout: Duration::from_millis(settings.database.list_timeout_ms),
        ..PoolOptions::new(&home.database_url)
    })?;
    let outcome = async {
        roles::migrate_store(&store).await?;
        let master_key_file = home.data_dir.join("master.key");
        let mut settings = settings.clone();
        settings.access.master_keys.push(credentials::load_or_make_master_key(&master_key_file)?);
        settings.access.cluster_admins.push(home.credentials.principal());
        let control = roles::control(&settings, store.clone(), settings.access.master_keys()?.keys)?;
        home.credentials.import(&control).await?;
        let scheme = listeners.rest_scheme();
        let addresses = credentials::Addresses {
            grpc: address::loopback(listeners.grpc.local_addr()?),
            rest: format!("{scheme}://{}", address::loopback(listeners.http.local_addr()?)),
        };
        let _environment = credentials::EnvironmentFile::write(
            home.data_dir.join("env"),
            &home.database_url,
            &master_key_file,
            &addresses,
            &home.credentials,
        )?;
        let serving = serve(arguments, &settings, listeners, home, &store, &control, stop);
        roles::watched(&store, Box::pin(serving)).await
    }
    .await;
    store.close().await;
    outcome
}

async fn serve(
    arguments: &DevArgs,
    settings: &Settings,
    listeners: Listeners,
    home: &Home,
    store: &Store,
    control: &Control,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let engine = Scheduler::new(store.clone(), settings.scheduler.clone());
    forget_earlier_workers(&engine, store).await?;
    let scheme = listeners.rest_scheme();
    let ready = Ready {
        event: "ready",
        http: format!("{scheme}://{}", listeners.http.local_addr()?),
        grpc: listeners.grpc.local_addr()?.to_string(),
        agents: listeners.agents.local_addr()?.to_string(),
        console: None,
        credentials: &home.credentials,
    };

    let mut worker_settings = settings.worker.clone();
    worker_settings.scheduler_urls =
        vec![format!("http://{}", address::loopback(listeners.grpc.local_addr()?))];
    worker_settings.drain_timeout_ms = DRAIN_MS;
    let worker_url = format!("http://{}", address::loopback(listeners.agents.local_addr()?));

    if settings.telemetry.listen.is_some() || settings.telemetry.health_listen.is_some() {
        let ready = roles::database_seen(store);
        health::serve(&settings.telemetry, HealthRole::Dev, ready, stop.clone()).await?;
    }
    // Stopped in order, so that each part can still reach the parts that it needs.
    let (stop_edge, stop_core) = (CancellationToken::new(), CancellationToken::new());
    let mut core = JoinSet::new();
    core.spawn(roles::serve_scheduler(
        engine,
        settings.retention,
        roles::Admin {
            control: control.clone(),
            limits: settings.admin_limits(),
            ready: roles::database_seen(store),
        },
        roles::RoleServer {
            listener: listeners.grpc,
            operators: listeners.operators,
            tls: None,
            signer: None,
        },
        stop_core.clone(),
    ));
    let mut edge = JoinSet::new();
    let (api_settings, api_control, api_stop) = (settings.clone(), control.clone(), stop_edge.clone());
    edge.spawn(async move {
        roles::serve_api(&api_settings, api_control, listeners.http, listeners.https, api_stop).await
    });
    edge.spawn(run_worker(worker_settings, listeners.agents, stop_edge.clone()));
    let mut agents = JoinSet::new();
    let runner = RunnerProgram::find()?;
    let stop_agents = CancellationToken::new();
    for number in 1..=arguments.desktops {
        let config =
            agent_config(&home.data_dir, &home.credentials.project_id, &worker_url, number, runner.clone());
        agents.spawn(run_agent(config, stop_agents.clone()));
    }

    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(()),
        ended = core.join_next() => unexpected(ended),
        ended = edge.join_next() => unexpected(ended),
        failed = agent_failure(&mut agents) => Err(failed),
        failed = report_ready(store, control, settings, ready, &home.data_dir, arguments) => failed,
    };
    stop_agents.cancel();
    while agents.join_next().await.is_some() {}
    stop_edge.cancel();
    while edge.join_next().await.is_some() {}
    stop_core.cancel();
    while core.join_next().await.is_some() {}
    outcome
}

async fn run_worker(
    config: worker::Config,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    Ok(worker::run(config, listener, None, worker::Ready::default(), stop).await?)
}

async fn run_agent(config: agent::Config, stop: CancellationToken) -> anyhow::Result<()> {
    let desktop_id = config.desktop.desktop_id.clone();
    Box::pin(agent::run(config, stop))
        .await
        .with_context(|| format!("local desktop {desktop_id} cannot start"))
}

/// Waits for the first agent that fails. An agent fails only at its start and is not restarted.
async fn agent_failure(agents: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Error {
    while let Some(ended) = agents.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(error) => return error.into(),
        }
    }
    std::future::pending().await
}

fn unexpected(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error.into()),
        Some(Ok(Ok(()))) | None => bail!("a role ended unexpectedly"),
    }
}

/// Waits until all local desktops are connected, except retired ones.
async fn connected(store: &Store, project_id: &ProjectId, desktops: u16) -> anyhow::Result<()> {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let there = DesktopFilter { connected: Some(true), ..DesktopFilter::default() };
    let retired = DesktopFilter { retired: Retired::Only, ..DesktopFilter::default() };
    let page = Page::new(DESKTOP_LIST, None, Some(0))?;
    loop {
        let mut connection = store.acquire().await?;
        let mut number = 0;
        for filter in [&there, &retired] {
            let order = DesktopOrder::default();
            number += desktop::list(&mut connection, project_id, filter, order, page).await?.0;
        }
        drop(connection);
        if number >= i64::from(desktops) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Prints the report once all local desktops are connected. Then waits forever; returns only on
/// failure.
async fn report_ready(
    store: &Store,
    control: &Control,
    settings: &Settings,
    mut ready: Ready<'_>,
    data_dir: &Path,
    arguments: &DevArgs,
) -> anyhow::Result<()> {
    let project_id: ProjectId = ready.credentials.project_id.parse()?;
    tokio::time::timeout(DESKTOPS_WITHIN, connected(store, &project_id, arguments.desktops))
        .await
        .context("the local desktops did not connect within 60 s")??;
    if settings.console.enabled {
        let code = control.create_sign_in_code(&project_id, credentials::PRINCIPAL).await?;
        ready.console = Some(settings.console.sign_in_url(&ready.http, &code));
    }
    let format = arguments.output.unwrap_or_else(ReadyFormat::of_stdout);
    print(&ready.report(format, data_dir, arguments.desktops)?)?;
    if format == ReadyFormat::Json {
        tracing::info!(desktops = arguments.desktops, http = ready.http, "ready");
    }
    std::future::pending().await
}

/// Deletes the workers of an earlier run. A dev database has no other workers.
async fn forget_earlier_workers(engine: &Scheduler, store: &Store) -> anyhow::Result<()> {
    let workers = store::worker::list(&mut *store.acquire().await?).await?;
    for worker in workers {
        engine.forget_worker(&worker.worker_id, None, store.clock().now()).await?;
    }
    Ok(())
}

fn agent_config(
    data_dir: &Path,
    project_id: &str,
    worker_url: &str,
    number: u16,
    runner: RunnerProgram,
) -> agent::Config {
    let desktop_id = format!("desktop-{number:04}");
    let directory = data_dir.join("desktops").join(&desktop_id);
    let mut desktop = agent::this_machine(project_id.to_owned(), desktop_id);
    desktop.ip_address = "127.0.0.1".into();
    // Sample values for calls by pool and by tag.
    desktop.pool_id = "dev-pool".into();
    desktop.tags.insert("group".into(), "dev".into());
    agent::Config {
        ends_scripts: true,
        // All desktops are this machine.
        power: agent::Power::Forbidden,
        ..agent::Config::new(vec![worker_url.to_owned()], desktop, directory, runner)
    }
}
