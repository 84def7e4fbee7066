//! Name, mail address and groups of a person, from the claims of the provider.

use std::collections::HashMap;

use openidconnect::AdditionalClaims;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, ProviderConfig};

/// Maximum number of groups that are read; further ones are ignored.
const MAX_GROUPS: usize = 10_000;

/// Claims that OpenID Connect does not define, by name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct OtherClaims(pub(crate) HashMap<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// A person for whom a provider vouches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Value of the claim that identifies the person.
    pub subject: String,
    /// Name for people: the mail address or user name if the provider sends one, else the subject.
    pub name: String,
    /// Groups of the person.
    pub groups: Vec<String>,
}

/// Claims of an ID token, or of the userinfo endpoint, before the settings select from them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: Option<bool>,
    pub(crate) preferred_username: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) other: HashMap<String, Value>,
}

impl Claims {
    /// Returns the groups; `None` if the claims have none.
    pub(crate) fn groups(&self, config: &ProviderConfig) -> Option<Vec<String>> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.other.get(&config.groups_claim)? {
            Value::Array(values) => Some(values.iter().take(MAX_GROUPS).filter_map(text).collect()),
            value => text(value).map(|group| vec![group]),
        }
    }

    /// Returns whether the provider names a reference in place of the groups: Entra does for more
    /// than 200 of them. Without this check, a person with many groups would seem to have none.
    pub(crate) fn has_overage(&self, config: &ProviderConfig) -> bool {
        let names = self.other.get("_claim_names");
        let is_referred = names.is_some_and(|names| names.get(&config.groups_claim).is_some());
        is_referred || self.other.get("hasgroups").is_some_and(|flag| flag == true || flag == "true")
    }

    /// Selects the person that the settings describe.
    pub(crate) fn person(self, config: &ProviderConfig, groups: Vec<String>) -> Result<Person, Error> {
        let claim = config.subject_claim.as_str();
        let subject = match claim {
            "sub" => Some(self.sub.clone()),
            // At some providers, a person may enter the address of another person.
            "email" if self.email_verified != Some(true) => return Err(Error::EmailUnverified),
            "email" => self.email.clone(),
            "preferred_username" => self.preferred_username.clone(),
            _ => self.other.get(claim).and_then(Value::as_str).map(str::to_owned),
        };
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or_else(|| Error::ClaimMissing(claim.to_owned()))?;
        let verified_email = self.email.filter(|_| self.email_verified == Some(true));
        let name = verified_email.or(self.preferred_username).or(self.name);
        let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| subject.clone());
        Ok(Person { subject, name, groups })
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    fn config(subject_claim: &str) -> ProviderConfig {
        ProviderConfig {
            issuer: "https://idp.example".into(),
            client_id: "graywave".into(),
            client_secret: None,
            scopes: Vec::new(),
            groups_claim: "groups".into(),
            subject_claim: subject_claim.into(),
            ca_file: None,
            clock_tolerance: TimeDelta::minutes(1),
        }
    }

    fn claims(other: Value) -> Claims {
        Claims {
            sub: "00u1".into(),
            email: Some("alice@example.com".into()),
            email_verified: Some(true),
            preferred_username: Some("alice".into()),
            name: Some("Alice".into()),
            other: serde_json::from_value(other).unwrap(),
        }
    }

    #[test]
    fn groups_are_a_list_or_one_text() {
        for (claim, expected) in [
            (json!({"groups": ["a", "b"]}), Some(vec!["a", "b"])),
            (json!({"groups": []}), Some(vec![])),
            (json!({"groups": "a"}), Some(vec!["a"])),
            (json!({"groups": ["a", 7, null]}), Some(vec!["a"])),
            (json!({"groups": {"a": true}}), None),
            (json!({"roles": ["a"]}), None),
        ] {
            let groups = claims(claim.clone()).groups(&config("sub"));
            let expected = expected.map(|groups| groups.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(groups, expected, "{claim}");
        }
    }

    #[test]
    fn overage_is_told_apart_from_no_groups() {
        for (other, expected) in [
            (json!({"_claim_names": {"groups": "src1"}}), true),
            (json!({"hasgroups": true}), true),
            (json!({"_claim_names": {"other": "src1"}}), false),
            (json!({}), false),
        ] {
            assert_eq!(claims(other.clone()).has_overage(&config("sub")), expected, "{other}");
        }
    }

    #[test]
    fn person_is_identified_by_the_configured_claim() {
        let of = |claim: &str| claims(json!({"oid": "7f3a"})).person(&config(claim), Vec::new());
        for (claim, subject) in [
            ("sub", "00u1"),
            ("email", "alice@example.com"),
            ("preferred_username", "alice"),
            ("oid", "7f3a"),
        ] {
            let person = of(claim).unwrap();
            assert_eq!((person.subject.as_str(), person.name.as_str()), (subject, "alice@example.com"));
        }
        assert!(matches!(of("missing"), Err(Error::ClaimMissing(claim)) if claim == "missing"));
    }

    #[test]
    fn unverified_mail_address_identifies_no_person() {
        for verified in [None, Some(false)] {
            let unverified = Claims { email_verified: verified, ..claims(json!({})) };
            let refused = unverified.clone().person(&config("email"), Vec::new());
            assert!(matches!(refused, Err(Error::EmailUnverified)));
            let person = unverified.person(&config("sub"), Vec::new()).unwrap();
            assert_eq!(person.name, "alice", "an unverified address is no name either");
        }
    }
}
