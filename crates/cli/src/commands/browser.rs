//! Sign-in in a browser, for `graywave login --browser`.
//!
//! The browser brings a code back to a port of this machine, or the user pastes the address that
//! the browser cannot open. The code is worth nothing without a secret that only this process has.

use std::{
    io::IsTerminal as _,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use uuid::Uuid;

use crate::{Error, client::Address, output::Console, sanitize::sanitize_line};

/// Time for the person to sign in.
const SIGN_IN_WITHIN: Duration = Duration::from_secs(600);
/// Deadline of the exchange of the code.
const EXCHANGE_WITHIN: Duration = Duration::from_secs(20);
/// Time for a browser to send its request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// Maximum size of a request from the browser, and of an answer from the console, in bytes.
const MAX_BYTES: usize = 16 << 10;
/// Digits of the challenge that the person compares.
const SHOWN_DIGITS: usize = 8;

/// Secrets of one sign-in.
#[derive(Clone)]
struct Secrets {
    /// Secret that the exchange of the code needs.
    verifier: String,
    /// Text that must come back with the code.
    state: String,
}

impl Secrets {
    fn random() -> Self {
        let text = || Uuid::new_v4().simple().to_string();
        Self { verifier: text() + &text(), state: text() }
    }

    fn challenge(&self) -> String {
        hex::encode(Sha256::digest(&self.verifier))
    }

    /// Finds the code in an address that the browser opened, or that the user pasted.
    fn code_in(&self, address: &str) -> Option<String> {
        let (_, query) = address.trim().split_once('?')?;
        let value = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
                .map(|(_, it)| it)
        };
        let code = value("code")?;
        let is_code = !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (value("state")? == self.state && is_code).then(|| code.to_owned())
    }
}

/// Answer of the exchange.
#[derive(Deserialize)]
struct Exchanged {
    token: String,
    principal: String,
    expires_at: String,
}

/// Signs in at a console in a browser. Returns a token of the person, which ends with the session.
pub(super) async fn browser_sign_in(
    console_url: &str,
    ca_file: Option<&Path>,
    console: &Console,
) -> Result<String, Error> {
    let base = base_url(console_url)?;
    let cannot_listen = |error: std::io::Error| Error::local("cannot listen for the browser", error);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot_listen)?;
    let port = listener.local_addr().map_err(cannot_listen)?.port();
    let secrets = Secrets::random();
    let challenge = secrets.challenge();
    let url = format!("{base}/console/cli?port={port}&challenge={challenge}&state={}", secrets.state);
    let digits: String = challenge.chars().take(SHOWN_DIGITS).collect();
    console.say(&format!("Sign in at this address, and check that the page shows {digits}:\n\n  {url}\n"));
    if std::io::stderr().is_terminal() {
        open(&url);
    }
    let (pasted, paste) = mpsc::channel(1);
    if std::io::stdin().is_terminal() {
        console.say("If the browser runs on another machine, paste the address that it cannot open here.");
        read_pasted(secrets.clone(), pasted);
    }
    let code = timeout(SIGN_IN_WITHIN, code(&listener, &secrets, paste)).await.map_err(|_| {
        let minutes = SIGN_IN_WITHIN.as_secs() / 60;
        Error::refused(format!("nobody signed in at {base} within {minutes} minutes"))
    })?;
    let ca_file = ca_file.map(Path::to_path_buf);
    let exchange = move || exchange(&base, &code, &secrets.verifier, ca_file.as_deref());
    let made = tokio::task::spawn_blocking(exchange).await;
    let made = made.map_err(|error| Error::local("cannot exchange the code", error))??;
    let (principal, expires_at) = (sanitize_line(&made.principal), sanitize_line(&made.expires_at));
    console.say(&format!("Signed in as {principal} until {expires_at}"));
    Ok(made.token)
}

/// Checks the URL of the console, which may have the path of a proxy. Only this machine is called
/// without TLS.
fn base_url(text: &str) -> Result<String, Error> {
    let text = text.trim().trim_end_matches('/');
    let text = text.strip_suffix("/console").unwrap_or(text);
    let wrong = |reason: &str| {
        Error::misused(format!("invalid URL {text:?} of the console: {reason}"))
            .try_next("https://HOST[:PORT]")
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
    if rest.contains(['?', '#', '@']) || rest.contains(char::is_whitespace) {
        return Err(wrong("it must end after the host, the port or a path"));
    }
    let host = rest.split('/').next().unwrap_or_default();
    let address = Address::parse(&format!("{scheme}://{host}"))?;
    if scheme.eq_ignore_ascii_case("http") && !mtls::is_this_machine(address.host()) {
        return Err(wrong("a token must not cross a network in plain text; use https"));
    }
    Ok(text.to_owned())
}

/// Opens the address in the user's browser, if there is one. The address is printed in any case.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.spawn());
}

