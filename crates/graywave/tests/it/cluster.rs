//! The roles as separate processes on a database: one API, two schedulers, two workers, agents.

use std::net::TcpListener;

use testkit::TestDatabase;

use crate::{
    harness::{Api, Process, agent_binary, directory, graywave},
    pki::{self, Pki},
};

pub(crate) const PROJECT: &str = "project-1";
pub(crate) const TOKEN: &str = "a-token-of-project-1";

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Where the database is, and what keeps it there.
enum Database {
    Shared(TestDatabase),
    Private(String),
}

impl Database {
    fn url(&self) -> &str {
        match self {
            Self::Shared(database) => &database.url,
            Self::Private(url) => url,
        }
    }
}

pub(crate) struct Cluster {
    database: Database,
    /// Without it nobody speaks TLS.
    pub(crate) pki: Option<Pki>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) schedulers: Vec<(String, Process)>,
    pub(crate) workers: Vec<(String, Process)>,
    pub(crate) agents: Vec<Process>,
    pub(crate) api: Api,
    _api_process: Process,
}

impl Cluster {
    /// One API, two schedulers, two workers.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self::over(Database::Shared(runtime.block_on(testkit::database()).unwrap()), directory(), None)
    }

    /// The same under TLS.
    pub(crate) fn start_with_tls() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let directory = directory();
        let pki = Pki::new(&directory.path().join("pki"));
        Self::over(Database::Shared(runtime.block_on(testkit::database()).unwrap()), directory, Some(pki))
    }

    /// The same on a Postgres of the test's own, at this URL.
    pub(crate) fn start_on(url: &str) -> Self {
        assert!(graywave().arg("migrate").env("DATABASE_URL", url).status().unwrap().success());
        Self::over(Database::Private(url.to_owned()), directory(), None)
    }

    fn over(database: Database, directory: tempfile::TempDir, pki: Option<Pki>) -> Self {
        let http = free_address();
        let log = directory.path().join("api.log");
        let mut command = graywave();
        command.arg("api").env("DATABASE_URL", database.url());
        command
            .env("GRAYWAVE__DATABASE__ACQUIRE_TIMEOUT_MS", "1000")
            .env("GRAYWAVE__API__LISTEN", &http)
            .env("GRAYWAVE__API__TOKENS", format!("{PROJECT}:{TOKEN}"));
        let api_process = Process::spawn(&mut command, &log);
        let mut cluster = Self {
            database,
            pki,
            directory,
            schedulers: Vec::new(),
            workers: Vec::new(),
            agents: Vec::new(),
            api: Api::new(&format!("http://{http}"), PROJECT, TOKEN),
            _api_process: api_process,
        };
        for _ in 0..2 {
            cluster.add_scheduler();
        }
        for _ in 0..2 {
            cluster.add_worker();
        }
        cluster
    }

    pub(crate) fn log(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.log"))
    }

    fn add_scheduler(&mut self) {
        let address = free_address();
        let process = self.scheduler(&address);
        self.schedulers.push((address, process));
    }

    pub(crate) fn scheduler(&self, address: &str) -> Process {
        let mut command = graywave();
        command
            .arg("scheduler")
            .env("DATABASE_URL", self.database.url())
            .env("GRAYWAVE__DATABASE__ACQUIRE_TIMEOUT_MS", "1000")
            .env("GRAYWAVE__API__TOKENS", format!("{PROJECT}:{TOKEN}"))
            .env("GRAYWAVE__SCHEDULER__LISTEN", address)
            .env("GRAYWAVE__SCHEDULER__LEASE_MS", "2000")
            .env("GRAYWAVE__SCHEDULER__HEARTBEAT_MS", "300")
            .env("GRAYWAVE__SCHEDULER__WORKER_TIMEOUT_MS", "1500")
            .env("GRAYWAVE__SCHEDULER__PERIOD_MS", "200");
        self.certify(&mut command, "scheduler", address);
        Process::spawn(&mut command, &self.log("scheduler"))
    }

    /// Gives a part its certificate; its name is its port.
    fn certify(&self, command: &mut std::process::Command, role: &str, address: &str) {
        if let Some(pki) = &self.pki {
            let (_, port) = address.rsplit_once(':').unwrap();
            pki::of_role(command, &pki.role(role, port));
            if role == "scheduler" {
                // Each signs with one of its own.
                pki::signs_with(command, &pki.role("signer", port));
            }
        }
    }

    fn scheme(&self) -> &'static str {
        if self.pki.is_some() { "https" } else { "http" }
    }

    fn add_worker(&mut self) {
        let address = free_address();
        let process = self.worker(&address);
        self.workers.push((address, process));
    }

    pub(crate) fn worker(&self, address: &str) -> Process {
        let schedulers: Vec<String> =
            self.schedulers.iter().map(|(address, _)| format!("{}://{address}", self.scheme())).collect();
        let mut command = graywave();
        command
            .arg("worker")
            .env("GRAYWAVE__WORKER__LISTEN", address)
            .env("GRAYWAVE__WORKER__SCHEDULER_URLS", schedulers.join(","));
        self.certify(&mut command, "worker", address);
        Process::spawn(&mut command, &self.log("worker"))
    }

    /// An agent that knows all workers, beginning with one.
    pub(crate) fn agent(&self, number: usize) -> Process {
        let files = self.pki.as_ref().map(|pki| pki.desktop(PROJECT, &desktop(number)));
        self.agent_with(number, files.as_ref())
    }

    /// The same with these certificates.
    pub(crate) fn agent_with(&self, number: usize, files: Option<&identity::Files>) -> Process {
        let turn = |turn: usize| self.workers[(number + turn) % self.workers.len()].0.clone();
        self.agent_of(number, files, (0..self.workers.len()).map(turn))
    }

    /// The same, dialling these.
    pub(crate) fn agent_of(
        &self,
        number: usize,
        files: Option<&identity::Files>,
        workers: impl IntoIterator<Item = String>,
    ) -> Process {
        let mut command = std::process::Command::new(agent_binary());
        command.args(["--project", PROJECT, "--desktop-id", &desktop(number), "--data-dir"]);
        command.arg(self.directory.path().join(desktop(number)));
        for address in workers {
            command.args(["--worker", &format!("{}://{address}", self.scheme())]);
        }
        if let Some(files) = files {
            pki::as_flags(&mut command, files);
        }
        Process::spawn(&mut command, &self.log("agents"))
    }

    pub(crate) fn add_agents(&mut self, number: usize) -> Vec<String> {
        for _ in 0..number {
            let agent = self.agent(self.agents.len());
            self.agents.push(agent);
        }
        self.api.connected(self.agents.len() as u64)
    }
}

pub(crate) fn desktop(number: usize) -> String {
    format!("desktop-{number:02}")
}
