//! An operator with a development cluster, and the snapshot filters.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use insta::Settings;
use serde_json::Value;

use crate::harness::{Dev, directory, graywave, wait_for};

const DESKTOPS: u32 = 6;
/// Fixed seed: the same canaries in each run.
pub(super) const SEED: &str = "--seed=7";

pub(super) struct Operator {
    dev: Dev,
    directory: tempfile::TempDir,
}

impl Operator {
    pub(super) fn new() -> Self {
        let directory = directory();
        let dev = Dev::start(&directory.path().join("data"), DESKTOPS, &[]);
        Self { dev, directory }
    }

    pub(super) fn text(&self, key: &str) -> &str {
        self.dev.ready[key].as_str().unwrap()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Builds a command without a credential.
    pub(super) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = graywave();
        command.args(arguments).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml")).stdin(Stdio::null());
        for name in ["GRAYWAVE_GRPC", "GRAYWAVE_TOKEN", "GRAYWAVE_CONTEXT", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.env("GRAYWAVE_GRPC", self.text("grpc")).env("GRAYWAVE_TOKEN", self.text("token"));
        command
    }

    pub(super) fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a shell line with the variables of the cluster.
    pub(super) fn shell(&self, line: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml")).stdin(Stdio::null());
        command.env("GRAYWAVE_GRPC", self.text("grpc")).env("GRAYWAVE_TOKEN", self.text("token"));
        command.output().unwrap()
    }

    /// Runs a command that must succeed and returns its output.
    pub(super) fn good(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["-o", "json"]].concat())).unwrap()
    }

    /// Returns the command line, its exit code and both outputs as text.
    pub(super) fn transcript(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        let arguments: Vec<_> = command.get_args().map(|it| it.to_string_lossy().into_owned()).collect();
        let code = output.status.code().unwrap();
        format!("$ graywave {}\n{out}{err}-> {code}\n", arguments.join(" "))
    }

    pub(super) fn task(&self, arguments: &[&str]) -> String {
        let all = [&["run", "--detach", "--quiet"][..], arguments].concat();
        self.good(&all).trim().to_owned()
    }

    pub(super) fn ended(&self, task_id: &str) -> String {
        wait_for("the task's end", || {
            let task = self.json(&["show", task_id]);
            (!task["end_time"].is_null()).then(|| task["status"].as_str().unwrap().to_owned())
        })
    }
}

/// Snapshot filters: replace values that differ between runs by placeholders of the same width.
pub(super) fn settings() -> Settings {
    let mut settings = Settings::clone_current();
    for (pattern, with) in [
        (r"worker-[0-9a-f]{32}", "worker-WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW"),
        (r"\b[0-9a-f]{64}\b", "SHA256"),
        (r"\b[0-9a-f]{32}\b", "IDIDIDIDIDIDIDIDIDIDIDIDIDIDIDID"),
        (r"\b01[0-9a-f]{10}\b", "SHORTSHORTID"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS"),
        (r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "TIME"),
        (r"\b\d\d:\d\d:\d\d\b", "HH:MM:SS"),
        (r"after \d+m?s", "after TOOK"),
        (r" \d+s( |\n)", " Ns$1"),
        (r"(host name|time zone|os version|os_host_name|os_version|time_zone)(.?:) .*", "$1$2 ..."),
        (r"127\.0\.0\.1:\d+ *", "127.0.0.1:PORT "),
        (r"graywave-test-[0-9A-Za-z]+", "graywave-test"),
        (r"/[^ ]*/graywave-test", "/TMP/graywave-test"),
        (r"(token|key):[0-9A-Za-z]+", "$1:ID"),
        (r#"(credential|source|request_id|user_agent|containment|"?seed"?)("?:) .*"#, "$1$2 ..."),
    ] {
        settings.add_filter(pattern, with);
    }
    settings
}
