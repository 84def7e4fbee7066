//! A database that is lost and recovered from an older backup. docs/operating.md describes the same
//! steps by hand.

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use pgcluster::{Cluster as Postgres, Durability, Options};
use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    harness::{directory, wait_for},
};

/// Appends settings to `postgresql.conf`.
fn set(data: &Path, settings: &str) {
    let path = data.join("postgresql.conf");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n{settings}\n")).unwrap();
}

fn options(directory: PathBuf) -> Options {
    let binaries = pgcluster::find_binaries().unwrap();
    Options { directory, binaries, durability: Durability::Full, max_connections: 100, preload: "" }
}

/// A private Postgres that archives its write-ahead log.
struct Archiving {
    postgres: Option<Postgres>,
    home: PathBuf,
    archive: PathBuf,
}

impl Archiving {
    fn start(home: &Path) -> Self {
        let directory = home.join("postgres");
        Postgres::start(&options(directory.clone())).unwrap().stop().unwrap();
        let archive = owned_as(&directory, &home.join("archive"));
        // Copies beside the final path and renames, so that a crash leaves no partial file.
        let command =
            format!("test ! -f {0}/%f && cp %p {0}/%f.new && mv {0}/%f.new {0}/%f", archive.display());
        set(&directory.join("data"), &format!("archive_mode = on\narchive_command = '{command}'"));
        let postgres = Some(Postgres::start(&options(directory)).unwrap());
        Self { postgres, home: home.to_owned(), archive }
    }

    fn url(&self) -> String {
        self.postgres.as_ref().unwrap().url("postgres")
    }

