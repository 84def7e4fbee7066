//! The install script of the API.

use std::{path::Path, time::Duration};

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mtls::{FilesGiven, ProxySettings, open_tcp, operator_connector};
use tokio::time::timeout;
use tonic::codegen::{Service as _, http::Uri};

use crate::{Error, client::load_certificates};

/// Maximum size of the script, in bytes.
pub(super) const MAX_BYTES: usize = 256 << 10;
/// Time limit of the download.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Last line of the script, without which it is not whole.
const LAST_LINE: &str = "{ main \"$@\"; exit; }";
/// Line that only this script has.
const MARK: &str = "# Installs, upgrades and removes the Graywave agent on a Linux machine";

/// Downloads the script of an API.
pub(super) async fn fetch(api: &str, ca_file: Option<&Path>) -> Result<String, Error> {
    let url = format!("{}/install.sh", api.trim_end_matches('/'));
    let uri: Uri =
        url.parse().map_err(|error| Error::misused(format!("--api: {api:?} is no URL: {error}")))?;
    let failed = |cause: String| {
        Error::unreachable(format!("cannot download {url}: {cause}"))
            .try_next("--api-ca FILE, if the API has a certificate of a private CA")
            .try_next(format!("curl --output install.sh {url}, then --script install.sh"))
    };
    let answer = timeout(TIMEOUT, get(&uri, ca_file)).await;
    let (status, bytes) = answer
        .map_err(|_| failed(format!("no answer within {} s", TIMEOUT.as_secs())))?
        .map_err(|error| match error {
            Failure::Invalid(error) => error,
            Failure::Call(cause) => failed(cause),
        })?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    match status {
        StatusCode::OK => Ok(text),
        // The API's message names the missing settings.
        _ => Err(Error::refused(format!("cannot download {url}: {status}: {}", text.trim()))),
    }
}

/// Failure of a download.
enum Failure {
    /// A flag or a file of the user is wrong.
    Invalid(Error),
    /// The API does not answer as expected.
    Call(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        Self::Call(text)
    }
}

async fn get(uri: &Uri, ca_file: Option<&Path>) -> Result<(StatusCode, Bytes), Failure> {
    let proxies = ProxySettings::from_env();
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => {
            let files = FilesGiven { ca_file: ca_file.map(Path::to_owned), ..FilesGiven::default() };
            let client = load_certificates(&files, proxies).map_err(Failure::Invalid)?;
            exchange(operator_connector(client).call(uri.clone()).await?, uri).await
        }
        // Plain text never leaves this machine: the script runs as root.
        (Some("http"), Some("127.0.0.1" | "localhost" | "[::1]")) => {
            exchange(TokioIo::new(open_tcp(uri, &ProxySettings::default()).await?), uri).await
        }
        _ => Err(Failure::Invalid(Error::misused(format!(
            "--api: {uri} does not begin with https://; plain HTTP is for 127.0.0.1 only"
        )))),
    }
}

async fn exchange<S>(stream: S, uri: &Uri) -> Result<(StatusCode, Bytes), Failure>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(Request::get(uri).body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
    connection.abort();
    Ok((status, body.map_err(|error| Failure::Call(error.to_string()))?.to_bytes()))
}

/// Checks that the text is the whole script, so that no host runs something else.
pub(super) fn check(script: &str) -> Result<(), Error> {
    let is_script = script.starts_with("#!/bin/sh\n") && script.contains(MARK);
    let reason = match script.trim_end().ends_with(LAST_LINE) {
        true if is_script => return Ok(()),
        _ if is_script => "the script is truncated: download it again",
        _ => "this is not the install.sh of an API",
    };
    Err(Error::misused(format!("cannot use the install script: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_script_is_accepted() {
        let script = include_str!("../../../../../api/src/install/install.sh");
        check(script).unwrap();
        check(script.trim_end()).unwrap();
        let refusal = |text: &str| check(text).unwrap_err().to_string();
        assert!(refusal(script.trim_end().trim_end_matches('}')).contains("truncated"));
        assert!(refusal("<html>{ main \"$@\"; exit; }").contains("not the install.sh"));
    }

    #[tokio::test]
    async fn plain_http_to_another_machine_is_refused() {
        for url in ["http://graywave.example", "ftp://a", "graywave.example"] {
            let refused = fetch(url, None).await.unwrap_err().to_string();
            assert!(refused.starts_with("--api: "), "{refused}");
        }
    }
}
