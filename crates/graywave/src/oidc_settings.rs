//! Settings of an identity provider of the web console.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use api::IdentityProvider;
use chrono::TimeDelta;
use domain::{ids::ProjectId, person::GroupPolicies};
use oidc::{Provider, ProviderConfig, Secret};
use serde::Deserialize;

/// Maximum length of a provider's name: it is in addresses and in the names of principals.
const MAX_NAME_CHARS: usize = 32;
/// Maximum accepted difference between the clocks, in milliseconds.
const MAX_CLOCK_TOLERANCE_MS: i64 = 300_000;

/// An identity provider: one `[[console.oidc]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OidcSettings {
    /// Name in addresses and in the names of principals: lower-case letters, digits and `-`. A new
    /// name makes new principals.
    pub(crate) name: String,
    /// Name for people; `name` if unset.
    #[serde(default)]
    title: Option<String>,
    /// Issuer, exactly as the provider names itself in `/.well-known/openid-configuration`.
    issuer: String,
    /// Id of the client at the provider.
    client_id: String,
    /// File with the secret of the client. Unset for a public client.
    #[serde(default)]
    client_secret_file: Option<PathBuf>,
    /// Scopes beside `openid`.
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    /// Claim with the groups of a person.
    #[serde(default = "groups_claim")]
    groups_claim: String,
    /// Claim that identifies a person for ever: `sub`, `oid` at Entra, or `email`, which must then
    /// be verified.
    #[serde(default = "subject_claim")]
    subject_claim: String,
    /// CAs of the provider's certificate; those of this machine if unset.
    #[serde(default)]
    ca_file: Option<PathBuf>,
    /// Accepted difference between the clocks of the provider and the database.
    #[serde(default = "clock_tolerance_ms")]
    clock_tolerance_ms: i64,
    /// Project of the provider's people.
    project_id: String,
    /// Policies of groups.
    #[serde(default)]
    groups: Vec<GroupSettings>,
    /// People who are existing principals.
    #[serde(default)]
    principals: Vec<PrincipalSettings>,
}

/// Policies of a group.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupSettings {
    /// Value of the groups claim.
    group: String,
    /// Policies of its members in the project.
    policies: Vec<String>,
}

/// A person who is an existing principal, with the policies of that principal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalSettings {
    /// Value of the subject claim.
    subject: String,
    /// Name of the principal.
    principal: String,
}

fn scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

fn groups_claim() -> String {
    "groups".to_owned()
}

fn subject_claim() -> String {
    "sub".to_owned()
}

const fn clock_tolerance_ms() -> i64 {
    60_000
}

