//! The cluster: Postgres, two APIs, two schedulers, three workers, agents; every link between them
//! can be cut.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use pgcluster::{Cluster, Durability, Options, free_addresses};
use rand_chacha::ChaCha8Rng;
use testkit::{binary, graywave, role};
use tokio::sync::Mutex;

pub(crate) use super::names::desktop_id;
use super::{
    liar::{LIAR, Liar},
    lie::Lie,
    link::{Link, State},
    node::Node,
    rest::{self, PROJECT, TOKEN},
};

const APIS: usize = 2;
const SCHEDULERS: usize = 2;
const WORKERS: usize = 3;
const SMALL_DISKS: usize = 2;
/// A step that takes longer has gone wrong.
const TIMEOUT: Duration = Duration::from_secs(60);

/// All of it. The parts end in the order of the fields.
pub(crate) struct System {
    /// A desktop that lies; `None` in a system without one.
    liar: Option<Liar>,
    pub(crate) agents: Vec<Mutex<Node>>,
    pub(crate) workers: Vec<Mutex<Node>>,
    pub(crate) schedulers: Vec<Mutex<Node>>,
    pub(crate) apis: Vec<Mutex<Node>>,
    /// Worker to scheduler, agents to worker, scheduler to Postgres.
    pub(crate) links: Vec<Link>,
    /// Base addresses of the workers, as agents dial them.
    worker_urls: Vec<String>,
    /// Base addresses of the APIs.
    pub(crate) urls: Vec<String>,
    /// The server of a system that has one of its own.
    pub(crate) postgres: Option<Mutex<Cluster>>,
    pub(crate) database_url: String,
    /// Number of agents, from the first, whose journals are on disks of a few pages. 0 if this user
    /// may not mount disks.
    pub(crate) small_disks: usize,
    directory: Arc<Directory>,
}

