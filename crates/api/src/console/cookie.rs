//! The cookie of a session.
//!
//! The prefix `__Host-` makes browsers accept the cookie only over HTTPS (or from this machine),
//! for this host and with the path `/`, so neither a neighbouring host nor a page over plain HTTP
//! can plant one. The value is a random secret and nothing else: groups and rights stay in the
//! database, so the cookie never outgrows the limits of proxies.

use axum::http::{HeaderMap, HeaderValue, header};

/// Name of the session's cookie.
const SESSION: &str = "__Host-graywave-session";
/// Maximum length of a secret that is looked up.
const MAX_SECRET_CHARS: usize = 128;

/// Returns the secret of the session's cookie; `None` without a cookie of the right form.
pub(crate) fn session_secret(headers: &HeaderMap) -> Option<String> {
    find(headers, SESSION).filter(|secret| {
        (1..=MAX_SECRET_CHARS).contains(&secret.len())
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Returns the value of a cookie.
pub(super) fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
}

/// Header value that sets the session's cookie. It has no expiry of its own: the server ends the
/// session.
pub(super) fn set_session(secret: &str) -> HeaderValue {
    value(&format!("{SESSION}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict"))
}

/// Header value that deletes the session's cookie.
pub(super) fn delete_session() -> HeaderValue {
    value(&format!("{SESSION}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"))
}

/// Converts the text of a cookie, which consists of visible ASCII characters and spaces.
pub(super) fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|value| (header::COOKIE, value.parse().unwrap())).collect()
    }

    #[test]
    fn secret_is_found_among_other_cookies() {
        for cookies in [
            &["__Host-graywave-session=Abc1"] as &[&str],
            &["theme=dark; __Host-graywave-session=Abc1; x=y"],
            &["theme=dark", "__Host-graywave-session=Abc1"],
        ] {
            assert_eq!(session_secret(&headers(cookies)).as_deref(), Some("Abc1"), "{cookies:?}");
        }
    }

    #[test]
    fn cookie_of_another_name_or_form_is_ignored() {
        let long = format!("__Host-graywave-session={}", "x".repeat(129));
        for cookie in [
            "graywave-session=Abc1",
            "__host-graywave-session=Abc1",
            "__Host-graywave-session=",
            "__Host-graywave-session=a b",
            "__Host-graywave-session=\"Abc1\"",
            &long,
            "",
        ] {
            assert_eq!(session_secret(&headers(&[cookie])), None, "{cookie}");
        }
    }

    #[test]
    fn cookie_has_every_protecting_attribute() {
        for cookie in [set_session("Abc1"), delete_session()] {
            let text = cookie.to_str().unwrap().to_owned();
            for attribute in ["__Host-", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
                assert!(text.contains(attribute), "{text}");
            }
            assert!(!text.contains("Domain"), "{text}");
        }
    }
}
