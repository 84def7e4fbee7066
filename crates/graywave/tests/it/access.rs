//! `graywave projects|principals|policies|keys|tokens`, and the permissions of their credentials.

use std::{fs, path::Path};

use serde_json::Value;
use testkit::TestDatabase;

use crate::harness::{Api, Process, directory, graywave, wait_for};

struct Commands {
    database: TestDatabase,
    directory: tempfile::TempDir,
}

impl Commands {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let database = runtime.block_on(testkit::database()).unwrap();
        let directory = directory();
        fs::write(directory.path().join("master.key"), "ab".repeat(32) + "\n").unwrap();
        Self { database, directory }
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.directory.path().join("master.key")
    }

    /// Runs a command. Returns whether it succeeded, and its output or its errors.
    fn run(&self, arguments: &str) -> (bool, String) {
        let output = graywave()
            .args(arguments.split(' '))
            .env("DATABASE_URL", &self.database.url)
            .env("GRAYWAVE__ACCESS__MASTER_KEY_FILE", self.key_file())
            .output()
            .unwrap();
        let shown = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8(shown).unwrap())
    }

    fn good(&self, arguments: &str) -> String {
        let (good, text) = self.run(arguments);
        assert!(good, "{arguments}: {text}");
        text
    }

    fn refused(&self, arguments: &str) -> String {
        let (good, text) = self.run(arguments);
        assert!(!good, "{arguments}: {text}");
        text
    }
}

fn serve(commands: &Commands, log: &Path) -> (Process, String) {
    let [http] = pgcluster::free_addresses().unwrap();
    let mut command = graywave();
    command
        .arg("api")
        .env("DATABASE_URL", &commands.database.url)
        .env("GRAYWAVE__ACCESS__MASTER_KEY_FILE", commands.key_file())
        .env("GRAYWAVE__API__LISTEN", &http);
    (Process::spawn(&mut command, log), format!("http://{http}"))
}

#[test]
fn project_list_is_json_on_request() {
    let commands = Commands::new();
    commands.good("admin projects create acme");
    let listed: Value = serde_json::from_str(&commands.good("admin projects list -o json")).unwrap();
    assert_eq!((&listed[0]["project"], &listed[0]["state"]), (&"acme".into(), &"active".into()));
}

#[test]
fn unmigrated_database_names_the_command_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(testkit::empty_database()).unwrap();
    for arguments in [&["admin", "projects", "ls"][..], &["audit", "verify"]] {
        let output = graywave().args(arguments).env("DATABASE_URL", &database.url).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(message, "error: the database has no schema yet: run `graywave migrate`\n");
    }
}

#[test]
fn from_a_project_to_a_revoked_token() {
    let commands = Commands::new();
    commands.good("admin projects create acme --name Acme");
    assert!(commands.refused("admin projects create acme").contains("exists already"));
    assert_eq!(commands.good("admin projects create acme --unless-exists"), "project acme already exists\n");
    commands.good("admin principals put alice --project acme --policy reader");
    let made: Value = serde_json::from_str(
        &commands.good("admin tokens create --project acme --principal alice --expires 1d"),
    )
    .unwrap();
    let (token, token_id) = (made["token"].as_str().unwrap(), made["token_id"].as_str().unwrap());
    let (_process, http) = serve(&commands, &commands.directory.path().join("api.log"));
    let api = Api::new(&http, "acme", token);
    let status = wait_for("the API", || Some(api.try_get("/scripts")?.0));
    assert_eq!(status, 200);
    let listed = commands.good("admin tokens ls --project acme");
    assert!(listed.contains(token_id) && listed.contains("active") && !listed.contains(token), "{listed}");
    commands.good(&format!("admin tokens revoke {token_id} --project acme"));
    assert_eq!(api.try_get("/scripts").unwrap().0, 401);
    assert!(
        commands
            .refused(&format!("admin tokens revoke {token_id} --project acme"))
            .contains("revoked already")
    );

    let other = commands.good("admin tokens create --project acme --principal alice --only-token");
    assert_eq!(Api::new(&http, "acme", other.trim()).try_get("/scripts").unwrap().0, 200);

    let key: Value =
        serde_json::from_str(&commands.good("admin keys create --project acme --principal alice")).unwrap();
    let access_key = key["access_key"].as_str().unwrap();
    assert!(commands.good("admin keys ls --project acme").contains(access_key));
    commands.good(&format!("admin keys revoke {access_key} --project acme"));
    assert!(commands.good("admin keys ls --project acme").contains("revoked"));
    commands.good("admin projects revoke acme");
    assert!(commands.good("admin projects ls").contains("revoked"));
    let late = commands.refused("admin tokens create --project acme --principal alice");
    assert!(late.contains("or is revoked"), "{late}");
}

