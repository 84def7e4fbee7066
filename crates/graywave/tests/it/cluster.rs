//! The roles as separate processes on a database: one API, two schedulers, two workers, agents.

use std::{path::Path, process::Command};

use testkit::TestDatabase;

use crate::{
    harness::{Api, Process, agent_binary, directory, graywave},
    pki::{self, Pki},
};

pub(crate) const PROJECT: &str = "project-1";
pub(crate) const TOKEN: &str = "a-token-of-project-1";

fn free_address() -> String {
    let [address] = pgcluster::free_addresses().unwrap();
    address
}

/// The database of the cluster and its owner.
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
    /// Additional settings of all processes, as environment variables.
    environment: Vec<(String, String)>,
    /// `None` disables TLS in all processes.
    pub(crate) pki: Option<Pki>,
    /// Lifetime of enrolled certificates in days; `None` disables enrolment.
    certificate_days: Option<f64>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) schedulers: Vec<(String, Process)>,
    pub(crate) workers: Vec<(String, Process)>,
    pub(crate) agents: Vec<Process>,
    pub(crate) api: Api,
    api_address: String,
    pub(crate) api_process: Process,
}

impl Cluster {
    /// Starts one API, two schedulers and two workers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts the cluster with these environment variables in all processes, including agents.
    pub(crate) fn start_with(environment: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = Database::Shared(runtime.block_on(testkit::database()).unwrap());
        Self::over(database, directory(), None, None, environment)
    }

    /// Starts the cluster with TLS.
    pub(crate) fn start_with_tls() -> Self {
        Self::start_certified("", None, &[])
    }

    /// Starts the cluster with TLS and enrolment. Enrolled certificates last `certificate_days`.
    pub(crate) fn start_with_enrolment(certificate_days: f64) -> Self {
        let cluster = Self::start_certified("", Some(certificate_days), &[]);
        cluster.create_project();
        cluster
    }

    /// Starts the cluster with TLS, these settings, and a database password. The database does not
    /// verify the password.
    pub(crate) fn start_with_passwords(password: &str, environment: &[(&str, &str)]) -> Self {
        Self::start_certified(password, None, environment)
    }

