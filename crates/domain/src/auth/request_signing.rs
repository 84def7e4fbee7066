//! Request signing with SDK-HMAC-SHA256, as the official SDKs sign with an access key and a secret
//! key.
//!
//! Source: the public signing guide and the behaviour of the Python and JavaScript SDKs. The
//! signature covers the method, path, query, the listed headers, and the hash of the body. Clients
//! differ in how they encode path and query, see [`canonical`].

use chrono::{NaiveDateTime, TimeDelta};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::canonical;
use crate::{Error, Reason, Timestamp};

/// The only supported algorithm, which is the default of the SDKs.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// Maximum difference between the caller's clock and the server's clock, in either direction.
pub const CLOCK_TOLERANCE: TimeDelta = TimeDelta::minutes(15);

const DATE_HEADER: &str = "x-sdk-date";
const DATE_FORMAT: &str = "%Y%m%dT%H%M%SZ";
/// Required signed headers. Without them a signature could be replayed against another service or
/// at another time.
const MUST_BE_SIGNED: [&str; 2] = ["host", DATE_HEADER];
/// Maximum number of signed headers; no SDK sends more.
const MAX_SIGNED_HEADERS: usize = 64;

/// A received request.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'a> {
    /// Method in upper case.
    pub method: &'a str,
    /// Path as in the request line, without the query.
    pub path: &'a str,
    /// Query as in the request line, without the question mark.
    pub query: &'a str,
    /// Header names in lower case, with their values.
    pub headers: &'a [(String, String)],
    /// Complete body.
    pub body: &'a [u8],
}

/// The parsed header `Authorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Access key that identifies the secret key of the signature.
    pub access_key: String,
    signed_headers: Vec<String>,
    signature: Vec<u8>,
}

fn bad_signature(message: impl Into<String>) -> Error {
    Error::new(Reason::SignatureInvalid, message)
}

impl Authorization {
    /// Returns the signature as it was sent.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Parses `SDK-HMAC-SHA256 Access=.., SignedHeaders=a;b, Signature=hex`.
    pub fn parse(header: &str) -> Result<Self, Error> {
        let bad = || {
            Error::new(
                Reason::CredentialRequired,
                format!(
                    "Authorization is not of the form {ALGORITHM} Access=.., SignedHeaders=.., Signature=.."
                ),
            )
        };
        let fields = header.strip_prefix(ALGORITHM).ok_or_else(bad)?;
        let field = |name: &str| {
            fields
                .split(',')
                .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
                .ok_or_else(bad)
        };
        let signed_headers: Vec<String> =
            field("SignedHeaders")?.split(';').map(str::to_ascii_lowercase).collect();
        if signed_headers.len() > MAX_SIGNED_HEADERS {
            return Err(bad());
        }
        Ok(Self {
            access_key: field("Access")?.to_owned(),
            signed_headers,
            signature: hex::decode(field("Signature")?).map_err(|_| bad())?,
        })
    }

    /// Checks the parts that do not depend on the body: the set of signed headers, and the clock.
    ///
    /// `headers` have names in lower case.
    pub fn check_head(&self, headers: &[(String, String)], now: Timestamp) -> Result<(), Error> {
        if let Some(missing) =
            MUST_BE_SIGNED.iter().find(|name| !self.signed_headers.iter().any(|signed| signed == *name))
        {
            return Err(bad_signature(format!("the signature does not cover the header {missing}")));
        }
        check_clock(header(headers, DATE_HEADER)?, now)
    }

    /// Verifies the request with the secret key of [`Self::access_key`]. The comparison takes
    /// constant time.
    pub fn verify(&self, request: &SignedRequest<'_>, secret_key: &str, now: Timestamp) -> Result<(), Error> {
        self.check_head(request.headers, now)?;
        let date = header(request.headers, DATE_HEADER)?;
        // HMAC accepts keys of any length.
        let mac = Hmac::<Sha256>::new_from_slice(secret_key.as_bytes())
            .map_err(|error| Error::internal().with_source(error))?;
        let end = self.end_of_canonical_request(request)?;
        let queries = canonical::queries(request.query);
        for path in canonical::paths(request.path) {
            for query in &queries {
                let canonical = [request.method, &path, query, &end].join("\n");
                let hash = hex::encode(Sha256::digest(canonical));
                let to_sign = format!("{ALGORITHM}\n{date}\n{hash}");
                if mac.clone().chain_update(to_sign).verify_slice(&self.signature).is_ok() {
                    return Ok(());
                }
            }
        }
        Err(bad_signature(
            "the signature does not match the request: check the secret key, the clock and proxies",
        ))
    }

    /// Returns the part of the canonical request after method, path and query.
    fn end_of_canonical_request(&self, request: &SignedRequest<'_>) -> Result<String, Error> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            headers.push_str(name);
            headers.push(':');
            headers.push_str(header(request.headers, name)?.trim());
            headers.push('\n');
        }
        Ok([
            headers,
            self.signed_headers.join(";"),
            // Always the hash of the received body: unsigned payloads are not accepted.
            hex::encode(Sha256::digest(request.body)),
        ]
        .join("\n"))
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Result<&'a str, Error> {
    let found = headers.iter().find(|(given, _)| given == name);
    found.map(|(_, value)| value.as_str()).ok_or_else(|| {
        bad_signature(format!("the signed header {:?} is missing", crate::error::shorten(name)))
    })
}

fn check_clock(date: &str, now: Timestamp) -> Result<(), Error> {
    let signed_at = NaiveDateTime::parse_from_str(date, DATE_FORMAT)
        .map_err(|_| bad_signature("X-Sdk-Date is not of the form 20261124T104500Z"))?
        .and_utc();
    if (now - signed_at).abs() > CLOCK_TOLERANCE {
        return Err(Error::new(
            Reason::SignatureOutdated,
            "X-Sdk-Date is more than 15 minutes off: set the clock",
        ));
    }
    Ok(())
}

#[cfg(test)]
#[path = "request_signing_tests.rs"]
mod tests;