#[test]
fn policies_are_checked_where_they_are_written() {
    let commands = Commands::new();
    let file = commands.directory.path().join("policy.json");
    let put = format!("admin policies put testers --project acme --file {}", file.display());
    fs::write(
        &file,
        r#"{"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["workspace:scripts:list"]}]}"#,
    )
    .unwrap();
    assert!(commands.refused(&put).contains("graywave admin projects create"));
    commands.good("admin projects create acme");
    commands.good(&put);
    commands.good("admin principals put bob --project acme --policy testers --policy reader");
    assert!(commands.good("admin principals ls --project acme").contains("testers, reader"));
    assert!(commands.good("admin policies ls --project acme").contains("workspace:scripts:list"));
    assert!(
        commands
            .refused("admin policies delete testers --project acme")
            .contains("assign other policies to it first")
    );
    let unknown = commands.refused("admin principals put bob --project acme --policy boss");
    assert!(unknown.contains("ready are reader, operator, admin"), "{unknown}");
    fs::write(
        &file,
        r#"{"Version": "5.0", "Statement": [{"Effect": "Deny", "Action": ["workspace:script:*"]}]}"#,
    )
    .unwrap();
    assert!(commands.refused(&put).contains("matches no known action"));
    assert!(
        commands
            .refused("admin tokens create --project acme --principal eve")
            .contains("graywave principals put")
    );
}

#[test]
fn without_a_master_key_no_secret_is_stored() {
    let commands = Commands::new();
    commands.good("admin projects create acme");
    commands.good("admin principals put alice --project acme --policy reader");
    fs::write(commands.key_file(), "").unwrap();
    let refused = commands.refused("admin keys create --project acme --principal alice");
    assert!(refused.contains("access.master_key"), "{refused}");
    fs::write(commands.key_file(), "short").unwrap();
    assert!(commands.refused("admin keys ls --project acme").contains("64 hex digits"));
}

#[test]
fn rewrapped_secrets_need_only_the_new_master_key() {
    let commands = Commands::new();
    commands.good("admin projects create acme");
    commands.good("admin principals put alice --project acme --policy reader");
    commands.good("admin keys create --project acme --principal alice");
    let (old, new) = ("ab".repeat(32), "cd".repeat(32));
    fs::write(commands.key_file(), format!("{new}\n")).unwrap();
    let refused = commands.refused("admin keys rewrap");
    assert!(refused.contains("1 cannot be decrypted"), "{refused}");
    fs::write(commands.key_file(), format!("{new}\n{old}\n")).unwrap();
    assert!(commands.good("admin keys rewrap").starts_with("1 secret keys are now encrypted"));
    assert!(commands.good("admin keys rewrap").starts_with("0 secret keys"), "a repetition changes nothing");
    fs::write(commands.key_file(), format!("{new}\n")).unwrap();
    assert!(commands.good("admin keys rewrap").starts_with("0 secret keys"));
}

#[test]
fn the_commands_work_on_a_dev_cluster() {
    let directory = directory();
    let data = directory.path().join("data");
    let mut dev = crate::harness::Dev::start(&data, 1, &[]);
    let project = dev.ready["project_id"].as_str().unwrap().to_owned();
    let script = format!(
        ". {data}/env && {graywave} admin principals put eve --project {project} --policy reader \
         && {graywave} admin tokens create --project {project} --principal eve \
         && {graywave} admin keys create --project {project} --principal eve",
        data = data.display(),
        graywave = env!("CARGO_BIN_EXE_graywave"),
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let made: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let api = Api::new(dev.ready["http"].as_str().unwrap(), &project, made["token"].as_str().unwrap());
    assert_eq!(api.try_get("/scripts").unwrap().0, 200);
    assert!(dev.process.stop().success());
    assert!(!data.join("env").exists());
}
