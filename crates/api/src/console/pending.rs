//! A sign-in with an identity provider that waits for the browser's return.
//!
//! It is in a cookie of the browser and nowhere else, so that an unfinished sign-in costs the
//! server nothing. Each has a cookie of its own: people sign in from several tabs at the same time.

use axum::http::{HeaderMap, HeaderValue, header};
use chrono::TimeDelta;
use domain::Timestamp;
use oidc::Begun;
use sha2::{Digest as _, Sha256};

use super::cookie;

/// Start of the cookie's name; the first characters of the state follow.
const PREFIX: &str = "__Host-graywave-login-";
const STATE_CHARS: usize = 8;
/// Time from the begin to the return.
pub(super) const RETURN_WITHIN: TimeDelta = TimeDelta::minutes(10);
/// Unfinished sign-ins of one browser; with more, all are deleted, so that headers stay short.
const MAX_PENDING: usize = 5;
/// Maximum length of the view to return to.
const MAX_RETURN_CHARS: usize = 1_024;

/// A sign-in that waits for the browser's return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) provider: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) begun_at: Timestamp,
    /// View after the sign-in, relative to the console.
    pub(super) return_to: String,
}

/// Returns the view to return to, relative to the console: a fragment, or the page on which a
/// command line signs in. Every other address, and so every other site, becomes the first view.
pub(super) fn return_view(asked: Option<&str>) -> String {
    let asked = asked.unwrap_or_default();
    let is_view = asked.starts_with("#/") || asked.starts_with("cli?");
    let fits = asked.len() <= MAX_RETURN_CHARS && asked.bytes().all(|byte| byte.is_ascii_graphic());
    if is_view && fits { asked.to_owned() } else { "#/".to_owned() }
}

fn name(state: &str) -> String {
    let chars = state.chars().filter(char::is_ascii_alphanumeric).take(STATE_CHARS);
    PREFIX.chars().chain(chars).collect()
}

impl Pending {
    pub(super) fn new(provider: &str, begun: Begun, return_to: String, now: Timestamp) -> Self {
        let Begun { state, nonce, verifier, .. } = begun;
        Self { provider: provider.to_owned(), state, nonce, verifier, begun_at: now, return_to }
    }

    /// Header values that store the sign-in.
    pub(super) fn store(&self, request: &HeaderMap) -> Vec<HeaderValue> {
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs
            .append_pair("p", &self.provider)
            .append_pair("s", &self.state)
            .append_pair("n", &self.nonce)
            .append_pair("v", &self.verifier)
            .append_pair("t", &self.begun_at.timestamp().to_string())
            .append_pair("r", &self.return_to);
        let old = names(request);
        let excess = if old.len() >= MAX_PENDING { old } else { Vec::new() };
        let mut values: Vec<_> = excess.iter().map(|name| deleted(name)).collect();
        // `Lax`: the return is a navigation from the provider's site.
        values.push(cookie::value(&format!(
            "{}={}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={}",
            name(&self.state),
            pairs.finish(),
            RETURN_WITHIN.num_seconds()
        )));
        values
    }

    /// Finds the sign-in to which a state belongs.
    pub(super) fn find(request: &HeaderMap, state: &str) -> Option<Self> {
        let text = cookie::find(request, &name(state))?;
        let pairs: std::collections::HashMap<_, _> = form_urlencoded::parse(text.as_bytes()).collect();
        let get = |key: &str| pairs.get(key).map(|value| value.clone().into_owned());
        let pending = Self {
            provider: get("p")?,
            state: get("s")?,
            nonce: get("n")?,
            verifier: get("v")?,
            begun_at: Timestamp::from_timestamp(get("t")?.parse().ok()?, 0)?,
            return_to: return_view(get("r").as_deref()),
        };
        // Hashes: the comparison's duration reveals nothing about the state.
        (Sha256::digest(&pending.state) == Sha256::digest(state)).then_some(pending)
    }

    /// Header value that deletes the sign-in.
    pub(super) fn delete(&self) -> HeaderValue {
        deleted(&name(&self.state))
    }

    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        now > self.begun_at + RETURN_WITHIN
    }
}

fn deleted(name: &str) -> HeaderValue {
    cookie::value(&format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"))
}

/// Names of the cookies of unfinished sign-ins.
fn names(request: &HeaderMap) -> Vec<String> {
    let values = request.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(PREFIX))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn pending(state: &str) -> Pending {
        let (nonce, verifier) = ("the-nonce_1".to_owned(), "the~verifier".to_owned());
        let begun = Begun { url: String::new(), state: state.to_owned(), nonce, verifier };
        Pending::new("corp", begun, "#/tasks?a=b&c=%22;d".to_owned(), at(0))
    }

    fn browser(values: &[HeaderValue]) -> HeaderMap {
        let pairs = values.iter().map(|value| value.to_str().unwrap().split(';').next().unwrap().to_owned());
        let text = pairs.collect::<Vec<_>>().join("; ");
        [(header::COOKIE, text.parse().unwrap())].into_iter().collect()
    }

    #[test]
    fn sign_ins_of_several_tabs_are_found_by_their_state() {
        let (first, second) = (pending("AAAA_aaaa-1234"), pending("BBBBbbbb9876"));
        let stored = [first.store(&HeaderMap::new()), second.store(&HeaderMap::new())].concat();
        let request = browser(&stored);
        assert_eq!(Pending::find(&request, &first.state), Some(first.clone()));
        assert_eq!(Pending::find(&request, &second.state), Some(second));
        for wrong in ["AAAA_aaaa-1235", "AAAAaaaa", "", "AAAAaaaa\u{e9}"] {
            assert_eq!(Pending::find(&request, wrong), None, "{wrong}");
        }
        let cookie = stored[0].to_str().unwrap();
        assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"), "{cookie}");
    }

    #[test]
    fn excess_sign_in_deletes_the_unfinished_ones() {
        let many: Vec<_> =
            (0..5).flat_map(|n| pending(&format!("{n}AAAAAAAA")).store(&HeaderMap::new())).collect();
        let stored = pending("ZZZZZZZZ").store(&browser(&many));
        assert_eq!(stored.len(), 6);
        assert!(stored[..5].iter().all(|value| value.to_str().unwrap().ends_with("Max-Age=0")));
    }

    #[test]
    fn sign_in_expires_after_ten_minutes() {
        assert!(!pending("A").is_expired(at(600)) && pending("A").is_expired(at(601)));
    }

    #[test]
    fn return_leads_to_a_view_of_the_console_alone() {
        for view in ["#/", "#/tasks/7f3a?tab=waves", "cli?port=1&state=x"] {
            assert_eq!(return_view(Some(view)), view);
        }
        let long = format!("#/{}", "x".repeat(1_023));
        for other in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "javascript:alert(1)",
            "/console/",
            "#",
            "# /",
            "../",
            "#/a b",
            "#/\u{e9}",
            "#/\nSet-Cookie: a=b",
            &long,
            "",
        ] {
            assert_eq!(return_view(Some(other)), "#/", "{other}");
        }
        assert_eq!(return_view(None), "#/");
    }
}
