//! The system under measurement: Postgres on memory-backed storage, one process for each role,
//! simulated agents.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use pgcluster::{Cluster, Durability, Options, free_addresses};
use serde_json::json;
use sim::fleet::{Arrival, FAILING, Fleet, desktop_id};
use testkit::{Process, Rest, graywave, role};
use tokio::sync::{mpsc, watch};

use crate::cpu::{Processes, Role};

/// Project of the desktops.
pub(crate) const PROJECT: &str = "bench";
/// Another project, whose desktops share the worker with those of [`PROJECT`].
pub(crate) const OTHER_PROJECT: &str = "urgent";
/// A step that takes longer has gone wrong.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Orders whose arrival is not read yet.
const MAX_ARRIVALS: usize = 10_000;

/// Postgres and one process for each role, without agents. The parts end in the order of the
/// fields: roles, database, files.
pub(crate) struct Platform {
    http_url: String,
    agents_url: String,
    roles: Vec<(Role, Process)>,
    cluster: Cluster,
    _directory: tempfile::TempDir,
}

/// Connected desktops of a project.
pub(crate) struct Desktops {
    arrivals: mpsc::Receiver<Arrival>,
    /// Number of orders of the present task that have arrived.
    started: watch::Sender<u32>,
    client: Rest,
    fleet: Fleet,
}

/// All of it, with desktops. The agents end first.
pub(crate) struct System {
    desktops: Desktops,
    platform: Platform,
}

/// A task that ran to its end.
pub(crate) struct Execution {
    pub(crate) task_id: String,
    /// When it was asked for.
    pub(crate) posted: Instant,
    /// When its first order arrived.
    pub(crate) first: Instant,
    pub(crate) ended: Instant,
}

impl Execution {
    pub(crate) fn seconds(&self) -> f64 {
        (self.ended - self.posted).as_secs_f64()
    }

    pub(crate) fn first_start_ms(&self) -> f64 {
        (self.first - self.posted).as_secs_f64() * 1_000.0
    }
}

/// Token of a project; a token belongs to one project only.
fn token(project_id: &str) -> String {
    format!("a-token-for-the-benchmark-{project_id}")
}

impl Platform {
    /// Starts everything, with these further settings of the worker. The server of the database
    /// loads the library `preload`, unless it is empty.
    pub(crate) async fn start(of_worker: &[(&str, &str)], preload: &'static str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("graywave-bench-")
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in("/dev/shm")?;
        let cluster = Cluster::start(&Options {
            directory: directory.path().join("postgres"),
            binaries: pgcluster::find_binaries()?,
            durability: Durability::Full,
            max_connections: 100,
            preload,
        })?;
        let url = cluster.url("postgres");
        let [http, grpc, agents] = free_addresses()?;
        let migrated = graywave()?.arg("migrate").env("DATABASE_URL", &url).status()?;
        if !migrated.success() {
            bail!("graywave migrate failed: {migrated}");
        }
        let tokens = [PROJECT, OTHER_PROJECT].map(|project_id| format!("{project_id}:{}", token(project_id)));
        let tokens = tokens.join(",");
        let log = directory.path().join("roles.log");
        let schedulers = format!("http://{grpc}");
        let mut worker = vec![("WORKER__LISTEN", agents.as_str()), ("WORKER__SCHEDULER_URLS", &schedulers)];
        worker.extend(of_worker);
        let roles = vec![
            (Role::Api, start("api", &url, &log, &[("API__LISTEN", &http), ("API__TOKENS", &tokens)])?),
            (Role::Scheduler, start("scheduler", &url, &log, &[("SCHEDULER__LISTEN", &grpc)])?),
            (Role::Worker, start("worker", &url, &log, &worker)?),
        ];
        let platform = Self {
            http_url: format!("http://{http}"),
            agents_url: format!("http://{agents}"),
            roles,
            cluster,
            _directory: directory,
        };
        let client = platform.client(PROJECT);
        wait_until(|| client.get("/scripts").is_ok()).await.context("the API does not answer")?;
        wait_until(|| std::net::TcpStream::connect(&agents).is_ok())
            .await
            .context("the worker does not listen")?;
        Ok(platform)
    }

    pub(crate) fn database_url(&self) -> String {
        self.cluster.url("postgres")
    }

    /// Process id of a role; `None` if it has no process of its own.
    pub(crate) fn process_id(&self, role: Role) -> Option<u32> {
        self.roles.iter().find(|(of, _)| *of == role).map(|(_, process)| process.id())
    }

    pub(crate) fn client(&self, project_id: &str) -> Rest {
        Rest::with_timeout(&self.http_url, project_id, &token(project_id), TIMEOUT)
    }

