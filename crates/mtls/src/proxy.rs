//! HTTP proxies between a client and its server: the TLS connection goes through a tunnel.

use std::{ffi::OsString, fmt, io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{HOST, HeaderValue, PROXY_AUTHORIZATION},
    upgrade::{self, Parts, Upgraded},
};
use hyper_util::{client::proxy::matcher::Matcher, rt::TokioIo};
use tokio::net::TcpStream;
use tonic::transport::Uri;

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;

/// Time limit for a proxy to open a tunnel. It may look up the name of the server first.
pub const TUNNEL_WITHIN: Duration = Duration::from_secs(10);

/// Variables that name the proxy; the first one with a value counts.
const PROXY_VARIABLES: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// Variables that name the servers that are dialled directly; the first one with a value counts.
const DIRECT_VARIABLES: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// Port of a proxy whose URL has none.
const DEFAULT_PORT: u16 = 80;

/// Proxy for connections to other machines, as the environment names it.
///
/// Neither its text forms nor its errors contain the user name and the password.
#[derive(Clone, Default)]
pub struct ProxySettings {
    /// Matches the URLs that use the proxy; `None` without one.
    matcher: Option<Arc<Matcher>>,
    /// The proxy, or the reason for which it is unusable.
    proxy: Option<Result<Proxy, String>>,
}

/// HTTP proxy that opens tunnels.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProxySettings").field(&self.proxy).finish()
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl ProxySettings {
    /// Reads `HTTPS_PROXY` and `NO_PROXY` of this process, also in lower case. `ALL_PROXY` counts
    /// without `HTTPS_PROXY`.
    pub fn from_env() -> Self {
        Self::read(|variable| std::env::var_os(variable))
    }

    /// Reads the variables from the given environment.
    pub fn read(environment: impl Fn(&str) -> Option<OsString>) -> Self {
        let first = |variables: &[&'static str]| {
            let set = |variable: &&'static str| {
                let value = environment(variable).filter(|value| !value.is_empty())?;
                Some((*variable, value))
            };
            variables.iter().find_map(set)
        };
        let Some((variable, value)) = first(&PROXY_VARIABLES) else { return Self::default() };
        let direct = first(&DIRECT_VARIABLES).map(|(_, value)| value.to_string_lossy().into_owned());
        // Whether a URL uses the proxy does not depend on its address.
        let any_proxy = Matcher::builder().https("http://proxy.invalid");
        let matcher = any_proxy.no(direct_entries(&direct.unwrap_or_default())).build();
        Self { matcher: Some(Arc::new(matcher)), proxy: Some(proxy(variable, value.to_str())) }
    }

    /// Proxy for a URL; `None` if its server is dialled directly: without TLS, on this machine, or
    /// named in `NO_PROXY`.
    ///
    /// # Errors
    ///
    /// The reason for which the proxy is unusable, with the fix.
    pub fn of(&self, url: &Uri) -> Result<Option<&Proxy>, String> {
        let (Some(matcher), Some(host)) = (&self.matcher, url.host()) else { return Ok(None) };
        if is_this_machine(host) || matcher.intercept(url).is_none() {
            return Ok(None);
        }
        self.proxy.as_ref().map(|proxy| proxy.as_ref().map_err(Clone::clone)).transpose()
    }
}

/// Entries of `NO_PROXY`, with the common spelling `*.example.com` for `.example.com`.
fn direct_entries(list: &str) -> String {
    let entry = |entry: &str| {
        let entry = entry.trim();
        entry.strip_prefix('*').filter(|suffix| suffix.starts_with('.')).unwrap_or(entry).to_owned()
    };
    list.split(',').map(entry).collect::<Vec<_>>().join(",")
}

