//! The private Postgres of tests, and the descriptions of checked queries in `.sqlx`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use pgcluster::{Binaries, Cluster, Durability, Options};

use crate::{process, root};

/// A temporary cluster, in memory where possible. Dropping the value deletes its directory.
#[derive(Debug)]
pub(crate) struct Scratch {
    cluster: Option<Cluster>,
    directory: Option<tempfile::TempDir>,
}

impl Scratch {
    /// Starts a cluster on the installed Postgres.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(pgcluster::find_binaries()?)
    }

    /// Starts a cluster on the named binaries.
    pub(crate) fn start_with(binaries: Binaries) -> anyhow::Result<Self> {
        let place = ["/dev/shm", "/tmp"].into_iter().map(Path::new).find(|path| path.is_dir());
        let directory = tempfile::Builder::new()
            .prefix("graywave-xtask-")
            // The server runs as another user, who must be able to enter the directory.
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir_in(place.unwrap_or_else(|| Path::new(".")))?;
        let cluster = Cluster::start(&Options {
            directory: directory.path().join("postgres"),
            binaries,
            durability: Durability::None,
            max_connections: 400,
            preload: "",
        })?;
        Ok(Self { cluster: Some(cluster), directory: Some(directory) })
    }

    /// Returns the end of the server's log, which shows the cause if the server crashed.
    pub(crate) fn log_tail(&self) -> String {
        self.cluster.as_ref().map(|cluster| cluster.log_tail(40)).unwrap_or_default()
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.as_ref().map(|cluster| cluster.url("postgres")).unwrap_or_default()
    }
}

impl Drop for Scratch {
    /// Stops the server before its files are deleted.
    fn drop(&mut self) {
        drop(self.cluster.take());
        drop(self.directory.take());
    }
}

/// Writes `.sqlx` from the migrations and the queries in the code, or checks that it is current.
pub(crate) fn prepare(check: bool) -> anyhow::Result<()> {
    describe(&Scratch::start()?, check)
}

/// Compiles crate `store` against a migrated database, which describes every query.
pub(crate) fn describe(scratch: &Scratch, check: bool) -> anyhow::Result<()> {
    let url = scratch.url();
    migrate(&url)?;
    let committed = root().join(".sqlx");
    let fresh = tempfile::tempdir_in(
        root().join("target").metadata().map_or_else(|_| root(), |_| root().join("target")),
    )?;
    let made = fresh.path().join("sqlx");
    fs::create_dir_all(&made)?;
    // The macros run only when the crate is compiled, so force a compilation.
    let library = root().join("crates/store/src/lib.rs");
    fs::File::options().append(true).open(&library)?.set_modified(std::time::SystemTime::now())?;
    process::run(
        process::cargo(&["check", "--quiet", "--package", "graywave-store"])
            .env("DATABASE_URL", &url)
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", &made)
            .env("SQLX_TMP", fresh.path()),
    )
    .context("the queries do not match the migrations")?;
    let (old, new) = (descriptions(&committed)?, descriptions(&made)?);
    if new.is_empty() {
        bail!("no query was described: was the crate `store` compiled?");
    }
    if old == new {
        return Ok(());
    }
    if check {
        bail!(".sqlx is stale: run `cargo xtask sqlx-prepare` and commit the changes");
    }
    fs::create_dir_all(&committed)?;
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(committed.join(name))?;
    }
    for (name, text) in &new {
        fs::write(committed.join(name), text)?;
    }
    Ok(())
}

/// Applies the migrations from their files.
fn migrate(url: &str) -> anyhow::Result<()> {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("migrations"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    for file in files {
        let psql = pgcluster::find_binaries()?.directory.join("psql");
        process::run(
            std::process::Command::new(psql)
                .args([
                    "--quiet",
                    "--no-psqlrc",
                    "--set",
                    "ON_ERROR_STOP=1",
                    "--single-transaction",
                    "--file",
                ])
                .arg(&file)
                .arg(url),
        )?;
    }
    Ok(())
}

fn descriptions(directory: &PathBuf) -> anyhow::Result<BTreeMap<String, String>> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(BTreeMap::new()) };
    entries
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?))
        })
        .collect()
}
