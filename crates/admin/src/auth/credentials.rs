//! Credentials that a call presents: a token, a certificate, or both.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, header},
};
use control::TOKEN_HEADER;
use domain::{Error, Reason};
use mtls::Certified;
use tonic::transport::server::TcpConnectInfo;

/// The credentials, source address and request id that a call presents.
pub(super) struct PresentedCredentials {
    pub(super) token: Option<Vec<u8>>,
    pub(super) certificate: Option<Certified>,
    /// Address of the client, or of the proxy in front of it.
    pub(super) address: String,
    pub(super) source: String,
    pub(super) request_id: String,
}

impl PresentedCredentials {
    pub(super) fn of(request: &Request<Body>, request_id: &str) -> Result<Self, Error> {
        Ok(Self {
            token: token(request.headers())?.map(<[u8]>::to_vec),
            certificate: request.extensions().get::<Certified>().cloned(),
            address: address(request),
            source: source(request),
            request_id: request_id.to_owned(),
        })
    }
}

/// Returns the token of the gRPC metadata or, first, of the REST API's header.
fn token(headers: &HeaderMap) -> Result<Option<&[u8]>, Error> {
    if let Some(token) = headers.get(TOKEN_HEADER) {
        return Ok(Some(token.as_bytes()));
    }
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let given = given.as_bytes();
    let is_bearer = given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
    let token = given.get(7..).filter(|_| is_bearer).map(<[u8]>::trim_ascii).ok_or_else(|| {
        Error::new(
            Reason::CredentialRequired,
            "no token in `authorization`; send `authorization: Bearer TOKEN`",
        )
    })?;
    Ok(Some(token))
}

fn address(request: &Request<Body>) -> String {
    let address = request.extensions().get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    address.map(|address| address.ip().to_string()).unwrap_or_default()
}

fn source(request: &Request<Body>) -> String {
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    control::source(&[&address(request), agent.unwrap_or_default()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())])
    }

    #[test]
    fn a_token_is_a_bearers_or_that_of_rest() {
        assert_eq!(token(&headers("authorization", "Bearer abc")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&headers("authorization", "bearer  abc ")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&headers("x-auth-token", "abc")).unwrap(), Some(&b"abc"[..]));
        assert_eq!(token(&HeaderMap::new()).unwrap(), None);
        assert!(token(&headers("authorization", "Basic abc")).is_err());
    }
}
