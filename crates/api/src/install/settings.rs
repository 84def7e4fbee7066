//! Settings of the install scripts, and the rules for their values.

use std::{net::IpAddr, path::PathBuf};

use axum::http::Uri;

/// Maximum length of a URL, in bytes.
const MAX_URL_BYTES: usize = 500;
/// Maximum number of gateways of agents.
const MAX_AGENTS_URLS: usize = 16;

/// What the API role serves for the installation of agents.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// Settings of the scripts; `None` serves none.
    pub scripts: Option<ScriptSettings>,
    /// Directory with SHA256SUMS and the files that it lists; `None` serves none.
    pub artefacts_dir: Option<PathBuf>,
}

/// Values in the install scripts.
#[derive(Debug, Clone)]
pub struct ScriptSettings {
    /// URL of this API, as machines reach it, without a slash at its end.
    pub(super) public_url: String,
    /// URLs of workers, as agents reach them.
    pub(super) agents_urls: Vec<String>,
    /// Certificates of the control plane's CAs. The file is read for each script.
    pub(super) ca_file: PathBuf,
    /// URL of the directory with the artefacts, without a slash at its end.
    pub(super) artefacts_url: String,
    /// SHA-256 of SHA256SUMS in lower-case hex; `None` reads the file in the directory of this API.
    pub(super) sums_sha256: Option<String>,
}

/// Settings before their check. Empty text is unset.
#[derive(Debug, Clone, Default)]
pub struct GivenScriptSettings {
    /// URL under which clients reach the API, `api.public_url`.
    pub public_url: String,
    /// URLs of the workers' gateways, `api.agents_urls`.
    pub agents_urls: Vec<String>,
    /// `api.ca_file`, or `tls.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// URL of the directory with the artefacts, `api.artefacts_url`.
    pub artefacts_url: String,
    /// SHA-256 of SHA256SUMS, `api.artefacts_sha256`.
    pub artefacts_sha256: String,
    /// Whether `api.artefacts_dir` is set.
    pub has_artefacts_dir: bool,
}

impl ScriptSettings {
    /// Checks the settings; `None` if neither `public_url` nor `agents_urls` is set.
    ///
    /// # Errors
    ///
    /// The setting, its value, and the rule that it breaks.
    pub fn check(given: GivenScriptSettings) -> Result<Option<Self>, String> {
        if given.public_url.is_empty() && given.agents_urls.is_empty() {
            return Ok(None);
        }
        let public_url = url("api.public_url", &given.public_url)?;
        let agents_urls =
            given.agents_urls.iter().map(|text| gateway(text)).collect::<Result<Vec<_>, _>>()?;
        if !(1..=MAX_AGENTS_URLS).contains(&agents_urls.len()) {
            return Err(format!(
                "api.agents_urls has {} URLs; the install script needs 1 to {MAX_AGENTS_URLS}, such as \
                 https://worker.example:9443",
                agents_urls.len()
            ));
        }
        let ca_file =
            given.ca_file.ok_or("api.ca_file is not set; the install script needs the CA of the workers")?;
        let sums_sha256 = match given.artefacts_sha256.as_str() {
            "" if given.has_artefacts_dir => None,
            "" => {
                return Err(
                    "api.artefacts_dir and api.artefacts_sha256 are not set; set the directory of the \
                            artefacts, or the SHA-256 of SHA256SUMS at api.artefacts_url"
                        .into(),
                );
            }
            text if is_sha256(text) => Some(text.to_owned()),
            text => {
                return Err(format!("api.artefacts_sha256 is {text:?}; expected 64 lower-case hex digits"));
            }
        };
        let artefacts_url = match given.artefacts_url.as_str() {
            "" if given.has_artefacts_dir => format!("{public_url}/artefacts"),
            "" => return Err("api.artefacts_url is not set; set it, or api.artefacts_dir".into()),
            text => url("api.artefacts_url", text)?,
        };
        Ok(Some(Self { public_url, agents_urls, ca_file, artefacts_url, sums_sha256 }))
    }
}

