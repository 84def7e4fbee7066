//! Agents behind an HTTP proxy: enrolment, connection and scripts go through its tunnel.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PROJECT},
    harness::{Process, agent_binary, wait_for},
};

/// Host of workers that only the proxy knows.
const HOST: &str = "worker.invalid";

/// Proxy that connects every target to this machine, on the same port.
struct Proxy {
    address: String,
    /// First line and credentials of each request.
    requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let all = Arc::clone(&all);
                thread::spawn(move || drop(tunnel(client, &all)));
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn tunnel(mut client: TcpStream, all: &Mutex<Vec<String>>) -> io::Result<()> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).map_err(io::Error::other)?;
    let port = request.split([':', ' ']).nth(2).and_then(|port| port.parse().ok()).unwrap_or(0);
    all.lock().unwrap().push(request);
    let server = TcpStream::connect(("127.0.0.1", port))?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (up, down) = ((client.try_clone()?, server.try_clone()?), (server, client));
    let back = thread::spawn(move || forward(down));
    forward(up);
    drop(back.join());
    Ok(())
}

fn forward((mut from, mut to): (TcpStream, TcpStream)) {
    drop(io::copy(&mut from, &mut to));
    drop(to.shutdown(Shutdown::Both));
}

/// Starts an agent of desktop `pc-1` that enrols at the workers by their name.
fn agent(cluster: &Cluster, token: &Path, log: &str, environment: &[(&str, &str)]) -> Process {
    let mut command = Command::new(agent_binary());
    command.args(["--desktop-id", "pc-1", "--data-dir"]).arg(cluster.directory.path().join("pc-1"));
    for (address, _) in &cluster.workers {
        let (_, port) = address.rsplit_once(':').unwrap();
        command.args(["--worker", &format!("https://{HOST}:{port}")]);
    }
    command.arg("--ca-file").arg(cluster.directory.path().join("pki/ca/ca.crt"));
    command.arg("--enrolment-token-file").arg(token).envs(environment.iter().copied());
    Process::spawn(&mut command, &cluster.log(log))
}

fn wait_until_said(cluster: &Cluster, log: &str, what: &str) {
    let text = || fs::read_to_string(cluster.log(log)).unwrap_or_default();
    wait_for(what, || text().contains(what).then_some(()));
}

#[test]
fn agent_behind_a_proxy_enrols_and_runs_scripts() {
    let (cluster, proxy) = (Cluster::start_with_enrolment(30.0), Proxy::start());
    let made = cluster.command(&["admin", "enrolment-tokens", "create", "--project", PROJECT]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let token = cluster.directory.path().join("token");
    fs::write(&token, made["token"].as_str().unwrap()).unwrap();
    let url = format!("http://ann:s3cret@{}", proxy.address);
    let mut running = agent(&cluster, &token, "proxied", &[("HTTPS_PROXY", &url)]);
    wait_until_said(&cluster, "proxied", "attached");
    cluster.api.connected(1);
    // The credentials of the proxy are no business of scripts.
    let task = cluster.api.run("! env | grep -i -e proxy -e s3cret", &["pc-1".to_owned()], json!({}));
    assert_eq!(cluster.api.ended(&task)["status"], "SUCCESS");
    assert!(running.stop().success());
    let requests = proxy.requests();
    // One to enrol, one to attach.
    assert!(requests.len() >= 2, "{requests:?}");
    // ann:s3cret
    let is_connect = |request: &String| {
        request.starts_with(&format!("CONNECT {HOST}:")) && request.contains("Basic YW5uOnMzY3JldA==\r\n")
    };
    assert!(requests.iter().all(is_connect), "{requests:?}");
    let log = fs::read_to_string(cluster.log("proxied")).unwrap();
    assert!(log.contains(&proxy.address) && !log.contains("s3cret") && !log.contains("YW5u"), "{log}");
    // A worker that is excepted is dialled directly, and its name is known to the proxy alone.
    let excepted = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", ".invalid")];
    let mut direct = agent(&cluster, &token, "direct", &excepted);
    wait_until_said(&cluster, "direct", "failed to lookup address");
    assert!(direct.stop().success());
    assert_eq!(proxy.requests().len(), requests.len());
    // A proxy that is not supported is refused.
    let mut refused =
        agent(&cluster, &token, "refused", &[("HTTPS_PROXY", "socks5://ann:s3cret@proxy:1080")]);
    wait_until_said(&cluster, "refused", "HTTPS_PROXY names a proxy with the scheme socks5");
    assert!(!refused.stop().success());
    assert!(!fs::read_to_string(cluster.log("refused")).unwrap().contains("s3cret"));
}