    /// Runs a program of Postgres as the server's user.
    fn program(&self, name: &str, arguments: &[&str]) -> String {
        let owner = fs::metadata(self.home.join("postgres/data")).unwrap();
        let output = Command::new(pgcluster::find_binaries().unwrap().directory.join(name))
            .args(arguments)
            .current_dir(&self.home)
            .uid(owner.uid())
            .gid(owner.gid())
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn sql(&self, statement: &str) -> String {
        self.program("psql", &[&self.url(), "-XAtc", statement])
    }

    fn base_backup(&self) -> PathBuf {
        let restored = owned_as(&self.home.join("postgres"), &self.home.join("restored"));
        let data = restored.join("data");
        self.program(
            "pg_basebackup",
            &["-d", &self.url(), "-D", data.to_str().unwrap(), "-c", "fast", "-X", "none"],
        );
        restored
    }

    /// Dumps the database and restores it into a new one.
    fn dumped_and_restored(&self) -> String {
        let dump = self.archive.join("graywave.dump");
        let dump = dump.to_str().unwrap();
        self.program("pg_dump", &["-d", &self.url(), "-Fc", "-f", dump]);
        self.sql("CREATE DATABASE moved");
        let url = self.postgres.as_ref().unwrap().url("moved");
        self.program("pg_restore", &["-d", &url, "--exit-on-error", dump]);
        url
    }

    /// Archives everything written so far.
    fn archive_all(&self) {
        let last = self.sql("SELECT pg_walfile_name(pg_switch_wal())");
        wait_for("the archive", || self.archive.join(&last).exists().then_some(()));
    }

    /// Destroys the server and recovers the backup up to a restore point.
    fn recover(&mut self, restored: PathBuf, point: &str) {
        self.postgres.take().unwrap().crash().unwrap();
        let data = restored.join("data");
        set(
            &data,
            &format!(
                "restore_command = 'cp {}/%f %p'\nrecovery_target_name = '{point}'\nrecovery_target_action = 'promote'",
                self.archive.display()
            ),
        );
        let signal = data.join("recovery.signal");
        fs::write(&signal, "").unwrap();
        let owner = fs::metadata(&data).unwrap();
        chown(&signal, Some(owner.uid()), Some(owner.gid())).unwrap();
        self.postgres = Some(Postgres::start(&options(restored)).unwrap());
        wait_for("the promotion", || (self.sql("SELECT pg_is_in_recovery()") == "f").then_some(()));
    }
}

/// Creates a directory with the owner of another.
fn owned_as(other: &Path, path: &Path) -> PathBuf {
    fs::create_dir(path).unwrap();
    let owner = fs::metadata(other).unwrap();
    chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
    path.to_owned()
}

fn lines(path: &Path) -> Vec<String> {
    let mut lines: Vec<String> =
        fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Asserts that each desktop left exactly one mark.
fn once_each(path: &Path, desktops: &[String]) {
    assert_eq!(lines(path), desktops, "{}", path.display());
}

fn succeeded(ended: &Value, number: usize) {
    assert_eq!((&ended["status"], &ended["success_num"]), (&json!("SUCCESS"), &json!(number)), "{ended}");
}

#[test]
fn recovered_database_gets_lost_results_from_agents_again() {
    let home = directory();
    let mut database = Archiving::start(home.path());
    let mut cluster = Cluster::start_on(&database.url());
    let desktops = cluster.add_agents(3);
    let marks = cluster.directory.path().to_owned();
    let mark = |name: &str| marks.join(name);
    let (before, during, gate, lost, running, ended_late) =
        (mark("before"), mark("during"), mark("gate"), mark("lost"), mark("running"), mark("ended"));
    let leaves = |mark: &Path| format!("echo $GRAYWAVE_DESKTOP_ID >> {}", mark.display());
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());

    let done = cluster.api.run(&leaves(&before), &desktops, json!({}));
    succeeded(&cluster.api.ended(&done), 3);
    let restored = database.base_backup();
    // Running at the restore point: after the recovery, only the agents' journals know its starts.
    let under_way = cluster.api.run(&format!("{}; {waits}", leaves(&during)), &desktops, json!({}));
    wait_for("the starts", || (lines(&during).len() == 3).then_some(()));
    database.sql("SELECT pg_create_restore_point('before')");
    fs::write(&gate, "").unwrap();
    succeeded(&cluster.api.ended(&under_way), 3);
    // Created and ended after the restore point, so only the desktops know it. A second task runs
    // during the recovery.
    let forgotten = cluster.api.run(&leaves(&lost), &desktops, json!({}));
    succeeded(&cluster.api.ended(&forgotten), 3);
    let late = mark("late");
    let script = format!(
        "{}; until [ -e {} ]; do sleep 0.05; done; {}",
        leaves(&running),
        late.display(),
        leaves(&ended_late)
    );
    let unfinished = cluster.api.run(&script, &desktops[..1], json!({}));
    wait_for("its start", || (lines(&running).len() == 1).then_some(()));
    database.archive_all();

    for (_, process) in cluster.workers.iter_mut().chain(&mut cluster.schedulers) {
        process.kill();
    }
    cluster.api_process.kill();
    database.recover(restored, "before");
    cluster.move_to(&database.url());
    cluster.api.connected(3);
    succeeded(&cluster.api.task(&done), 3);
    succeeded(&cluster.api.ended(&under_way), 3);
    once_each(&before, &desktops);
    once_each(&during, &desktops);
    let asked = cluster.api.get(&format!("/script-execution-tasks?task_id={forgotten}"));
    assert_eq!(asked["script_tasks"], json!([]), "{asked}");
    // The running script ends, and its result is refused. So are results of the other forgotten
    // task that no worker had acknowledged yet.
    fs::write(&late, "").unwrap();
    wait_for("its refusal", || {
        let log = fs::read_to_string(cluster.log("scheduler")).ok()?;
        log.lines().any(|line| line.contains("no such task") && line.contains(&unfinished)).then_some(())
    });
    once_each(&ended_late, &desktops[..1]);
    let after = mark("after");
    let next = cluster.api.run(&leaves(&after), &desktops, json!({}));
    succeeded(&cluster.api.ended(&next), 3);
    once_each(&after, &desktops);

    // A dump of an idle cluster loses nothing: pending targets run in the new database.
    let waiting = mark("waiting");
    cluster.api.native().post("/freeze", &json!({"reason": "it moves"}));
    let task = cluster.api.run(&leaves(&waiting), &desktops, json!({}));
    cluster.stop_roles();
    let url = database.dumped_and_restored();
    cluster.move_to(&url);
    cluster.api.connected(3);
    succeeded(&cluster.api.task(&under_way), 3);
    assert!(lines(&waiting).is_empty());
    cluster.api.native().delete("/freeze");
    succeeded(&cluster.api.ended(&task), 3);
    once_each(&waiting, &desktops);
}
