//! Private cluster: initdb once, then start and stop.

use std::{
    fs,
    io::ErrorKind,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    Error, free_ports,
    installation::Binaries,
    user::{User, ordinary_user},
};

/// Durability of commits across a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Committed data survives; the server's defaults.
    Full,
    /// The cluster may be lost: for tests that discard it. Commits behave as usual while the
    /// machine runs.
    None,
}

/// Options of a cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directory of the cluster; created if missing. Its parents must be searchable by an ordinary
    /// user.
    pub directory: PathBuf,
    /// Binaries of the server, of the version that created the cluster.
    pub binaries: Binaries,
    /// Durability of commits across a crash of the machine.
    pub durability: Durability,
    /// Maximum number of connections of the server.
    pub max_connections: u16,
    /// Library that the server loads at its start, such as `pg_stat_statements`; empty for none.
    pub preload: &'static str,
}

/// Running server, reachable on loopback. It is stopped when this is dropped, or by
/// [`Cluster::stop`], which reports errors.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    data: PathBuf,
    port: u16,
    user: Option<User>,
    running: bool,
}

const SERVER_LOG: &str = "postgres.log";
const SUPERUSER: &str = "graywave";

impl Cluster {
    /// Creates the cluster if the directory has none, and starts it on a free port. A server that
    /// an earlier process left running on the directory is stopped first, so that no two servers
    /// share it.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let user = ordinary_user()?;
        prepare_directory(&options.directory, user)?;
        let data = options.directory.join("data");
        let mut cluster = Self { options: options.clone(), data, port: 0, user, running: false };
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.initdb()?;
        }
        if cluster.data.join("postmaster.pid").exists() {
            // Fails if the server has already ended, which is fine.
            if let Err(error) = cluster.pg_ctl(&["stop", "-m", "fast", "-w"]) {
                tracing::debug!(%error, "no earlier server is running");
            }
        }
        cluster.port = free_port()?;
        cluster.launch()?;
        cluster.running = true;
        Ok(cluster)
    }

    /// URL of a database of this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Process id of the server; its backends are children of it. `None` if it does not run.
    pub fn id(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data.join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Last lines of the server's log, oldest first. Empty if the log cannot be read.
    pub fn log_tail(&self, lines: usize) -> String {
        log_tail(&self.options.directory, lines)
    }

    /// Stops the server and waits for its end.
    pub fn stop(mut self) -> Result<(), Error> {
        self.running = false;
        self.pg_ctl(&["stop", "-m", "fast", "-w"])
    }

    /// Stops the server immediately, like a crash: it recovers from its log at the next start.
    pub fn crash(&mut self) -> Result<(), Error> {
        self.running = false;
        self.pg_ctl(&["stop", "-m", "immediate", "-w"])
    }

    /// Starts the server again on the same port, if it is not running.
    pub fn restart(&mut self) -> Result<(), Error> {
        if !self.running {
            self.launch()?;
            self.running = true;
        }
        Ok(())
    }

    fn initdb(&self) -> Result<(), Error> {
        let data = self.data.to_string_lossy().into_owned();
        let arguments =
            ["-D", &data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        self.run("initdb", &arguments)
    }

    fn launch(&self) -> Result<(), Error> {
        let options = &self.options;
        let sockets = options.directory.to_string_lossy().into_owned();
        let mut settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={} -c unix_socket_directories='{sockets}' -c max_connections={} \
             -c shared_buffers=256MB -c log_min_messages=warning -c shared_preload_libraries='{}'",
            self.port, options.max_connections, options.preload
        );
        settings.push_str(match options.durability {
            Durability::Full => " -c max_wal_size=2GB",
            // A small WAL: the cluster may be in memory, and without fsync a checkpoint costs
            // little.
            Durability::None => {
                " -c max_wal_size=256MB -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            }
        });
        let log = options.directory.join(SERVER_LOG).to_string_lossy().into_owned();
        self.pg_ctl(&["start", "-w", "-t", "60", "-l", &log, "-o", &settings])
    }

    fn pg_ctl(&self, arguments: &[&str]) -> Result<(), Error> {
        let data = self.data.to_string_lossy().into_owned();
        let mut all = vec!["-D", &data];
        all.extend_from_slice(arguments);
        self.run("pg_ctl", &all)
    }

    /// Runs a program with output to a file: the server inherits the output, and a pipe would stay
    /// open as long as it runs.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<(), Error> {
        let directory = self.data.parent().unwrap_or(&self.data);
        let log_path = directory.join(format!("{program}.log"));
        let log = fs::File::create(&log_path).map_err(Error::io(&log_path))?;
        let log_too = log.try_clone().map_err(Error::io(&log_path))?;
        let path = self.options.binaries.directory.join(program);
        let mut command = Command::new(&path);
        command
            .args(arguments)
            .current_dir(directory)
            .stdin(std::process::Stdio::null())
            .stdout(log)
            .stderr(log_too);
        // Own process group: Ctrl-C at the terminal stops this process, which then stops the server
        // in order.
        command.process_group(0);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        let status = command.status().map_err(Error::io(&path))?;
        if status.success() {
            return Ok(());
        }
        let mut output = fs::read_to_string(&log_path).unwrap_or_default();
        output.push('\n');
        output.push_str(&log_tail(directory, 5));
        Err(Error::Program { program: program.to_owned(), output })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.running
            && let Err(error) = self.pg_ctl(&["stop", "-m", "fast", "-w"])
        {
            tracing::warn!(%error, "stopping the private Postgres failed");
        }
    }
}

fn log_tail(directory: &Path, lines: usize) -> String {
    let log = fs::read(directory.join(SERVER_LOG)).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let skipped = log.lines().count().saturating_sub(lines);
    log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn prepare_directory(directory: &Path, user: Option<User>) -> Result<(), Error> {
    match fs::create_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Error::io(directory)(error)),
        _ => {}
    }
    if let Some(user) = user {
        check_parents(directory)?;
        chown(directory, Some(user.uid), Some(user.gid)).map_err(Error::io(directory))?;
    }
    Ok(())
}

/// Checks that the server's user can enter the directory of a cluster, before anything is created
/// there. Parents that do not exist yet are created with the caller's umask and not checked.
///
/// # Errors
///
/// [`Error::NoPassage`] for a root caller if a parent is not searchable by every user.
pub fn check_directory(directory: &Path) -> Result<(), Error> {
    match ordinary_user()? {
        Some(_) => check_parents(&std::path::absolute(directory).map_err(Error::io(directory))?),
        None => Ok(()),
    }
}

/// Checks that every existing parent is searchable by others.
fn check_parents(directory: &Path) -> Result<(), Error> {
    for parent in directory.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
        match fs::metadata(parent) {
            Ok(found) if found.permissions().mode() & 0o001 == 0 => {
                return Err(Error::NoPassage { path: parent.to_owned() });
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(parent)(error)),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Port that is free now. Another process may take it before the server does; the start then fails
/// with an error.
fn free_port() -> Result<u16, Error> {
    let ports = free_ports(1).map_err(Error::io("127.0.0.1"))?;
    Ok(ports.first().copied().unwrap_or_default())
}
