//! Addresses of control planes, as people write them.

use std::{fmt, net::Ipv6Addr};

use mtls::is_this_machine;
use tonic::codegen::http::Uri;

use crate::Error;

/// Default port of the admin gRPC service on schedulers.
const DEFAULT_PORT: u16 = 9090;

/// Protocol under HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
}

impl Transport {
    const fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "http",
            Self::Tls => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Plain => 80,
            Self::Tls => 443,
        }
    }
}

/// Address of a control plane: a URL without a path, or a host with an optional port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Transport of the URL's scheme; `None` for a host.
    scheme: Option<Transport>,
    /// Host in lower case; an IPv6 address has brackets.
    host: String,
    port: Option<u16>,
}

impl Address {
    /// Parses `https://HOST[:PORT]`, `http://HOST[:PORT]`, `HOST[:PORT]` or an IPv6 address.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| {
            Error::misused(format!("invalid address {text:?}: {reason}"))
                .try_next("https://HOST, https://HOST:PORT or HOST:PORT")
        };
        let trimmed = text.trim();
        let bracketed = trimmed.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let given = bracketed.as_deref().unwrap_or(trimmed);
        let (scheme, rest) = match given.split_once("://") {
            None => (None, given),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Some(Transport::Tls), rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Some(Transport::Plain), rest),
            Some(_) => return Err(wrong("the scheme must be https, or http for this machine")),
        };
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| wrong("it is not a URL or a host"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
        if rest.contains('@') {
            return Err(wrong("a user name does not belong into it; a token is asked for"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() || rest.contains('#') {
            let address = given.split_once("://").map_or("", |_| "https://").to_owned() + host;
            return Err(wrong("gRPC has no path; end it after the host or the port").try_next(address));
        }
        let after = uri.authority().and_then(|authority| authority.as_str().strip_prefix(host));
        let port = match after.unwrap_or_default().strip_prefix(':').map(str::parse::<u16>) {
            None => None,
            Some(Ok(port @ 1..)) => Some(port),
            Some(_) => return Err(wrong("the port must be 1 to 65535")),
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port })
    }

    /// Host without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// Transport of the URL. A host without a scheme has TLS, except on this machine without
    /// certificates.
    pub(crate) fn transport(&self, has_certificates: bool) -> Transport {
        let is_plain = !has_certificates && is_this_machine(&self.host);
        self.scheme.unwrap_or(if is_plain { Transport::Plain } else { Transport::Tls })
    }

    /// Whether the address is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        is_this_machine(&self.host)
    }

    fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.map_or(DEFAULT_PORT, Transport::default_port))
    }

    /// URL to dial, with its port.
    pub(crate) fn url(&self, transport: Transport) -> String {
        format!("{}://{}:{}", transport.scheme(), self.host, self.port())
    }

    /// The same host and port with another scheme.
    pub(crate) fn with_scheme(&self, transport: Transport) -> Self {
        let port = Some(self.port()).filter(|port| *port != transport.default_port());
        Self { scheme: Some(transport), host: self.host.clone(), port }
    }
}

impl fmt::Display for Address {
    /// Writes the address as it is saved, without a trailing slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.scheme())?;
        }
        f.write_str(&self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str, has_certificates: bool) -> String {
        let address = Address::parse(text).unwrap();
        address.url(address.transport(has_certificates))
    }

    #[test]
    fn url_without_a_port_means_443_and_host_means_9090() {
        for (given, expected) in [
            ("https://graywave.example.com", "https://graywave.example.com:443"),
            ("https://graywave.example.com/", "https://graywave.example.com:443"),
            ("HTTPS://Graywave.example.com:9091", "https://graywave.example.com:9091"),
            (" graywave.example.com\n", "https://graywave.example.com:9090"),
            ("graywave.example.com:1", "https://graywave.example.com:1"),
            ("localhost", "http://localhost:9090"),
            ("127.0.0.1:5", "http://127.0.0.1:5"),
            ("http://127.0.0.1:5/", "http://127.0.0.1:5"),
            ("[::1]", "http://[::1]:9090"),
            ("[::1]:5", "http://[::1]:5"),
            ("::1", "http://[::1]:9090"),
            ("2001:db8::7", "https://[2001:db8::7]:9090"),
            ("https://localhost:8", "https://localhost:8"),
        ] {
            assert_eq!(url(given, false), expected, "{given}");
        }
        assert_eq!(url("localhost", true), "https://localhost:9090");
    }

    #[test]
    fn text_that_is_no_address_is_refused_with_the_reason() {
        for (given, expected) in [
            ("", "it is not a URL or a host"),
            ("https://", "it is not a URL or a host"),
            ("https://:443", "it has no host"),
            ("grpc://h", "the scheme must be https"),
            ("dns:///h", "the scheme must be https"),
            ("h:0", "the port must be 1 to 65535"),
            ("h:99999", "the port must be 1 to 65535"),
            ("https://ann:secret@h", "a user name does not belong into it"),
            ("https://h/console/tasks", "gRPC has no path"),
            ("h/x", "gRPC has no path"),
            ("https://h?x=1", "gRPC has no path"),
        ] {
            let refused = Address::parse(given).unwrap_err().to_string();
            assert!(refused.contains(expected), "{given}: {refused}");
        }
    }

    #[test]
    fn spelling_does_not_make_another_address() {
        let parse = |text: &str| Address::parse(text).unwrap();
        assert_eq!(parse("https://H.example/"), parse("HTTPS://h.example"));
        assert_ne!(parse("https://h"), parse("http://h"));
        assert_ne!(parse("h"), parse("https://h:9090"));
        assert_eq!(parse("https://H.example/").to_string(), "https://h.example");
        assert_eq!(parse("H:1").to_string(), "h:1");
    }

    #[test]
    fn other_scheme_keeps_host_and_port() {
        let with = |text: &str, to| Address::parse(text).unwrap().with_scheme(to).to_string();
        assert_eq!(with("h", Transport::Tls), "https://h:9090");
        assert_eq!(with("http://h:443", Transport::Tls), "https://h");
        assert_eq!(with("https://h", Transport::Plain), "http://h:443");
    }
}
