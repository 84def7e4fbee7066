use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::{
    AnonymousPeers, Role, Tls, accept, connector_through,
    testing::{Ca, TlsDirectory},
};

/// Name that this machine cannot look up: only the proxy does.
const NAME: &str = "worker.invalid";

fn settings(variables: &[(&str, &str)]) -> ProxySettings {
    ProxySettings::read(|wanted| {
        variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| (*value).into())
    })
}

fn shown(settings: &ProxySettings, url: &str) -> Option<String> {
    settings.of(&url.parse().unwrap()).unwrap().map(ToString::to_string)
}

#[test]
fn first_variable_with_a_value_names_the_proxy() {
    let url = "https://worker.example:9443";
    assert_eq!(shown(&settings(&[]), url), None);
    for (variables, proxy) in [
        (&[("HTTPS_PROXY", "http://one:3128")][..], "one:3128"),
        (&[("https_proxy", "two:8080")], "two:8080"),
        (&[("HTTPS_PROXY", ""), ("https_proxy", "http://three")], "three:80"),
        (&[("ALL_PROXY", "http://four:1/"), ("HTTP_PROXY", "http://no:1")], "four:1"),
        (&[("all_proxy", "http://ann:p%40ss@[::1]:5")], "[::1]:5"),
        (&[("HTTPS_PROXY", "http://six:6"), ("ALL_PROXY", "http://no:1")], "six:6"),
    ] {
        assert_eq!(shown(&settings(variables), url).as_deref(), Some(proxy), "{variables:?}");
    }
    assert_eq!(shown(&settings(&[("HTTP_PROXY", "http://no:1")]), url), None);
}

#[test]
fn excepted_hosts_and_this_machine_are_dialled_directly() {
    let list = "exact.example, .suffix.example,*.star.example, 10.1.0.0/16,192.0.2.7,2001:db8::/32";
    let some = settings(&[("HTTPS_PROXY", "http://proxy:1"), ("NO_PROXY", list)]);
    for (host, is_direct) in [
        ("exact.example", true),
        ("EXACT.example", true),
        ("below.exact.example", true),
        ("inexact.example", false),
        ("a.suffix.example", true),
        ("suffix.example", true),
        ("nosuffix.example", false),
        ("a.star.example", true),
        ("10.1.255.1", true),
        ("10.2.0.1", false),
        ("192.0.2.7", true),
        ("192.0.2.70", false),
        ("[2001:db8::5]", true),
        ("[2001:db9::5]", false),
        ("localhost", true),
        ("127.3.2.1", true),
        ("[::1]", true),
        ("worker.example", false),
    ] {
        assert_eq!(shown(&some, &format!("https://{host}:9443")).is_none(), is_direct, "{host}");
    }
    // Without TLS, only this machine is dialled.
    assert_eq!(shown(&some, "http://worker.example:1"), None);
    let all = settings(&[("HTTPS_PROXY", "http://proxy:1"), ("no_proxy", "*")]);
    assert_eq!(shown(&all, "https://worker.example:9443"), None);
}

#[test]
fn unusable_proxy_is_refused_without_its_password() {
    for value in [
        "https://ann:secret@proxy:3129",
        "socks5://ann:secret@proxy:1080",
        "ftp://ann:secret@proxy",
        "http://ann:secret@",
        "http://ann:se/cret@proxy:1",
        "http://ann:se@secret@proxy:1",
        "http://ann:?cret@proxy:1",
        "ann:#cret@proxy",
        "http://proxy:ann",
        "http://ann:secret@proxy:99999",
        "ann:secret @proxy",
    ] {
        let settings = settings(&[("HTTPS_PROXY", value), ("NO_PROXY", "direct.example")]);
        let refused = settings.of(&"https://worker.example:1".parse().unwrap()).unwrap_err();
        assert!(refused.starts_with("HTTPS_PROXY ") && refused.contains("http://host:port"), "{refused}");
        for text in [refused, format!("{settings:?}")] {
            assert!(!text.contains("cret") && !text.contains("ann"), "{value}: {text}");
        }
        // Nobody needs it for these.
        assert_eq!(shown(&settings, "https://direct.example:1"), None);
        assert_eq!(shown(&settings, "https://localhost:1"), None);
    }
    let usable = settings(&[("HTTPS_PROXY", "http://ann:secret@proxy:1")]);
    assert_eq!(format!("{usable:?}"), "ProxySettings(Some(Ok(proxy:1)))");
}

