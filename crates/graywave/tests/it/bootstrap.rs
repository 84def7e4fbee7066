//! `graywave agents bootstrap` over real SSH servers on this machine, each with its own root of an
//! installation.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    cluster::{Cluster, PROJECT},
    enrolment::{LONG, token},
    harness::{Process, agent_binary, graywave, wait_for},
};

const SERVER: &str = "/usr/sbin/sshd";

/// SSH servers and a client's configuration that names them.
struct Hosts {
    /// Below /tmp: the path of a control socket has at most 100 bytes.
    directory: TempDir,
    config: String,
    processes: Vec<Process>,
}

impl Hosts {
    fn new() -> Self {
        assert!(Path::new(SERVER).exists(), "{SERVER} is missing: apt-get install openssh-server");
        let directory = tempfile::Builder::new().prefix("gw").tempdir_in("/tmp").unwrap();
        let hosts = Self { directory, config: String::new(), processes: Vec::new() };
        for name in ["key", "host-key"] {
            let mut command = Command::new("ssh-keygen");
            command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(hosts.path(name));
            assert!(command.status().unwrap().success());
        }
        fs::copy(hosts.path("key.pub"), hosts.path("authorized")).unwrap();
        fs::write(hosts.path("none"), "").unwrap();
        let force = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$SSH_ORIGINAL_COMMAND\" >>{}\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
            hosts.path("commands").display()
        );
        fs::write(hosts.path("force"), force).unwrap();
        fs::set_permissions(hosts.path("force"), fs::Permissions::from_mode(0o755)).unwrap();
        // A server of root separates its privileges there.
        drop(fs::create_dir("/run/sshd"));
        hosts
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Root of a host's installation.
    fn root(&self, host: &str) -> PathBuf {
        self.path(&format!("root-{host}"))
    }

    /// Starts a server. `authorized` names the file of accepted keys.
    fn serve(&mut self, host: &str, authorized: &str, is_known: bool) {
        let [address] = pgcluster::free_addresses().unwrap();
        let port = address.rsplit_once(':').unwrap().1;
        fs::create_dir(self.root(host)).unwrap();
        let text = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {host_key}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             AuthorizedKeysFile {authorized}\nForceCommand {force}\nSetEnv GRAYWAVE_INSTALL_ROOT={root}\n",
            host_key = self.path("host-key").display(),
            authorized = self.path(authorized).display(),
            force = self.path("force").display(),
            root = self.root(host).display(),
        );
        fs::write(self.path(host), text).unwrap();
        let log = self.path(&format!("{host}.log"));
        let mut command = Command::new(SERVER);
        command.args(["-D", "-e", "-f"]).arg(self.path(host));
        self.processes.push(Process::spawn(&mut command, &log));
        wait_for("the SSH server", || std::net::TcpStream::connect(&address).ok());
        self.name(host, port, is_known);
    }

    /// Adds a host to the client's configuration.
    fn name(&mut self, host: &str, port: &str, is_known: bool) {
        let known = self.path(if is_known { "known" } else { "none" });
        let key = fs::read_to_string(self.path("host-key.pub")).unwrap();
        let line = format!("[127.0.0.1]:{port} {key}");
        let lines = fs::read_to_string(self.path("known")).unwrap_or_default() + &line;
        fs::write(self.path("known"), lines).unwrap();
        self.config.push_str(&format!(
            "Host {host}\n HostName 127.0.0.1\n Port {port}\n IdentityFile {}\n IdentitiesOnly yes\n \
             IdentityAgent none\n UserKnownHostsFile {}\n GlobalKnownHostsFile none\n",
            self.path("key").display(),
            known.display()
        ));
        fs::write(self.path("config"), &self.config).unwrap();
    }

    fn bootstrap(&self, arguments: &[&str]) -> Output {
        let mut command = graywave();
        command.args(["agents", "bootstrap", "--ssh", "-o", "json", "--ssh-config"]).arg(self.path("config"));
        command.args(arguments).env("XDG_STATE_HOME", self.directory.path());
        command.output().unwrap()
    }
}

/// An API with the install script and an artefact of the programs that are tested.
struct InstallApi {
    url: String,
    _process: Process,
}

impl InstallApi {
    fn start(cluster: &Cluster) -> Self {
        let artefacts = cluster.directory.path().join("artefacts");
        let tree = artefacts.join("tree");
        fs::create_dir_all(&tree).unwrap();
        for program in ["graywave-agent", "graywave-runner"] {
            symlink(agent_binary().with_file_name(program), tree.join(program)).unwrap();
        }
        let unit = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/systemd/graywave-agent.service");
        fs::copy(unit, tree.join("graywave-agent.service")).unwrap();
        let name = format!("graywave-agent-0.1.0-{}-linux-gnu.tar.gz", std::env::consts::ARCH);
        let shell = format!("tar -chf - tree | gzip -1 >{name} && sha256sum {name} >SHA256SUMS");
        assert!(Command::new("sh").args(["-c", &shell]).current_dir(&artefacts).status().unwrap().success());
        let [address] = pgcluster::free_addresses().unwrap();
        let url = format!("http://{address}");
        let agents: Vec<_> =
            cluster.workers.iter().map(|(address, _)| format!("https://{address}")).collect();
        let settings = [
            ("API__LISTEN", address.as_str()),
            ("API__PUBLIC_URL", &url),
            ("API__AGENTS_URLS", &agents.join(",")),
            ("API__ARTEFACTS_DIR", artefacts.to_str().unwrap()),
            ("API__CA_FILE", &format!("{}/pki/ca/ca.crt", cluster.directory.path().display())),
        ];
        let mut command = testkit::role("api", &settings).unwrap();
        command.env("DATABASE_URL", cluster.database_url());
        let process = Process::spawn(&mut command, &cluster.log("install-api"));
        wait_for("the API", || std::net::TcpStream::connect(&address).ok());
        Self { url, _process: process }
    }
}

