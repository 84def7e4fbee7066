//! Login with a token alone, and what is said of a wrong server or certificate.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, Issuer, KeyPair};
use time::OffsetDateTime;

use crate::{
    harness::{Dev, directory, graywave, wait_for},
    pki::Pki,
};

/// Time limit of a command that names a wrong server.
const WRONG_SERVER_WITHIN: Duration = Duration::from_secs(20);

/// A dev cluster with an admin listener, and an operator without a context.
struct Remote {
    dev: Dev,
    directory: tempfile::TempDir,
    admin_port: u16,
    telemetry: String,
}

impl Remote {
    fn start() -> Self {
        let directory = directory();
        let pki = Pki::new(&directory.path().join("pki"));
        let out = directory.path().join("admin");
        pki.ca(&["issue", "--server", "--dns", "localhost", "--out", out.to_str().unwrap()]);
        let [admin, telemetry] = pgcluster::free_addresses().unwrap();
        let (cert, key) = (out.join("tls.crt"), out.join("tls.key"));
        let settings = [
            ("GRAYWAVE__ADMIN__LISTEN", admin.as_str()),
            ("GRAYWAVE__ADMIN__CERT_FILE", cert.to_str().unwrap()),
            ("GRAYWAVE__ADMIN__KEY_FILE", key.to_str().unwrap()),
            ("GRAYWAVE__TELEMETRY__LISTEN", telemetry.as_str()),
        ];
        let dev = Dev::start(&directory.path().join("data"), 1, &settings);
        let admin_port = admin.rsplit_once(':').unwrap().1.parse().unwrap();
        Self { dev, directory, admin_port, telemetry }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn ca_file(&self) -> String {
        self.path("admin/ca.crt").display().to_string()
    }

    fn address(&self, key: &str) -> String {
        self.dev.ready[key].as_str().unwrap().trim_start_matches("http://").to_owned()
    }

    /// Builds a command of a machine whose store has one CA, which no server here has.
    fn command(&self, arguments: &[&str]) -> Command {
        let store = self.path("store.pem");
        if !store.exists() {
            let other = rcgen::generate_simple_self_signed(["other.invalid".into()]).unwrap();
            fs::write(&store, other.cert.pem()).unwrap();
        }
        let mut command = graywave();
        command.args(arguments).env("GRAYWAVE_CONTEXTS", self.path("contexts.toml"));
        command.env("SSL_CERT_FILE", store).env_remove("SSL_CERT_DIR");
        for name in ["GRAYWAVE_GRPC", "GRAYWAVE_TOKEN", "GRAYWAVE_CONTEXT", "GRAYWAVE_CA_FILE"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs `graywave login` with the token on standard input.
    fn login(&self, arguments: &[&str]) -> (i32, String) {
        self.login_with(self.command(&["login"]).args(arguments))
    }

    fn login_with(&self, command: &mut Command) -> (i32, String) {
        let file = self.path("token");
        fs::write(&file, &self.dev.api.token).unwrap();
        code_and_message(command.stdin(fs::File::open(file).unwrap()))
    }

    /// Replaces the certificate of the admin listener by one that expired an hour ago.
    fn expire(&self) {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap();
        let issuer = Issuer::from_ca_cert_pem(
            &read("pki/ca/ca.crt"),
            KeyPair::from_pem(&read("pki/ca/ca.key")).unwrap(),
        );
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = OffsetDateTime::now_utc() - time::Duration::days(9);
        params.not_after = OffsetDateTime::now_utc() - time::Duration::hours(1);
        let key = KeyPair::generate().unwrap();
        fs::write(self.path("admin/tls.crt"), params.signed_by(&key, &issuer.unwrap()).unwrap().pem())
            .unwrap();
        fs::write(self.path("admin/tls.key"), key.serialize_pem()).unwrap();
    }
}

fn code_and_message(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn token_and_private_ca_are_enough() {
    let remote = Remote::start();
    let url = format!("https://localhost:{}", remote.admin_port);
    let (code, message) = remote.login(&[&url]);
    assert!(code == 6 && message.contains("that this machine does not trust"), "{code} {message}");
    assert!(message.contains("Graywave CA") && message.contains("try: --ca-file FILE"), "{message}");
    assert!(!remote.path("contexts.toml").exists(), "a failed login saves nothing");

    let by_address = format!("https://127.0.0.1:{}", remote.admin_port);
    let (code, message) = remote.login(&[&by_address, "--ca-file", &remote.ca_file()]);
    let expected = "its certificate is for localhost, not for 127.0.0.1";
    assert!(code == 6 && message.contains(expected), "{code} {message}");

    let (code, message) = remote.login(&[&url, "--ca-file", &remote.ca_file()]);
    assert_eq!(code, 0, "{message}");
    assert!(message.contains(&format!(" at {url}; saved as context \"default\"")), "{message}");
    let listed = remote.command(&["desktops", "-o", "name"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 1, "the context is enough");
    // The CA may be one of this machine's, and the flag `--grpc` takes the same addresses.
    let upper = format!("HTTPS://LocalHost:{}/", remote.admin_port);
    let mut system = remote.command(&["login", "--context", "system", "--grpc", &upper]);
    let (code, message) = remote.login_with(system.env("SSL_CERT_FILE", remote.ca_file()));
    assert!(code == 0 && message.contains(&format!(" at {url};")), "{code} {message}");
    assert_eq!(remote.login(&[&url, "--grpc", &url]).0, 2, "one address");

    remote.expire();
    let said = wait_for("the expired certificate", || {
        let (code, message) = code_and_message(&mut remote.command(&["ls", "--context", "default"]));
        (code != 0).then_some(message)
    });
    assert!(said.contains("its certificate expired at 20") && said.contains(" UTC\n"), "{said}");
}

/// Serves one answer to every connection, at once or after the first bytes of the client.
fn other_server(speaks_first: bool, answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            drop(stream.set_read_timeout(Some(Duration::from_secs(1))));
            if speaks_first {
                drop(stream.write_all(answer));
                drop(stream.read(&mut [0; 1_024]));
            } else {
                drop(stream.read(&mut [0; 1_024]));
                drop(stream.write_all(answer));
            }
        }
    });
    address
}

#[test]
fn each_wrong_port_is_named_by_login() {
    let remote = Remote::start();
    let (rest, agents, grpc) = (remote.address("http"), remote.address("agents"), remote.address("grpc"));
    let web =
        other_server(false, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let ssh = other_server(true, b"SSH-2.0-OpenSSH_9.2p1\r\n");
    let operators = "; operators use a scheduler's gRPC port, by default 9090";
    for (address, expected) in [
        (rest.clone(), format!("{rest} serves the REST API{operators}")),
        (format!("http://{rest}"), format!("http://{rest} serves the REST API{operators}")),
        (format!("https://{rest}"), format!("https://{rest} serves the REST API{operators}")),
        (agents.clone(), format!("{agents} is a worker's port for agents{operators}")),
        (
            remote.telemetry.clone(),
            format!("{} serves metrics and health of a role{operators}", remote.telemetry),
        ),
        (format!("https://{grpc}"), format!("https://{grpc} does not speak TLS")),
        (format!("localhost:{}", remote.admin_port), "speaks TLS, and was called without".into()),
        (
            web.clone(),
            format!("{web} is a web server, but not the admin gRPC of Graywave (it answered HTTP 404)"),
        ),
        (ssh.clone(), format!("{ssh} does not speak gRPC: it is not a server of Graywave")),
    ] {
        let begun = Instant::now();
        let (code, message) = remote.login(&[&address]);
        assert!(
            code == 6 && message.contains(&expected) && message.contains("\n  try: "),
            "{address}: {code} {message}"
        );
        assert!(begun.elapsed() < WRONG_SERVER_WITHIN, "{address}: {:?}", begun.elapsed());
    }
    // Every other command says the same.
    let (code, message) =
        code_and_message(&mut remote.command(&["desktops", "--grpc", &rest, "--token", "0123456789abcdef"]));
    let expected = format!("cannot list desktops: {rest} serves the REST API{operators}");
    assert!(code == 6 && message.contains(&expected), "{code} {message}");
    // The right address works without TLS on this machine.
    let (code, message) = remote.login(&[&grpc]);
    assert_eq!(code, 0, "{message}");
}

#[test]
fn nothing_is_sent_without_tls_to_another_machine() {
    let directory = directory();
    let login = |address: &str| {
        let mut command = graywave();
        command.args(["login", address, "--token", "0123456789abcdef"]);
        command.env("GRAYWAVE_CONTEXTS", directory.path().join("none")).stdin(Stdio::null());
        code_and_message(&mut command)
    };
    let (code, message) = login("http://graywave.example.com");
    assert!(code == 2 && message.contains("without TLS: only this machine"), "{code} {message}");
    assert!(message.contains("try: https://graywave.example.com:80\n"), "{message}");
    let (code, message) = login("https://graywave.example.com/console/tasks");
    assert!(code == 2 && message.contains("gRPC has no path"), "{code} {message}");
    assert!(!Path::new(&directory.path().join("none")).exists());
}
