//! `cargo xtask guides`: pastes the commands of README.md and of the guides into a shell, in order,
//! as a new user does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use testkit::DevCluster;

use crate::{database::Scratch, install, process, root, say};

/// Desktops of the cluster, as many as `graywave dev` starts by default.
const DESKTOPS: u32 = 20;

/// Commands that other steps run, or that need more than this machine has.
const SKIPPED: [(&str, &str); 3] = [
    ("cargo xtask demo", "step demo"),
    ("cargo run -p graywave -- dev", "this step starts the cluster"),
    ("docker compose", "step compose"),
];

/// Waits for a role of the guide. Ends the guide if the role does not become ready.
const WAIT_FOR_ROLES: &str = "for role in api:9100 scheduler:9101 worker:9102; do
  for attempt in $(seq 300); do
    GRAYWAVE__TELEMETRY__LISTEN=127.0.0.1:${role#*:} graywave healthcheck ${role%:*} 2> healthcheck.log && break
    sleep 0.1
  done
  test $attempt -lt 300 || { cat healthcheck.log; exit 1; }
done
";

/// Runs all guides.
pub(crate) fn run() -> anyhow::Result<()> {
    install::python()?;
    process::build()?;
    on_dev_cluster()?;
    on_separate_roles()
}

/// README.md and docs/first-calls.md in one shell, on a dev cluster.
fn on_dev_cluster() -> anyhow::Result<()> {
    let directory = testkit::directory("graywave-guides-")?;
    let mut cluster = DevCluster::start(&directory.path().join("graywave-data"), DESKTOPS, &[])?;
    let script = [page("README.md", "")?, page("docs/first-calls.md", "")?].concat();
    paste("README.md and docs/first-calls.md", &script, directory.path(), &[])?;
    cluster.process.stop_cleanly()
}

/// The roles of docs/deployment.md as separate processes, on a Postgres of this step.
fn on_separate_roles() -> anyhow::Result<()> {
    let directory = testkit::directory("graywave-guides-")?;
    let scratch = Scratch::start()?;
    let url = scratch.url();
    let (server, _) = url.rsplit_once('/').context("no database in the URL")?;
    let (user, address) = server.trim_start_matches("postgres://").split_once('@').context("no user")?;
    let (host, port) = address.split_once(':').context("no port")?;
    let binaries = pgcluster::find_binaries()?.directory;
    let programs = testkit::binary("graywave")?;
    let programs = programs.parent().context("no directory of the programs")?.to_owned();
    let path = std::env::join_paths(
        [programs, binaries]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let variables = [
        ("PATH", path.to_string_lossy().into_owned()),
        ("PGUSER", user.to_owned()),
        ("PGHOST", host.to_owned()),
        ("PGPORT", port.to_owned()),
    ];
    let script = page("docs/deployment.md", "## Roles as separate processes")? + WAIT_FOR_ROLES;
    let script = on_free_ports(&script)?;
    paste("docs/deployment.md", &script, directory.path(), &variables)
}

/// Replaces the default ports, which another program of this machine may use.
fn on_free_ports(script: &str) -> anyhow::Result<String> {
    const PORTS: [&str; 6] = ["8080", "9090", "9443", "9100", "9101", "9102"];
    let free = pgcluster::free_ports(PORTS.len())?;
    const LISTENS: &str = "export GRAYWAVE__API__LISTEN=127.0.0.1:8080 GRAYWAVE__WORKER__SCHEDULER_URLS=http://127.0.0.1:9090 \
         GRAYWAVE__TELEMETRY__LISTEN=127.0.0.1:9100\n";
    let script = LISTENS.to_owned() + script;
    Ok(PORTS
        .iter()
        .zip(free)
        .fold(script, |script, (port, free)| script.replace(&format!(":{port}"), &format!(":{free}"))))
}

/// Runs a script with the bash of this machine. Fails with the failing command and its output.
fn paste(name: &str, script: &str, directory: &Path, variables: &[(&str, String)]) -> anyhow::Result<()> {
    const LIMIT: Duration = Duration::from_secs(300);
    say(&format!("-- {name}"));
    let file = directory.join("guide.sh");
    // Background jobs end with the shell.
    let script = format!(
        "set -eo pipefail\ntrap 'echo \"failed: $BASH_COMMAND\" >&2' ERR\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}"
    );
    fs::write(&file, &script)?;
    let log = directory.join("guide.log");
    let output = fs::File::create(&log)?;
    let mut bash = Command::new("timeout");
    bash.arg(LIMIT.as_secs().to_string()).arg("bash").arg(&file).current_dir(directory);
    // A user's terminal has no variables of this step, and a home directory of its own.
    bash.env("HOME", directory).envs(variables.iter().map(|(name, value)| (*name, value)));
    bash.stdin(std::process::Stdio::null()).stderr(output.try_clone()?).stdout(output);
    let status = bash.status().context("cannot start bash")?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "a command of {name} failed ({status}):\n{text}");
    Ok(())
}

/// Script of all blocks of a page, or of one section of it.
fn page(path: &str, section: &str) -> anyhow::Result<String> {
    let full: PathBuf = root().join(path);
    let text = fs::read_to_string(&full).with_context(|| format!("cannot read {path}"))?;
    let text = match section {
        "" => text.as_str(),
        heading => {
            section_of(&text, heading).with_context(|| format!("{path} has no section {heading:?}"))?
        }
    };
    let blocks = blocks(text);
    ensure!(!blocks.is_empty(), "{path} has no commands");
    Ok(blocks.concat())
}

/// Text from a heading to the next one of the same level.
fn section_of<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let start = text.find(&format!("{heading}\n"))?;
    let rest = text.get(start + heading.len()..)?;
    Some(rest.find("\n## ").map_or(rest, |end| rest.get(..end).unwrap_or(rest)))
}

/// Commands of each block in shell or Python, as shell.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```").filter(|language| !language.is_empty()) else {
            continue;
        };
        let body: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        match language {
            "sh" => blocks.push(format!("{}\n", body.join("\n"))),
            "console" => blocks.extend(body.iter().filter_map(|line| typed(line))),
            "python" => blocks.push(format!("python3 - <<'PROGRAM'\n{}\nPROGRAM\n", body.join("\n"))),
            _ => {}
        }
    }
    blocks
}

/// Command behind a prompt; `None` for output and for [`SKIPPED`] commands.
fn typed(line: &str) -> Option<String> {
    let command = line.strip_prefix("$ ")?;
    let is_skipped = SKIPPED.iter().any(|(skipped, _)| command.starts_with(skipped));
    (!is_skipped).then(|| format!("{command}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_a_page_become_one_script() {
        let text = "# A\n```sh\na=1\n```\ntext\n```console\n$ cargo xtask demo   # skipped\n$ echo $a\n1\n```\n\
                    ```json\n{}\n```\n```python\nprint(1)\n```\n";
        assert_eq!(blocks(text), ["a=1\n", "echo $a\n", "python3 - <<'PROGRAM'\nprint(1)\nPROGRAM\n"]);
    }

    #[test]
    fn section_ends_at_the_next_heading() {
        let text = "## A\na\n## B\nb\n### C\nc\n## D\nd\n";
        assert_eq!(section_of(text, "## B"), Some("\nb\n### C\nc"));
        assert_eq!(section_of(text, "## E"), None);
    }

    #[test]
    fn failing_command_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = paste("a page", "true\nls /does-not-exist\ntrue\n", directory.path(), &[]).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("a page") && text.contains("failed: ls /does-not-exist"), "{text}");
    }
}