/// Answers one CONNECT. With a `server`, joins the two connections after the answer. Returns the
/// request.
async fn proxy_once(listener: TcpListener, answer: &'static str, server: Option<u16>) -> String {
    let (mut client, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(client.read_u8().await.unwrap());
    }
    client.write_all(answer.as_bytes()).await.unwrap();
    if let Some(port) = server {
        let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    }
    String::from_utf8(request).unwrap()
}

async fn proxy_at(credentials: &str) -> (TcpListener, ProxySettings) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{credentials}{}", listener.local_addr().unwrap());
    (listener, settings(&[("HTTPS_PROXY", url.as_str())]))
}

fn tls(ca: &Ca, uri: &str, names: &[&str]) -> (Tls, TlsDirectory) {
    let dir = TlsDirectory::new();
    dir.put(ca, &ca.signed(&[uri], names, 1));
    (Tls::load(dir.files()).unwrap(), dir)
}

#[tokio::test]
async fn mutual_tls_goes_through_the_tunnel() {
    let ca = Ca::new();
    let (worker, _at) = tls(&ca, "graywave://role/worker/w", &[NAME]);
    let (desktop, _of) = tls(&ca, "graywave://desktop/p/d", &[]);
    for answer in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 OK\r\nProxy-agent: old\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (listener, settings) = proxy_at("ann:p%40ss@").await;
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let proxied = tokio::spawn(proxy_once(listener, answer, Some(port)));
        let mut connector = connector_through(desktop.clone(), Role::Worker, settings);
        let url: Uri = format!("https://{NAME}:9443").parse().unwrap();
        let taking = async {
            let (stream, _) = server.accept().await.unwrap();
            let accepted = accept(&worker, AnonymousPeers::Refused, stream).await.unwrap();
            accepted.who.unwrap().identity
        };
        let (seen, made) = tokio::join!(taking, tower::Service::call(&mut connector, url));
        assert_eq!(seen, *desktop.identity());
        drop(made.unwrap());
        let request = proxied.await.unwrap();
        assert!(request.starts_with("CONNECT worker.invalid:9443 HTTP/1.1\r\n"), "{request}");
        let lower = request.to_lowercase();
        assert!(lower.contains("\r\nhost: worker.invalid:9443\r\n"), "{request}");
        // ann:p@ss
        assert!(request.contains("Basic YW5uOnBAc3M=\r\n"), "{request}");
    }
}

#[tokio::test]
async fn refusal_of_a_proxy_says_what_to_do() {
    for (credentials, answer, wanted) in [
        (
            "",
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "requires a user name",
        ),
        (
            "ann:secret@",
            "HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\nann:secre",
            "does not accept the user name",
        ),
        ("", "HTTP/1.1 403 Forbidden\r\n\r\n<html>", "allow CONNECT to worker.invalid:9443"),
        ("", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "with status 502"),
        ("", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not answer as one"),
        ("", "", "does not answer as one"),
    ] {
        let (listener, settings) = proxy_at(credentials).await;
        let url: Uri = format!("https://{NAME}:9443").parse().unwrap();
        let proxy = settings.of(&url).unwrap().unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (opened, _) =
            tokio::join!(proxy.open_tunnel(stream, NAME, 9443), proxy_once(listener, answer, None));
        let error = opened.unwrap_err().to_string();
        assert!(error.starts_with(&format!("the proxy {proxy} ")) && error.contains(wanted), "{error}");
        assert!(!error.contains("secre"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn silent_proxy_is_given_up() {
    let (listener, settings) = proxy_at("").await;
    let proxy = settings.of(&Uri::from_static("https://worker.invalid:9443")).unwrap().unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let error = proxy.open_tunnel(stream, NAME, 9443).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(error.to_string().contains("opened no tunnel within 10 s"), "{error}");
}

#[tokio::test]
async fn closed_proxy_is_named() {
    let ca = Ca::new();
    let (desktop, _of) = tls(&ca, "graywave://desktop/p/d", &[]);
    let (listener, settings) = proxy_at("ann:secret@").await;
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut connector = connector_through(desktop, Role::Worker, settings);
    let error =
        tower::Service::call(&mut connector, Uri::from_static("https://worker.invalid:1")).await.unwrap_err();
    let error = error.to_string();
    assert!(error.starts_with(&format!("connecting to the proxy {address} failed: ")), "{error}");
    assert!(!error.contains("secret"), "{error}");
}