/// Whether the text is a SHA-256 in lower-case hex.
pub(super) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Checks the URL of a worker, which has no path.
fn gateway(text: &str) -> Result<String, String> {
    let checked = url("api.agents_urls", text)?;
    let path = checked.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
    match path.as_str() {
        "" | "/" if checked.starts_with("https://") => Ok(checked),
        _ => Err(format!("api.agents_urls: {text:?} is no gateway of workers; use https://HOST:PORT")),
    }
}

/// Checks a URL: https, or http on this machine. It stands in a script that runs as root, so its
/// characters are few.
fn url(key: &str, text: &str) -> Result<String, String> {
    let refused = |rule: &str| Err(format!("{key}: {text:?} {rule}"));
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b':' | b'/' | b'[' | b']')
    };
    if text.len() > MAX_URL_BYTES {
        return refused(&format!("has {} bytes; at most {MAX_URL_BYTES} are allowed", text.len()));
    }
    if !text.bytes().all(is_plain) {
        return refused(
            "has characters other than letters, digits and . - _ ~ : / [ ]; use a URL without them",
        );
    }
    let Some(uri) = text.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()))
    else {
        return refused("is no URL; use https://HOST:PORT");
    };
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if uri.host().is_some_and(is_loopback) => {}
        _ => return refused("does not begin with https://; plain HTTP is for 127.0.0.1 only"),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> GivenScriptSettings {
        GivenScriptSettings {
            public_url: "https://graywave.example.com/".into(),
            agents_urls: vec!["https://worker.example:9443".into()],
            ca_file: Some("/etc/graywave/ca.crt".into()),
            has_artefacts_dir: true,
            ..GivenScriptSettings::default()
        }
    }

    fn refused(change: impl FnOnce(&mut GivenScriptSettings)) -> String {
        let mut settings = given();
        change(&mut settings);
        ScriptSettings::check(settings).unwrap_err()
    }

    #[test]
    fn artefacts_are_at_the_api_by_default() {
        let settings = ScriptSettings::check(given()).unwrap().unwrap();
        assert_eq!(settings.artefacts_url, "https://graywave.example.com/artefacts");
        assert_eq!(settings.sums_sha256, None);
        assert!(ScriptSettings::check(GivenScriptSettings::default()).unwrap().is_none());
    }

    #[test]
    fn value_that_could_become_code_is_refused() {
        for hostile in [
            "https://a'; touch pwned; '",
            "https://a/$(touch pwned)",
            "https://a/`x`",
            "https://a/\nx",
            "https://user:secret@a",
            "https://a/?x=1&y",
            "https://a/\u{2019}",
            "http://worker.example",
            "file:///etc/passwd",
            "",
        ] {
            assert!(
                refused(|it| it.public_url = hostile.into()).starts_with("api.public_url: "),
                "{hostile}"
            );
            assert!(refused(|it| it.agents_urls = vec![hostile.into()]).starts_with("api.agents_urls: "));
        }
        assert!(refused(|it| it.artefacts_url = "https://a/;x".into()).starts_with("api.artefacts_url: "));
        assert!(refused(|it| it.artefacts_sha256 = "'; x".into()).starts_with("api.artefacts_sha256 is "));
    }

    #[test]
    fn missing_setting_is_named() {
        assert!(refused(|it| it.agents_urls.clear()).starts_with("api.agents_urls has 0 URLs"));
        assert!(refused(|it| it.ca_file = None).starts_with("api.ca_file is not set"));
        assert!(refused(|it| it.has_artefacts_dir = false).starts_with("api.artefacts_dir and"));
        assert!(refused(|it| it.agents_urls = vec!["https://a:1/x".into()]).contains("no gateway"));
        let of_other_place = |it: &mut GivenScriptSettings| {
            it.has_artefacts_dir = false;
            it.artefacts_sha256 = "0".repeat(64);
        };
        assert!(refused(of_other_place).starts_with("api.artefacts_url is not set"));
    }
}
