//! Settings of the web console.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail, ensure};
use api::ConsoleOptions;
use chrono::TimeDelta;
use domain::session::SessionTerms;
use serde::Deserialize;

use crate::oidc_settings::OidcSettings;

/// Longest configurable lifetime of a session, in milliseconds: 7 days.
const MAX_SESSION_MS: i64 = 7 * 24 * 3_600_000;
/// Shortest configurable lifetime of a session: uses are stored once a minute.
const MIN_SESSION_MS: i64 = 120_000;

/// The web console, which the REST API serves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConsoleSettings {
    /// Serves the console at `/console`, and accepts its sessions.
    pub(crate) enabled: bool,
    /// URL at which browsers reach the API, such as `https://graywave.example.com`, with the prefix
    /// of a proxy. Required for identity providers.
    pub(crate) public_url: Option<String>,
    /// Time without a use after which a session ends.
    pub(crate) session_idle_ms: i64,
    /// Maximum time from sign-in to the end of a session.
    pub(crate) session_max_ms: i64,
    /// Identity providers, in the order of the sign-in view.
    pub(crate) oidc: Vec<OidcSettings>,
}

impl Default for ConsoleSettings {
    fn default() -> Self {
        let terms = SessionTerms::default();
        Self {
            enabled: true,
            public_url: None,
            session_idle_ms: terms.idle.num_milliseconds(),
            session_max_ms: terms.max.num_milliseconds(),
            oidc: Vec::new(),
        }
    }
}

impl ConsoleSettings {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (key, value) in
            [("session_idle_ms", self.session_idle_ms), ("session_max_ms", self.session_max_ms)]
        {
            ensure!(
                (MIN_SESSION_MS..=MAX_SESSION_MS).contains(&value),
                "console.{key} is {value}: it must be from {MIN_SESSION_MS} (2 minutes) to {MAX_SESSION_MS} (7 days)"
            );
        }
        let mut names = BTreeSet::new();
        for provider in &self.oidc {
            provider.check().with_context(|| format!("console.oidc: provider {:?}", provider.name))?;
            ensure!(
                names.insert(&provider.name),
                "console.oidc: two providers are named {:?}",
                provider.name
            );
        }
        if !self.oidc.is_empty() && self.public_url.is_none() {
            bail!("console.public_url is not set: identity providers return browsers to this URL");
        }
        if let Some(url) = &self.public_url {
            let authority = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let has_host = authority.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
            if !has_host || url.contains(['?', '#', '@']) || url.contains(char::is_whitespace) {
                bail!("console.public_url is {url:?}: it must be a URL such as https://graywave.example.com");
            }
        }
        Ok(())
    }

    /// Returns the URL at which a one-time code signs a browser in. `otherwise` is the URL of the
    /// API if none is configured.
    pub(crate) fn sign_in_url(&self, otherwise: &str, code: &str) -> String {
        let base = self.public_url.as_deref().unwrap_or(otherwise).trim_end_matches('/');
        format!("{base}/console/#/sign-in?code={code}")
    }

    /// Returns the limits of sessions.
    pub(crate) fn session_terms(&self) -> SessionTerms {
        SessionTerms {
            idle: TimeDelta::milliseconds(self.session_idle_ms),
            max: TimeDelta::milliseconds(self.session_max_ms),
        }
    }

    /// Returns the options of the REST API; `None` if the console is switched off. Calls no
    /// identity provider.
    pub(crate) fn options(&self) -> anyhow::Result<Option<ConsoleOptions>> {
        if !self.enabled {
            return Ok(None);
        }
        let public_url = self.public_url.clone();
        let base = public_url.as_deref().unwrap_or_default().trim_end_matches('/');
        let providers = self.oidc.iter().map(|provider| {
            let name = &provider.name;
            provider.identity_provider(base).with_context(|| format!("console.oidc: provider {name:?}"))
        });
        let providers = providers.collect::<anyhow::Result<_>>()?;
        Ok(Some(ConsoleOptions { public_url, providers }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &ConsoleSettings) -> bool {
        settings.check().is_ok()
    }

    #[test]
    fn public_url_is_an_http_url_without_query() {
        let with = |url: &str| ConsoleSettings { public_url: Some(url.to_owned()), ..Default::default() };
        for good in ["https://gw.example", "http://127.0.0.1:8080", "https://gw.example/graywave/"] {
            assert!(check(&with(good)), "{good}");
        }
        for bad in
            ["gw.example", "https://", "https:///x", "https://u@h", "https://h?x", "https://h#x", "ftp://h"]
        {
            assert!(!check(&with(bad)), "{bad}");
        }
    }

    #[test]
    fn lifetime_of_sessions_has_bounds() {
        for (idle, max, is_good) in
            [(120_000, 120_000, true), (119_999, 120_000, false), (120_000, 604_800_001, false)]
        {
            let settings =
                ConsoleSettings { session_idle_ms: idle, session_max_ms: max, ..Default::default() };
            assert_eq!(check(&settings), is_good, "{idle} {max}");
        }
    }
}