/// Where everything lies; kept when something was wrong, so that its logs can be read.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// One that others than this user can come to: Postgres does not run as root.
    pub(crate) fn new(name: &str) -> anyhow::Result<Arc<Self>> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("graywave-{name}-"))
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir()?
            .keep();
        Ok(Arc::new(Self(directory)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Stays from now on.
    pub(crate) fn keep(&self) {
        drop(fs::write(self.0.join("violations"), ""));
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        for disk in (0..SMALL_DISKS).map(|number| self.0.join("agents").join(desktop_id(number))) {
            drop(Command::new("umount").arg("--lazy").arg(disk).stderr(Stdio::null()).status());
        }
        if !std::thread::panicking() && !self.0.join("violations").exists() {
            drop(fs::remove_dir_all(&self.0));
        }
    }
}

impl System {
    /// Starts everything, on a Postgres of its own, with a desktop that draws its lies from these
    /// random numbers, and waits until all desktops are connected.
    pub(crate) async fn start(agents: u32, lies: ChaCha8Rng) -> anyhow::Result<Self> {
        let directory = Directory::new("chaos")?;
        let postgres = Cluster::start(&Options {
            directory: directory.path().join("postgres"),
            binaries: pgcluster::find_binaries()?,
            durability: Durability::Full,
            max_connections: 200,
            preload: "",
        })?;
        let mut system = Self::new(directory, postgres.url("postgres"));
        system.postgres = Some(Mutex::new(postgres));
        system.mount_small_disks()?;
        system.run(agents, Some(lies)).await?;
        Ok(system)
    }

    /// Starts everything but Postgres, which is there already.
    pub(crate) async fn start_on(
        directory: Arc<Directory>,
        database_url: String,
        agents: u32,
    ) -> anyhow::Result<Self> {
        let mut system = Self::new(directory, database_url);
        system.run(agents, None).await?;
        Ok(system)
    }

    fn new(directory: Arc<Directory>, database_url: String) -> Self {
        Self {
            liar: None,
            agents: Vec::new(),
            workers: Vec::new(),
            schedulers: Vec::new(),
            apis: Vec::new(),
            links: Vec::new(),
            worker_urls: Vec::new(),
            urls: Vec::new(),
            postgres: None,
            database_url,
            small_disks: 0,
            directory,
        }
    }

    async fn run(&mut self, agents: u32, lies: Option<ChaCha8Rng>) -> anyhow::Result<()> {
        fs::create_dir(self.marks())?;
        let migrated = graywave()?.arg("migrate").env("DATABASE_URL", &self.database_url).status()?;
        if !migrated.success() {
            bail!("graywave migrate failed: {migrated}");
        }
        self.start_apis()?;
        let schedulers = self.start_schedulers().await?;
        let workers = self.start_workers(&schedulers).await?;
        self.worker_urls.clone_from(&workers);
        self.start_agents(agents as usize)?;
        self.liar = lies.map(|rng| Liar::start(workers, rng));
        self.connected().await
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.0.join(format!("{name}.log"))
    }

    fn start_apis(&mut self) -> anyhow::Result<()> {
        for (number, address) in free_addresses::<APIS>()?.into_iter().enumerate() {
            let url = self.database_url.clone();
            self.urls.push(format!("http://{address}"));
            let make = move || {
                let settings = [
                    ("API__LISTEN", address.as_str()),
                    ("API__TOKENS", &format!("{PROJECT}:{TOKEN}")),
                    ("TASKS__EXECUTION_TIMEOUT_MS", "4000"),
                    ("TASKS__DELIVERY_TIMEOUT_MS", "20000"),
                    // Longer than the longest outage and a few faults more: a result that is still
                    // missing then is lost.
                    ("TASKS__RESULT_GRACE_MS", "120000"),
                    ("DATABASE__ACQUIRE_TIMEOUT_MS", "2000"),
                ];
                let mut command = role("api", &settings)?;
                command.env("DATABASE_URL", &url);
                Ok(command)
            };
            let name = format!("api-{number}");
            self.apis.push(Mutex::new(Node::start_with_clock(name.clone(), self.log(&name), make)?));
        }
        Ok(())
    }

    async fn start_schedulers(&mut self) -> anyhow::Result<Vec<String>> {
        let found = free_addresses::<SCHEDULERS>()?;
        for (number, address) in found.iter().cloned().enumerate() {
            let postgres = self.database_url.trim_start_matches("postgres://graywave@").to_owned();
            let (target, database) = postgres.split_once('/').context("a database URL")?;
            let link = Link::start(format!("scheduler-{number} to Postgres"), target.to_owned()).await?;
            let url = format!("postgres://graywave@{}/{database}", link.address);
            self.links.push(link);
            let make = move || {
                let settings = [
                    ("SCHEDULER__LISTEN", address.as_str()),
                    ("SCHEDULER__LEASE_MS", "2000"),
                    ("SCHEDULER__HEARTBEAT_MS", "300"),
                    ("SCHEDULER__WORKER_TIMEOUT_MS", "1500"),
                    ("SCHEDULER__PERIOD_MS", "200"),
                    ("DATABASE__ACQUIRE_TIMEOUT_MS", "2000"),
                ];
                let mut command = role("scheduler", &settings)?;
                command.env("DATABASE_URL", &url);
                Ok(command)
            };
            let name = format!("scheduler-{number}");
            self.schedulers.push(Mutex::new(Node::start_with_clock(name.clone(), self.log(&name), make)?));
        }
        Ok(found.to_vec())
    }

    async fn start_workers(&mut self, schedulers: &[String]) -> anyhow::Result<Vec<String>> {
        let mut urls = Vec::new();
        for (number, address) in free_addresses::<WORKERS>()?.into_iter().enumerate() {
            let mut to_schedulers = Vec::new();
            for (scheduler, target) in schedulers.iter().enumerate() {
                let name = format!("worker-{number} to scheduler-{scheduler}");
                let link = Link::start(name, target.clone()).await?;
                to_schedulers.push(format!("http://{}", link.address));
                self.links.push(link);
            }
            let agents = Link::start(format!("agents to worker-{number}"), address.clone()).await?;
            urls.push(format!("http://{}", agents.address));
            self.links.push(agents);
            let to_schedulers = to_schedulers.join(",");
            let make = move || {
                role("worker", &[("WORKER__LISTEN", &address), ("WORKER__SCHEDULER_URLS", &to_schedulers)])
            };
            let name = format!("worker-{number}");
            self.workers.push(Mutex::new(Node::start_with_clock(name.clone(), self.log(&name), make)?));
        }
        Ok(urls)
    }

    /// Where this user may not, no disk is ever full, and it is said.
    fn mount_small_disks(&mut self) -> anyhow::Result<()> {
        for number in 0..SMALL_DISKS {
            let disk = self.data_dir(number);
            fs::create_dir_all(&disk)?;
            let mut mount = Command::new("mount");
            mount.args(["-t", "tmpfs", "-o", "size=512k,mode=755", "graywave-chaos"]).arg(&disk);
            if !mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
                crate::say("no small disks: this user may not mount them, so none will be full");
                break;
            }
            self.small_disks += 1;
        }
        Ok(())
    }

    fn start_agents(&mut self, number: usize) -> anyhow::Result<()> {
        for desktop in 0..number {
            let make = self.agent(desktop, self.data_dir(desktop))?;
            let node = Node::start_with_clock(desktop_id(desktop), self.log("agents"), make)?;
            self.agents.push(Mutex::new(node));
        }
        Ok(())
    }

    /// How an agent is started over a data directory.
    fn agent(
        &self,
        desktop: usize,
        data: PathBuf,
    ) -> anyhow::Result<impl Fn() -> anyhow::Result<Command> + Send + 'static> {
        let binary = binary("graywave-agent")?;
        // Each begins with another worker and knows all of them.
        let mut workers = self.worker_urls.clone();
        let first = desktop % workers.len().max(1);
        workers.rotate_left(first);
        Ok(move || {
            let mut command = Command::new(&binary);
            command
                .args(["--project", PROJECT, "--desktop-id", &desktop_id(desktop), "--data-dir"])
                .arg(&data);
            command.args(workers.iter().flat_map(|url| ["--worker", url.as_str()]));
            Ok(command)
        })
    }

    /// Starts a second agent of a desktop, over a copy of its data directory.
    pub(crate) fn start_clone(&self, desktop: usize, data: PathBuf) -> anyhow::Result<Node> {
        let name = format!("clone of {}", desktop_id(desktop));
        Node::start(name, self.log("clones"), self.agent(desktop, data)?)
    }

    /// Makes a directory on the disk of a desktop's data directory.
    pub(crate) fn spare_dir(&self, desktop: usize) -> anyhow::Result<PathBuf> {
        let spare = self.directory.0.join("spare");
        fs::create_dir_all(&spare)?;
        let prefix = format!("{}-", desktop_id(desktop));
        Ok(tempfile::Builder::new().prefix(&prefix).tempdir_in(spare)?.keep())
    }

    /// Where an agent keeps its journal.
    pub(crate) fn data_dir(&self, desktop: usize) -> PathBuf {
        self.directory.0.join("agents").join(desktop_id(desktop))
    }

    /// Where each desktop's scripts say that they started and ended.
    pub(crate) fn marks(&self) -> PathBuf {
        self.directory.0.join("marks")
    }

    /// What all of them have logged; kept from now on.
    pub(crate) fn logs(&self) -> &Path {
        self.directory.keep();
        &self.directory.0
    }

    /// Everything runs, every link is open, and every desktop is connected.
    pub(crate) async fn heal(&self) -> anyhow::Result<()> {
        if let Some(postgres) = &self.postgres {
            postgres.lock().await.restart()?;
        }
        for link in &self.links {
            link.set(State::Open);
        }
        for node in self.nodes() {
            let mut node = node.lock().await;
            node.wake()?;
            node.run()?;
        }
        self.connected().await
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Mutex<Node>> {
        self.apis.iter().chain(&self.schedulers).chain(&self.workers).chain(&self.agents)
    }

    /// Id of the desktop that lies; `None` in a system without one.
    pub(crate) fn liar(&self) -> Option<&'static str> {
        self.liar.as_ref().map(|_| LIAR)
    }

    /// Number of lies of each kind.
    pub(crate) fn count_lies(&self) -> BTreeMap<Lie, usize> {
        self.liar.as_ref().map(Liar::count_lies).unwrap_or_default()
    }

    async fn connected(&self) -> anyhow::Result<()> {
        let desktops = self.agents.len() as u64 + u64::from(self.liar.is_some());
        let begun = Instant::now();
        loop {
            let path = "/desktops?limit=0&status=ACTIVE";
            if let Ok((200, answer)) = rest::get(&self.urls[0], path).await
                && answer["total_count"].as_u64() == Some(desktops)
            {
                return Ok(());
            }
            if begun.elapsed() > TIMEOUT {
                bail!("not all agents are connected after {TIMEOUT:?}; logs: {}", self.logs().display());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