impl OidcSettings {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_name = (1..=MAX_NAME_CHARS).contains(&self.name.len())
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        ensure!(is_name, "name must have 1 to {MAX_NAME_CHARS} lower-case letters, digits and -");
        self.project()?;
        // On one machine, a test provider needs no certificate.
        let is_local = ["http://127.0.0.1:", "http://localhost:", "http://[::1]:"]
            .iter()
            .any(|start| self.issuer.starts_with(start));
        ensure!(
            self.issuer.starts_with("https://") || is_local,
            "issuer is {:?}: it must begin with https://, except on this machine",
            self.issuer
        );
        ensure!(
            (0..=MAX_CLOCK_TOLERANCE_MS).contains(&self.clock_tolerance_ms),
            "clock_tolerance_ms is {}: it must be from 0 to {MAX_CLOCK_TOLERANCE_MS} (5 minutes)",
            self.clock_tolerance_ms
        );
        for (key, value) in [
            ("client_id", &self.client_id),
            ("groups_claim", &self.groups_claim),
            ("subject_claim", &self.subject_claim),
        ] {
            ensure!(!value.is_empty(), "{key} is empty");
        }
        if self.groups.is_empty() && self.principals.is_empty() {
            bail!("nobody could sign in: map groups in [[console.oidc.groups]]");
        }
        for mapped in &self.groups {
            ensure!(!mapped.policies.is_empty(), "group {:?} has no policies", mapped.group);
        }
        Ok(())
    }

    fn project(&self) -> anyhow::Result<ProjectId> {
        self.project_id.parse().context("project_id")
    }

    fn secret(&self) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.client_secret_file else { return Ok(None) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("client_secret_file: cannot read {}", path.display()))?;
        let secret = text.trim();
        ensure!(!secret.is_empty(), "client_secret_file: {} is empty", path.display());
        Ok(Some(Secret::new(secret)))
    }

    /// Creates the provider below a public URL without a slash at its end.
    pub(crate) fn identity_provider(&self, base: &str) -> anyhow::Result<IdentityProvider> {
        let config = ProviderConfig {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: self.secret()?,
            scopes: self.scopes.clone(),
            groups_claim: self.groups_claim.clone(),
            subject_claim: self.subject_claim.clone(),
            ca_file: self.ca_file.clone(),
            clock_tolerance: TimeDelta::milliseconds(self.clock_tolerance_ms),
        };
        let redirect_url = format!("{base}/console/callback/{}", self.name);
        let groups = self
            .groups
            .iter()
            .map(|mapped| GroupPolicies { group: mapped.group.clone(), policies: mapped.policies.clone() });
        let principals = self.principals.iter().map(|it| (it.subject.clone(), it.principal.clone()));
        Ok(IdentityProvider {
            name: self.name.clone(),
            title: self.title.clone().unwrap_or_else(|| self.name.clone()),
            project_id: self.project()?,
            groups: groups.collect(),
            principals: principals.collect(),
            client: Arc::new(Provider::new(config, redirect_url)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "corp"
        issuer = "https://idp.example"
        client_id = "graywave"
        project_id = "acme"
        groups = [{ group = "sre", policies = ["operator"] }]
    "#;

    fn parse(change: (&str, &str)) -> anyhow::Result<OidcSettings> {
        let text = GOOD.replace(change.0, change.1);
        let source = config::File::from_str(&text, config::FileFormat::Toml);
        let settings = config::Config::builder().add_source(source).build()?;
        let settings: OidcSettings = settings.try_deserialize()?;
        settings.check()?;
        Ok(settings)
    }

    #[test]
    fn provider_has_defaults_and_a_redirect_below_the_public_url() {
        let settings = parse(("", "")).unwrap();
        assert_eq!(settings.scopes, ["profile", "email"]);
        let provider = settings.identity_provider("https://gw.example/graywave").unwrap();
        assert_eq!((provider.title.as_str(), provider.project_id.as_str()), ("corp", "acme"));
        assert!(format!("{provider:?}").contains("https://gw.example/graywave/console/callback/corp"));
    }

    #[test]
    fn unusable_provider_is_refused_by_the_field() {
        for (from, to, named) in [
            ("\"corp\"", "\"Corp\"", "name must"),
            ("\"corp\"", "\"\"", "name must"),
            ("https://idp", "http://idp", "issuer is"),
            ("\"acme\"", "\"\"", "project"),
            ("\"graywave\"", "\"\"", "client_id"),
            ("[\"operator\"]", "[]", "group \"sre\""),
            ("groups = [{ group = \"sre\", policies = [\"operator\"] }]", "", "nobody could"),
            ("client_id", "clock_tolerance_ms = 300001\nclient_id", "clock_tolerance_ms is"),
            ("client_id", "groups_claims = \"x\"\nclient_id", "groups_claims"),
        ] {
            let error = parse((from, to)).unwrap_err();
            assert!(format!("{error:#}").contains(named), "{named}: {error:#}");
        }
        assert!(parse(("https://idp.example", "http://127.0.0.1:9000")).is_ok(), "a test provider");
    }

    #[test]
    fn secret_of_the_client_is_read_from_its_file_and_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "the client's secret\n").unwrap();
        let field = format!("client_secret_file = {:?}\nclient_id", file.path());
        let settings = parse(("client_id", &field)).unwrap();
        assert_eq!(settings.secret().unwrap().unwrap().expose(), "the client's secret");
        let provider = settings.identity_provider("https://gw.example").unwrap();
        assert!(!format!("{provider:?}").contains("the client's secret"));
        std::fs::write(file.path(), "\n").unwrap();
        assert!(settings.identity_provider("https://gw.example").is_err());
    }
}