/// Proxy at a URL. The error does not contain the URL, which may have a password.
fn proxy(variable: &str, url: Option<&str>) -> Result<Proxy, String> {
    let fix = "expected http://host:port or http://user:password@host:port, with special characters of the \
               password percent-encoded; for a direct connection, name the worker in NO_PROXY";
    let malformed = || format!("{variable} is not the URL of a proxy: {fix}");
    let matcher = Matcher::builder().https(url.ok_or_else(malformed)?.trim()).build();
    let found = matcher.intercept(&Uri::from_static("https://worker.invalid")).ok_or_else(malformed)?;
    let address = found.uri();
    if address.scheme_str() != Some("http") {
        let scheme = address.scheme_str().unwrap_or_default();
        return Err(format!(
            "{variable} names a proxy with the scheme {scheme}, which is not supported: {fix}"
        ));
    }
    let authority = address.authority().map_or("", |authority| authority.as_str());
    // An unescaped special character of a password makes its rest the host, the port or the path.
    let is_cut = authority.contains('@') || url.is_some_and(|url| below_authority(url).contains('@'));
    let has_bad_port =
        address.port_u16().is_none() && authority.rsplit(']').next().unwrap_or("").contains(':');
    let host = address.host().filter(|host| !host.is_empty() && !is_cut && !has_bad_port);
    let host = host.ok_or_else(malformed)?;
    Ok(Proxy {
        host: host.to_owned(),
        port: address.port_u16().unwrap_or(DEFAULT_PORT),
        authorization: found.basic_auth().cloned(),
    })
}

/// Path, query and fragment of a URL.
fn below_authority(url: &str) -> &str {
    let from_authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    from_authority.split_once(['/', '?', '#']).map_or("", |(_, below)| below)
}

fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback())
}

impl Proxy {
    /// Host name or address of the proxy.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port of the proxy.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Opens a tunnel to a server on a connection to the proxy. The proxy looks up the name.
    ///
    /// # Errors
    ///
    /// When the proxy refuses, or does not answer in time.
    pub(crate) async fn open_tunnel(
        &self,
        stream: TcpStream,
        host: &str,
        port: u16,
    ) -> io::Result<TcpStream> {
        let opened = tokio::time::timeout(TUNNEL_WITHIN, self.ask(stream, host, port)).await;
        opened.unwrap_or_else(|_| {
            let seconds = TUNNEL_WITHIN.as_secs();
            Err(self.failed(io::ErrorKind::TimedOut, format!("opened no tunnel within {seconds} s")))
        })
    }

    fn failed(&self, kind: io::ErrorKind, what: String) -> io::Error {
        io::Error::new(kind, format!("the proxy {self} {what}"))
    }

    async fn ask(&self, stream: TcpStream, host: &str, port: u16) -> io::Result<TcpStream> {
        let broken = |error: hyper::Error| {
            self.failed(io::ErrorKind::ConnectionAborted, format!("does not answer as one: {error}"))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let target = format!("{host}:{port}");
        let mut request = Request::connect(&target).header(HOST, &target);
        if let Some(authorization) = &self.authorization {
            request = request.header(PROXY_AUTHORIZATION, authorization);
        }
        let request = request.body(String::new()).map_err(io::Error::other)?;
        let mut answer = pin!(async move {
            let response = sender.send_request(request).await.map_err(broken)?;
            if !response.status().is_success() {
                return Err(self.refused(response.status(), &target));
            }
            upgrade::on(response).await.map_err(broken)
        });
        let mut connection = pin!(connection.with_upgrades());
        let upgraded = tokio::select! {
            answer = &mut answer => answer?,
            // It ends when the tunnel is open, or the proxy is gone. The answer says which.
            _ = connection.as_mut() => answer.await?,
        };
        self.stream_of(upgraded)
    }

    fn refused(&self, status: StatusCode, target: &str) -> io::Error {
        let fix = match status {
            StatusCode::PROXY_AUTHENTICATION_REQUIRED if self.authorization.is_some() => {
                "it does not accept the user name and the password; only the scheme Basic is supported"
                    .to_owned()
            }
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                "it requires a user name and a password, as http://user:password@host:port".to_owned()
            }
            StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => {
                format!("allow CONNECT to {target} there; many proxies allow port 443 only")
            }
            _ => "the log of the proxy may have the cause".to_owned(),
        };
        let what = format!("refused a tunnel to {target} with status {}: {fix}", status.as_u16());
        self.failed(io::ErrorKind::PermissionDenied, what)
    }

    fn stream_of(&self, upgraded: Upgraded) -> io::Result<TcpStream> {
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            // In TLS, the client speaks first.
            Ok(Parts { io, read_buf, .. }) if read_buf.is_empty() => Ok(io.into_inner()),
            _ => {
                Err(self
                    .failed(io::ErrorKind::InvalidData, "sent data of its own into the tunnel".to_owned()))
            }
        }
    }
}