    /// Connects desktops of a project and waits until all of them are active.
    pub(crate) async fn connect(&self, project_id: &str, number: u32) -> anyhow::Result<Desktops> {
        let client = self.client(project_id);
        let (sender, arrivals) = mpsc::channel(MAX_ARRIVALS);
        let fleet = Fleet::connect(&self.agents_url, project_id, number, Some(sender)).await?;
        let connected = || {
            let answer = client.get("/desktops?limit=0&status=ACTIVE");
            answer.is_ok_and(|answer| answer["total_count"] == number)
        };
        wait_until(connected).await.context("the agents did not connect")?;
        Ok(Desktops { arrivals, started: watch::Sender::new(0), client, fleet })
    }
}

impl System {
    /// Starts everything and connects desktops. The server of the database loads the library
    /// `preload`, unless it is empty.
    pub(crate) async fn start(desktops: u32, preload: &'static str) -> anyhow::Result<Self> {
        let platform = Platform::start(&[], preload).await?;
        Ok(Self { desktops: platform.connect(PROJECT, desktops).await?, platform })
    }

    pub(crate) fn database_url(&self) -> String {
        self.platform.database_url()
    }

    /// The processes of all roles, Postgres and the fleet.
    pub(crate) fn processes(&self) -> Processes {
        let roles = self.platform.roles.iter().map(|(role, process)| (*role, process.id()));
        let postgres = self.platform.cluster.id().map(|id| (Role::Postgres, id));
        Processes::new(roles.chain(postgres).collect())
    }

    /// Runs a command on the first desktops to its end: see [`Desktops::execute`].
    pub(crate) async fn execute(&mut self, desktops: u32, command: &str) -> anyhow::Result<Execution> {
        self.desktops.execute(desktops, command).await
    }

    /// Milliseconds to list the groups of a task's failures, and how many groups there are.
    pub(crate) fn list_failures(&self, task_id: &str) -> anyhow::Result<(f64, usize)> {
        let begun = Instant::now();
        let answer = self.desktops.client.native().get(&format!("/tasks/{task_id}/failures"))?;
        let duration_ms = begun.elapsed().as_secs_f64() * 1_000.0;
        Ok((duration_ms, answer["groups"].as_array().context("no groups")?.len()))
    }
}

impl Desktops {
    /// Number of orders of the present task that have arrived.
    pub(crate) fn started(&self) -> watch::Receiver<u32> {
        self.started.subscribe()
    }

    /// Runs a command on the first desktops to its end, where all of them succeed, or with
    /// [`FAILING`] fail.
    pub(crate) async fn execute(&mut self, desktops: u32, command: &str) -> anyhow::Result<Execution> {
        let ids: Vec<String> = (0..desktops).map(desktop_id).collect();
        let body = json!({"resource_ids": ids, "command": command, "command_type": "SHELL"});
        let client = self.client.clone();
        self.started.send_replace(0);
        let posted = Instant::now();
        let posting = tokio::task::spawn_blocking(move || client.post("/script-executions", &body));
        let mut first = None;
        for number in 1..=desktops {
            let arrival = tokio::select! {
                arrival = tokio::time::timeout(TIMEOUT, self.arrivals.recv()) => arrival?,
                error = self.fleet.broken() => return Err(error),
            };
            let arrival = arrival.context("the agents are gone")?;
            first.get_or_insert(arrival.at);
            self.started.send_replace(number);
        }
        let answer = posting.await??;
        let task_id = answer["task_id"].as_str().context("no task_id")?.to_owned();
        let client = self.client.clone();
        let path = format!("/script-execution-tasks?task_id={task_id}");
        wait_until(|| client.get(&path).is_ok_and(|answer| !answer["script_tasks"][0]["end_time"].is_null()))
            .await?;
        let ended = Instant::now();
        let task = self.client.get(&path)?;
        let counter = if command == FAILING { "failed_num" } else { "success_num" };
        if task["script_tasks"][0][counter] != desktops {
            bail!("not every desktop counts in {counter}: {}", task["script_tasks"][0][counter]);
        }
        Ok(Execution { task_id, posted, first: first.unwrap_or(ended), ended })
    }
}

/// Polls a condition every 5 ms.
async fn wait_until(mut condition: impl FnMut() -> bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    while !condition() {
        if begun.elapsed() > TIMEOUT {
            bail!("waited in vain for {TIMEOUT:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

fn start(name: &str, url: &str, log: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Process> {
    let mut command = role(name, settings)?;
    Process::start(command.env("DATABASE_URL", url).env("RUST_LOG", "warn"), log)
}
