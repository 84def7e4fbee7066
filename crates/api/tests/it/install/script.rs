//! The install script, run by a shell in a directory that stands for the root of a machine.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;
use tokio::task::spawn_blocking;

use super::server::{InstallServer, TARBALL, tarball};

const TOKEN: &str = "0123456789abcdef0123456789abcdefSECRETSECRETSECRETSECRET";

#[test]
fn shellcheck_has_no_finding() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/install/install.sh");
    let checked = Command::new("shellcheck").args(["--shell", "sh", script]).output();
    let checked = checked.expect("shellcheck runs: apt-get install shellcheck");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// A directory that stands for the root of a machine, and the script as downloaded.
struct Machine {
    directory: TempDir,
    variables: Vec<(String, String)>,
}

/// End of a run of the script.
struct Ran {
    code: i32,
    /// Standard output, then standard error.
    text: String,
}

impl Machine {
    async fn new(server: &InstallServer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::write(directory.path().join("install.sh"), server.text("/install.sh").await).unwrap();
        fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        let machine = Self { directory, variables: Vec::new() };
        machine.protect_token(0o600);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn root(&self, name: &str) -> PathBuf {
        self.path("root").join(name)
    }

    fn protect_token(&self, mode: u32) {
        fs::set_permissions(self.path("token"), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs the script without a terminal.
    async fn run(&self, arguments: &[&str]) -> Ran {
        self.run_script("install.sh", arguments).await
    }

    async fn run_script(&self, script: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new("setsid");
        command.args(["--wait", "sh"]).arg(self.path(script)).arg("--root").arg(self.path("root"));
        command.args(arguments).stdin(Stdio::null()).current_dir(self.directory.path());
        for name in
            ["http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy"]
        {
            command.env_remove(name);
        }
        command.envs(self.variables.clone());
        let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains(TOKEN), "the token is shown: {text}");
        Ran { code: output.status.code().unwrap(), text }
    }

    async fn install(&self, arguments: &[&str]) -> Ran {
        self.run(&[&["--token-file", "token"], arguments].concat()).await
    }

    async fn refused(&self, arguments: &[&str], reason: &str) {
        let ran = self.run(arguments).await;
        assert!(ran.code != 0 && ran.text.contains(reason), "{reason}: {} {}", ran.code, ran.text);
        assert!(self.is_empty(), "{reason}: something was installed");
    }

    fn is_empty(&self) -> bool {
        fs::read_dir(self.path("root")).unwrap().next().is_none()
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.root(name)).unwrap().permissions().mode() & 0o777
    }

    fn settings(&self) -> String {
        fs::read_to_string(self.root("etc/graywave/agent.env")).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn agent_is_installed_once_and_upgraded_in_place() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    let ran = machine.install(&["--desktop-id", "pc-1"]).await;
    assert!(ran.code == 0 && ran.text.contains(&format!("installed {TARBALL}")), "{}", ran.text);
    assert_eq!(
        machine.settings(),
        "GRAYWAVE_AGENT_WORKER=https://worker.example:9443\n\
         GRAYWAVE_AGENT_CA_FILE=/etc/graywave/agent-ca.crt\n\
         GRAYWAVE_AGENT_ENROLMENT_TOKEN_FILE=/etc/graywave/enrolment-token\n\
         GRAYWAVE_AGENT_DESKTOP_ID=pc-1\n"
    );
    assert_eq!(
        fs::read_to_string(machine.root("etc/graywave/enrolment-token")).unwrap(),
        format!("{TOKEN}\n")
    );
    assert_eq!(machine.mode("etc/graywave/enrolment-token"), 0o600);
    assert_eq!(machine.mode("etc/graywave/agent.env"), 0o600);
    assert_eq!(machine.mode("usr/local/bin/graywave-agent"), 0o755);
    assert_eq!(["usr", "usr/local/bin", "etc/graywave"].map(|directory| machine.mode(directory)), [0o755; 3]);
    let unit = fs::read_to_string(machine.root("etc/systemd/system/graywave-agent.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/graywave-agent"), "{unit}");
    // Again, without a token: nothing changes, and a line of the administrator stays.
    fs::write(
        machine.root("etc/graywave/agent.env"),
        format!("GRAYWAVE_AGENT_POOL=p\n{}", machine.settings()),
    )
    .unwrap();
    let ran = machine.run(&[]).await;
    assert!(ran.code == 0 && ran.text.contains("was installed already"), "{}", ran.text);
    assert!(machine.settings().starts_with("GRAYWAVE_AGENT_POOL=p\n"), "{}", machine.settings());
    assert!(machine.settings().contains("DESKTOP_ID=pc-1"));
    tarball(server.directory.path(), &server.artefacts().join(TARBALL.replace("0.1.0", "0.10.0")), "0.10.0");
    tarball(server.directory.path(), &server.artefacts().join(TARBALL.replace("0.1.0", "0.9.0")), "0.9.0");
    server.list();
    fs::write(machine.path("install.sh"), server.text("/install.sh").await).unwrap();
    assert_eq!(machine.run(&[]).await.code, 0);
    let agent = fs::read_to_string(machine.root("usr/local/bin/graywave-agent")).unwrap();
    assert!(agent.contains("0.10.0"), "the newest version: {agent}");
    assert_eq!(machine.run(&["--version", "0.9.0"]).await.code, 0);
    assert!(fs::read_to_string(machine.root("usr/local/bin/graywave-agent")).unwrap().contains("0.9.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_download_installs_nothing() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    let install = ["--token-file", "token"];
    let pristine = fs::read(server.artefacts().join(TARBALL)).unwrap();
    fs::write(server.artefacts().join(TARBALL), "changed").unwrap();
    machine.refused(&install, "is expected; nothing was installed").await;
    // The list follows the changed file, and the script pins the list.
    server.list();
    machine.refused(&install, "SHA256SUMS of").await;
    fs::write(server.artefacts().join(TARBALL), pristine).unwrap();
    server.list();
    machine.refused(&["--token-file", "token", "--ca-fingerprint", &"0".repeat(64)], "fingerprint").await;
    machine.refused(&["--token-file", "token", "--version", "7"], "has no agent 7 for Linux").await;
    server.replace_ca();
    machine.refused(&install, &server.ca_sha256).await;
    fs::write(server.directory.path().join("ca.pem"), "").unwrap();
    machine.refused(&install, "failed 3 times").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprint_may_have_the_form_of_other_tools() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    let pairs: Vec<_> =
        server.ca_sha256.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let ran = machine.install(&["--ca-fingerprint", &pairs.join(":").to_uppercase()]).await;
    assert_eq!(ran.code, 0, "{}", ran.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_script_runs_nothing() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    let script = fs::read_to_string(machine.path("install.sh")).unwrap();
    let last_line = script.trim_end().rfind('\n').unwrap();
    // Every end of a line, and every byte of the last one.
    let line_ends =
        script.match_indices('\n').map(|(at, _)| at).filter(|at| at % 7 == 0 || *at > last_line - 400);
    let cuts: Vec<_> =
        line_ends.filter(|at| *at <= last_line).chain(last_line + 1..script.trim_end().len()).collect();
    assert!(cuts.len() > 60, "{}", cuts.len());
    for cut in cuts {
        fs::write(machine.path("cut.sh"), &script.as_bytes()[..cut]).unwrap();
        let ran = machine.run_script("cut.sh", &["--token-file", "token"]).await;
        assert!(machine.is_empty() && !ran.text.contains("graywave:"), "{cut}: {}", ran.text);
    }
    // The last line without its end is the whole script.
    fs::write(machine.path("cut.sh"), script.trim_end()).unwrap();
    assert_eq!(machine.run_script("cut.sh", &["--token-file", "token"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_is_missing_or_exposed_is_refused() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    machine.refused(&[], "no enrolment token").await;
    machine.refused(&["--token-file", "absent"], "absent does not exist").await;
    machine.refused(&["--token-file", "root"], "is no file").await;
    machine.refused(&["--token", "0123"], "a token is no argument").await;
    machine.refused(&["--token=0123"], "a token is no argument").await;
    for mode in [0o640, 0o604, 0o620, 0o644] {
        machine.protect_token(mode);
        machine.refused(&["--token-file", "token"], "chmod 600 token").await;
    }
    machine.protect_token(0o600);
    fs::write(machine.path("token"), " \n").unwrap();
    machine.refused(&["--token-file", "token"], "is empty").await;
    fs::write(machine.path("token"), "$(touch pwned)").unwrap();
    machine.refused(&["--token-file", "token"], "copy the whole token").await;
    machine.refused(&["--token-file", "-"], "standard input is empty").await;
    assert!(!machine.path("pwned").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_options_are_refused() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    for (arguments, reason) in [
        (&["--frobnicate"][..], "unknown option: --frobnicate"),
        (&["--desktop-id"], "--desktop-id needs a value"),
        (&["--desktop-id", "a\nGRAYWAVE_AGENT_WORKER=x"], "--desktop-id has characters"),
        (&["--version", "*"], "--version has characters"),
        (&["--method", "snap"], "--method is snap"),
        (&["--method", "package"], "--method package and --root"),
        (&["--purge"], "--purge needs --uninstall"),
        (&["--api-ca", "absent"], "cannot read absent"),
    ] {
        let ran = machine.run(arguments).await;
        assert!(ran.code == 2 && ran.text.contains(reason), "{arguments:?}: {}", ran.text);
    }
    assert!(machine.run(&["--help"]).await.text.contains("Usage: install.sh"));
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_is_used_named_and_handed_to_the_agent() {
    let server = InstallServer::start().await;
    let mut machine = Machine::new(&server).await;
    // A port without a listener.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = format!("http://user:pass@{closed}");
    machine.variables = vec![("http_proxy".into(), proxy.clone()), ("HTTPS_PROXY".into(), proxy.clone())];
    machine.refused(&["--token-file", "token"], "HTTPS_PROXY and NO_PROXY").await;
    machine.variables.push(("no_proxy".into(), "127.0.0.1,.corp.example".into()));
    let ran = machine.install(&[]).await;
    assert!(ran.code == 0 && !ran.text.contains("user:pass"), "{}", ran.text);
    let settings = machine.settings();
    assert!(
        settings.contains(&format!("\nHTTPS_PROXY={proxy}\nNO_PROXY=127.0.0.1,.corp.example\n")),
        "{settings}"
    );
    // The administrator's own proxy stays.
    fs::write(machine.root("etc/graywave/agent.env"), "HTTPS_PROXY=http://mine:1\n").unwrap();
    machine.install(&[]).await;
    assert!(machine.settings().contains("http://mine:1") && !machine.settings().contains(&proxy));
}

#[tokio::test(flavor = "multi_thread")]
async fn wget_serves_where_curl_is_missing() {
    let server = InstallServer::start().await;
    let mut machine = Machine::new(&server).await;
    let programs = machine.path("programs");
    fs::create_dir(&programs).unwrap();
    let needed = "sh wget uname mktemp rm ls tr cat mkdir cp mv chmod sha256sum cut base64 sort tail head find tar gzip \
                  grep sed id stty";
    for program in needed.split_whitespace() {
        let places = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(program));
        symlink(places.iter().find(|place| place.exists()).unwrap(), programs.join(program)).unwrap();
    }
    machine.variables = vec![("PATH".into(), programs.to_str().unwrap().into())];
    let script = machine.path("install.sh");
    let mut command = Command::new("/usr/bin/env");
    command.env_clear().envs(machine.variables.clone()).arg("sh").arg(script).stdin(Stdio::null());
    command.args(["--token-file", "token", "--root", "root"]).current_dir(machine.directory.path());
    let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::remove_file(programs.join("wget")).unwrap();
    let mut command = Command::new("/usr/bin/env");
    command.env_clear().envs(machine.variables.clone()).arg("sh").arg(machine.path("install.sh"));
    command.args(["--token-file", "token", "--root", "root"]).current_dir(machine.directory.path());
    let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("neither curl nor wget is installed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstall_keeps_settings_and_purge_removes_them() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    machine.install(&[]).await;
    fs::create_dir_all(machine.root("var/lib/graywave-agent/identity")).unwrap();
    fs::write(machine.root("etc/graywave/graywave.toml"), "of a control plane").unwrap();
    let ran = machine.run(&["--uninstall"]).await;
    assert!(ran.code == 0 && !machine.root("usr/local/bin/graywave-agent").exists(), "{}", ran.text);
    assert!(
        machine.root("etc/graywave/agent.env").exists() && machine.root("var/lib/graywave-agent").exists()
    );
    assert_eq!(machine.run(&["--uninstall", "--purge"]).await.code, 0);
    assert!(
        !machine.root("etc/graywave/agent.env").exists() && !machine.root("var/lib/graywave-agent").exists()
    );
    assert!(machine.root("etc/graywave/graywave.toml").exists(), "files of others stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn enrolled_machine_needs_no_token() {
    let server = InstallServer::start().await;
    let machine = Machine::new(&server).await;
    fs::create_dir_all(machine.root("var/lib/graywave-agent/identity")).unwrap();
    fs::write(machine.root("var/lib/graywave-agent/identity/certificate.pem"), "a certificate").unwrap();
    let ran = machine.run(&[]).await;
    assert!(ran.code == 0 && !machine.root("etc/graywave/enrolment-token").exists(), "{}", ran.text);
}