/// Reads lines on a thread of its own, which ends with the process.
fn read_pasted(secrets: Secrets, pasted: mpsc::Sender<String>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if let Some(code) = secrets.code_in(&line) {
                drop(pasted.blocking_send(code));
                return;
            }
        }
    });
}

/// Waits for the code. Other requests, such as one for an icon, are answered and ignored.
async fn code(listener: &TcpListener, secrets: &Secrets, mut paste: mpsc::Receiver<String>) -> String {
    let mut can_paste = true;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let found = timeout(REQUEST_WITHIN, answer(stream, secrets)).await;
                if let Ok(Some(code)) = found {
                    return code;
                }
            }
            pasted = paste.recv(), if can_paste => match pasted {
                Some(code) => return code,
                None => can_paste = false,
            }
        }
    }
}

/// Reads a request and answers it. Returns its code, if it has one of this sign-in.
async fn answer(mut stream: TcpStream, secrets: &Secrets) -> Option<String> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_BYTES {
        if stream.read_buf(&mut request).await.ok()? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&request);
    let target = text.strip_prefix("GET ").and_then(|rest| rest.split(' ').next());
    let code = target.and_then(|target| secrets.code_in(target));
    let (status, body) = match code {
        Some(_) => ("200 OK", "Signed in. Close this page and return to the terminal.\n"),
        None => ("404 Not Found", "This is not the address of a sign-in.\n"),
    };
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // The code counts even if the browser has gone.
    drop(stream.write_all(response.as_bytes()).await);
    drop(stream.shutdown().await);
    code
}

fn exchange(base: &str, code: &str, verifier: &str, ca_file: Option<&Path>) -> Result<Exchanged, Error> {
    let failed = |cause: &dyn std::fmt::Display| Error::local(format!("cannot sign in at {base}"), cause);
    let roots = match ca_file {
        None => RootCerts::PlatformVerifier,
        Some(path) => RootCerts::Specific(Arc::new(certificates(path)?)),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_global(Some(EXCHANGE_WITHIN))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build()
        .into();
    let body = serde_json::json!({"code": code, "verifier": verifier}).to_string();
    let request = agent.post(format!("{base}/console/cli/token")).content_type("application/json");
    let mut response = request.send(body).map_err(|error| failed(&error))?;
    let status = response.status();
    let bytes = response.body_mut().with_config().limit(MAX_BYTES as u64).read_to_vec();
    let bytes = bytes.map_err(|error| failed(&error))?;
    if !status.is_success() {
        let message: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let message = message.as_ref().and_then(|body| body["error_msg"].as_str());
        return Err(failed(&sanitize_line(message.unwrap_or(status.as_str()))));
    }
    serde_json::from_slice(&bytes).map_err(|error| failed(&error))
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let cannot =
        |error: &dyn std::fmt::Display| Error::local(format!("cannot use {}", path.display()), error);
    let pem = std::fs::read(path).map_err(|error| cannot(&error))?;
    let mut found = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| cannot(&error))? {
            found.push(certificate);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets { verifier: "v".to_owned(), state: "s1".to_owned() }
    }

    #[test]
    fn code_counts_only_with_the_state_of_this_sign_in() {
        let found = |address: &str| secrets().code_in(address);
        assert_eq!(found("/?code=Abc1&state=s1").as_deref(), Some("Abc1"));
        assert_eq!(found(" http://127.0.0.1:4/?state=s1&code=Abc1\n").as_deref(), Some("Abc1"));
        for other in [
            "/?code=Abc1&state=s2",
            "/?code=Abc1",
            "/?state=s1",
            "/?code=&state=s1",
            "/favicon.ico",
            "/?code=a/b&state=s1",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn console_is_called_over_tls_or_on_this_machine() {
        for (url, expected) in [
            ("https://gw.example", "https://gw.example"),
            ("https://gw.example/graywave/console/", "https://gw.example/graywave"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(base_url(url).unwrap(), expected);
        }
        for bad in [
            "gw.example",
            "http://gw.example",
            "https://",
            "ftp://gw.example",
            "https://gw.example/?a",
            "https://u@gw.example",
        ] {
            assert!(base_url(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn listener_ignores_other_requests() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let get = async |target: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        };
        let requests = async {
            assert!(get("/favicon.ico").await.starts_with("HTTP/1.1 404"));
            assert!(get("/?code=Abc1&state=forged").await.starts_with("HTTP/1.1 404"));
            assert!(get("/?code=Abc1&state=s1").await.starts_with("HTTP/1.1 200"));
        };
        let (_sender, paste) = mpsc::channel(1);
        let secrets = secrets();
        let (code, ()) = tokio::join!(code(&listener, &secrets, paste), requests);
        assert_eq!(code, "Abc1");
    }
}