    fn start_certified(password: &str, days: Option<f64>, environment: &[(&str, &str)]) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let directory = directory();
        let pki = Pki::new(&directory.path().join("pki"));
        if days.is_some() {
            pki.issuer();
        }
        let mut database = runtime.block_on(testkit::database()).unwrap();
        if !password.is_empty() {
            database.url = database.url.replacen('@', &format!(":{password}@"), 1);
        }
        Self::over(Database::Shared(database), directory, Some(pki), days, environment)
    }

    /// Starts the cluster on a private Postgres at this URL.
    pub(crate) fn start_on(url: &str) -> Self {
        assert!(graywave().arg("migrate").env("DATABASE_URL", url).status().unwrap().success());
        Self::over(Database::Private(url.to_owned()), directory(), None, None, &[])
    }

    fn over(
        database: Database,
        directory: tempfile::TempDir,
        pki: Option<Pki>,
        certificate_days: Option<f64>,
        environment: &[(&str, &str)],
    ) -> Self {
        let http = free_address();
        let environment: Vec<_> =
            environment.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let api_process = api_process(database.url(), &http, &environment, &directory.path().join("api.log"));
        let mut cluster = Self {
            database,
            environment,
            pki,
            certificate_days,
            directory,
            schedulers: Vec::new(),
            workers: Vec::new(),
            agents: Vec::new(),
            api: Api::new(&format!("http://{http}"), PROJECT, TOKEN),
            api_address: http,
            api_process,
        };
        for _ in 0..2 {
            cluster.add_scheduler();
        }
        for _ in 0..2 {
            cluster.add_worker();
        }
        cluster
    }

    pub(crate) fn database_url(&self) -> &str {
        self.database.url()
    }

    /// Creates the project, so that it may have principals and credentials in the database.
    pub(crate) fn create_project(&self) {
        self.command(&["admin", "projects", "create", PROJECT]);
    }

    /// Stops all roles gracefully and restarts them at the same addresses on another database.
    /// Agents keep running.
    pub(crate) fn move_to(&mut self, url: &str) {
        self.stop_roles();
        self.database = Database::Private(url.to_owned());
        self.api_process = api_process(url, &self.api_address, &self.environment, &self.log("api"));
        for place in 0..self.schedulers.len() {
            self.schedulers[place].1 = self.scheduler(&self.schedulers[place].0.clone());
        }
        for place in 0..self.workers.len() {
            self.workers[place].1 = self.worker(&self.workers[place].0.clone());
        }
    }

    /// Stops each role gracefully with SIGTERM.
    pub(crate) fn stop_roles(&mut self) {
        let roles = self.workers.iter_mut().chain(&mut self.schedulers).map(|(_, process)| process);
        for process in roles.chain([&mut self.api_process]) {
            if process.0.is_running().unwrap() {
                assert!(process.stop().success());
            }
        }
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
        let settings = [
            ("SCHEDULER__LISTEN", address),
            ("SCHEDULER__LEASE_MS", "2000"),
            ("SCHEDULER__HEARTBEAT_MS", "300"),
            ("SCHEDULER__WORKER_TIMEOUT_MS", "1500"),
            ("SCHEDULER__PERIOD_MS", "200"),
        ];
        let mut command = database_role("scheduler", self.database.url(), &settings);
        command.envs(self.environment.clone());
        self.certify(&mut command, "scheduler", address);
        if let Some((days, pki)) = self.certificate_days.zip(self.pki.as_ref()) {
            let issuer = pki.issuer_files();
            command
                .env("GRAYWAVE__ENROLMENT__ISSUER_CERT_FILE", issuer.cert)
                .env("GRAYWAVE__ENROLMENT__ISSUER_KEY_FILE", issuer.key)
                .env("GRAYWAVE__ENROLMENT__CERTIFICATE_DAYS", days.to_string());
        }
        Process::spawn(&mut command, &self.log("scheduler"))
    }

    /// Gives a role its certificate. The port is its name.
    fn certify(&self, command: &mut Command, role: &str, address: &str) {
        if let Some(pki) = &self.pki {
            let (_, port) = address.rsplit_once(':').unwrap();
            pki::of_role(command, &pki.role(role, port));
            if role == "scheduler" {
                // Each scheduler signs with a separate certificate.
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
        let schedulers = schedulers.join(",");
        let settings = [("WORKER__LISTEN", address), ("WORKER__SCHEDULER_URLS", &schedulers)];
        let mut command = testkit::role("worker", &settings).unwrap();
        command.envs(self.environment.clone());
        self.certify(&mut command, "worker", address);
        if self.certificate_days.is_some() {
            command.env("GRAYWAVE__WORKER__ENROLMENT", "true");
        }
        Process::spawn(&mut command, &self.log("worker"))
    }

    /// Runs a command on the database, which must succeed, and returns its output.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = graywave().args(arguments).env("DATABASE_URL", self.database.url()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts an agent that enrols with the token in a file. `name` is the name of its data
    /// directory and its log.
    pub(crate) fn enrolling(&self, name: &str, desktop_id: Option<&str>, token_file: &Path) -> Process {
        let mut command = Command::new(agent_binary());
        command.arg("--data-dir").arg(self.directory.path().join(name));
        for (address, _) in &self.workers {
            command.args(["--worker", &format!("https://{address}")]);
        }
        if let Some(desktop_id) = desktop_id {
            command.args(["--desktop-id", desktop_id]);
        }
        command.arg("--ca-file").arg(self.directory.path().join("pki/ca/ca.crt"));
        command.arg("--enrolment-token-file").arg(token_file);
        Process::spawn(&mut command, &self.log(name))
    }

    /// Starts an agent that knows all workers and connects to one of them first.
    pub(crate) fn agent(&self, number: usize) -> Process {
        let files = self.pki.as_ref().map(|pki| pki.desktop(PROJECT, &desktop(number)));
        self.agent_with(number, files.as_ref())
    }

    /// Starts an agent with these certificates.
    pub(crate) fn agent_with(&self, number: usize, files: Option<&mtls::Files>) -> Process {
        let turn = |turn: usize| self.workers[(number + turn) % self.workers.len()].0.clone();
        self.agent_of(number, files, (0..self.workers.len()).map(turn))
    }

    /// Starts an agent that connects to these workers.
    pub(crate) fn agent_of(
        &self,
        number: usize,
        files: Option<&mtls::Files>,
        workers: impl IntoIterator<Item = String>,
    ) -> Process {
        let mut command = Command::new(agent_binary());
        command.envs(self.environment.clone());
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

    /// Starts an agent that reports this version instead of its own.
    pub(crate) fn agent_of_version(&self, number: usize, version: &str) -> Process {
        let mut command = Command::new(agent_binary());
        command.env("GRAYWAVE_TEST_AGENT_VERSION", version);
        command.args(["--project", PROJECT, "--desktop-id", &desktop(number), "--data-dir"]);
        command.arg(self.directory.path().join(desktop(number)));
        for (address, _) in &self.workers {
            command.args(["--worker", &format!("{}://{address}", self.scheme())]);
        }
        Process::spawn(&mut command, &self.log("agents"))
    }

    /// Starts an agent of this desktop over another data directory. `name` is the name of the
    /// directory and of the log.
    pub(crate) fn agent_over(&self, number: usize, name: &str, worker: usize) -> Process {
        let mut command = Command::new(agent_binary());
        command.args(["--project", PROJECT, "--desktop-id", &desktop(number), "--data-dir"]);
        command.arg(self.directory.path().join(name));
        command.args(["--worker", &format!("{}://{}", self.scheme(), self.workers[worker].0)]);
        Process::spawn(&mut command, &self.log(name))
    }

    pub(crate) fn add_agents(&mut self, number: usize) -> Vec<String> {
        for _ in 0..number {
            let agent = self.agent(self.agents.len());
            self.agents.push(agent);
        }
        self.api.connected(self.agents.len() as u64)
    }
}

fn api_process(url: &str, address: &str, environment: &[(String, String)], log: &Path) -> Process {
    let mut command = database_role("api", url, &[("API__LISTEN", address)]);
    command.envs(environment.iter().cloned());
    Process::spawn(&mut command, log)
}

/// Builds the command of a role on the database, with these settings and the project's token.
fn database_role(name: &str, url: &str, settings: &[(&str, &str)]) -> Command {
    let token = format!("{PROJECT}:{TOKEN}");
    let admins = format!("{PROJECT}:configuration");
    let common = [
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "1000"),
        ("API__TOKENS", &token),
        ("ACCESS__CLUSTER_ADMINS", &admins),
    ];
    let mut command = testkit::role(name, &[&common[..], settings].concat()).unwrap();
    command.env("DATABASE_URL", url);
    command
}

pub(crate) fn desktop(number: usize) -> String {
    format!("desktop-{number:02}")
}