/// Result and reason of each host.
fn results(output: &Output) -> Vec<(String, String)> {
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let hosts = printed.as_array().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let text = |host: &Value, key: &str| host[key].as_str().unwrap().to_owned();
    hosts.iter().map(|host| (text(host, "result"), text(host, "reason"))).collect()
}

/// Starts the installed agent of a host, as its unit does.
fn installed_agent(cluster: &Cluster, hosts: &Hosts, host: &str) -> Process {
    let root = hosts.root(host);
    let settings = fs::read_to_string(root.join("etc/graywave/agent.env")).unwrap();
    let mut command = Command::new(root.join("usr/local/bin/graywave-agent"));
    for line in settings.lines() {
        let (name, value) = line.split_once('=').unwrap();
        command.env(name, value.replace("/etc/graywave", root.join("etc/graywave").to_str().unwrap()));
    }
    command.arg("--data-dir").arg(root.join("data")).args(["--desktop-id", host]);
    Process::spawn(&mut command, &cluster.log(host))
}

#[test]
fn hosts_are_installed_and_each_failure_has_its_reason() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let api = InstallApi::start(&cluster);
    let mut hosts = Hosts::new();
    hosts.serve("pc-1", "authorized", true);
    hosts.serve("pc-2", "authorized", true);
    hosts.serve("refused", "none", true);
    hosts.serve("stranger", "authorized", false);
    // A machine that accepts connections and says nothing, and one that is down.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    hosts.name("silent", &silent.local_addr().unwrap().port().to_string(), true);
    let [down] = pgcluster::free_addresses().unwrap();
    hosts.name("down", down.rsplit_once(':').unwrap().1, true);
    let (file, made) = token(&cluster, "token", &["--uses", "2"]);
    let secret = made["token"].as_str().unwrap();
    let list = hosts.path("hosts.txt");
    fs::write(&list, "# desktops\npc-1\npc-2\nrefused\nstranger\nsilent\ndown\npc-1\n").unwrap();
    let with_token = ["--api", &api.url, "--token-file", file.to_str().unwrap()];
    let listed = ["--hosts-file", list.to_str().unwrap(), "--timeout", "20s", "--parallel", "6"];
    let ran = hosts.bootstrap(&[&with_token[..], &listed].concat());
    let found = results(&ran);
    let words: Vec<_> = found.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words[..4], ["INSTALLED", "INSTALLED", "REFUSED", "REFUSED"], "{found:?}");
    assert!(["TIMEOUT", "UNREACHABLE"].contains(&words[4]) && words[5] == "UNREACHABLE", "{found:?}");
    assert!(found[2].1.contains("add a key to your ssh agent"), "{found:?}");
    assert!(found[3].1.contains("check and accept its key"), "{found:?}");
    assert_eq!((found.len(), ran.status.code()), (6, Some(1)));
    let commands = fs::read_to_string(hosts.path("commands")).unwrap();
    let shown = [ran.stdout, ran.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains(secret) && !commands.contains(secret));
    assert!(commands.contains("graywave-bootstrap"), "{commands}");

    let agents = ["pc-1", "pc-2"].map(|host| installed_agent(&cluster, &hosts, host));
    assert_eq!(cluster.api.connected(2), ["pc-1", "pc-2"]);
    // Again: installed hosts stay as they are.
    let ran = hosts.bootstrap(&[&with_token[..], &["pc-1", "pc-2"]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    drop(agents);
}

#[test]
fn new_token_is_revoked_at_the_end() {
    let cluster = Cluster::start_with_enrolment(LONG);
    let api = InstallApi::start(&cluster);
    let mut hosts = Hosts::new();
    hosts.serve("pc-1", "authorized", true);
    cluster.command(&["admin", "principals", "put", "ann", "--project", PROJECT, "--policy", "admin"]);
    let files = cluster.pki.as_ref().unwrap().principal(PROJECT, "ann");
    let connection = [
        ("--grpc", format!("https://{}", cluster.schedulers[0].0)),
        ("--ca-file", files.ca.display().to_string()),
        ("--cert-file", files.cert.display().to_string()),
        ("--key-file", files.key.display().to_string()),
    ];
    let connection: Vec<_> = connection.iter().flat_map(|(flag, value)| [*flag, value.as_str()]).collect();
    let ran = hosts.bootstrap(&[&["pc-1", "--api", &api.url, "--pool", "p1"], &connection[..]].concat());
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let listed = cluster.command(&["admin", "enrolment-tokens", "list", "--project", PROJECT]);
    assert!(listed.contains("revoked"), "{listed}");
    // A host that fails in its script: nothing is at the address of the artefacts.
    fs::remove_dir_all(cluster.directory.path().join("artefacts/tree")).unwrap();
    let sums = cluster.directory.path().join("artefacts/SHA256SUMS");
    fs::write(sums, format!("{}  other.deb\n", "0".repeat(64))).unwrap();
    let ran = hosts.bootstrap(&[&["pc-1", "--api", &api.url], &connection[..]].concat());
    let found = results(&ran);
    assert!(found[0].0 == "FAILED" && found[0].1.contains("has no agent for Linux"), "{found:?}");
}

#[test]
fn host_that_looks_like_an_option_is_refused() {
    let hosts = Hosts::new();
    for host in ["-oProxyCommand=touch pwned", "a;b", "a@-b"] {
        let ran = hosts.bootstrap(&["--script", "none", "--", host]);
        let text = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.code() == Some(2) && text.contains("no leading hyphen"), "{text}");
    }
}
