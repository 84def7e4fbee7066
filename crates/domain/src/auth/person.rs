//! People who sign in with an identity provider: their names as principals, and their policies.

use std::collections::BTreeSet;

use crate::{Error, Reason, limits::MAX_POLICIES_PER_PRINCIPAL};

/// Start of the names of principals that identity providers vouch for.
const PREFIX: &str = "oidc:";
/// Maximum length of a principal's name in characters.
const MAX_NAME_CHARS: usize = 128;
/// Maximum length of a name for people in characters; the rest is cut.
const MAX_SHOWN_CHARS: usize = 128;

/// Returns whether a principal's name belongs to a person of an identity provider. Only a sign-in
/// creates such a principal, and it gets no tokens and keys from administrators: its policies are
/// those of its groups at the last sign-in.
pub fn is_person(principal: &str) -> bool {
    principal.starts_with(PREFIX)
}

/// Returns the principal of a person. The same person has the same name at each sign-in, so a rule
/// such as `distinct_approver` recognises the person.
///
/// # Errors
///
/// `FieldInvalid` if the subject is empty, too long, or has control characters. It is never cut:
/// two people could share the rest.
pub fn person(provider: &str, subject: &str) -> Result<String, Error> {
    let name = format!("{PREFIX}{provider}:{subject}");
    let fits = !subject.is_empty()
        && name.chars().count() <= MAX_NAME_CHARS
        && !subject.chars().any(char::is_control);
    if fits {
        return Ok(name);
    }
    let length = subject.chars().count();
    let message = format!(
        "the identity provider names the person with {length} characters, and the principal's name has at most \
         {MAX_NAME_CHARS}, without control characters: choose another console.oidc.subject_claim"
    );
    Err(Error::new(Reason::FieldInvalid, message))
}

/// Returns a name for people as it is stored: without control and format characters, and cut.
pub fn shown_name(text: &str) -> String {
    let is_shown = |char: &char| {
        !char.is_control()
            && !matches!(*char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    text.chars().filter(is_shown).take(MAX_SHOWN_CHARS).collect()
}

/// Policies that the members of a group have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicies {
    /// Value of the groups claim, compared byte by byte.
    pub group: String,
    /// Names of policies of the project.
    pub policies: Vec<String>,
}

/// Returns the policies of a person's groups, sorted. Empty if no group is mapped: the person may
/// not sign in.
///
/// # Errors
///
/// `FieldOutOfRange` if the groups have more policies than a principal may have.
pub fn policies_of_groups(mapping: &[GroupPolicies], groups: &[String]) -> Result<Vec<String>, Error> {
    let policies: BTreeSet<&String> = mapping
        .iter()
        .filter(|mapped| groups.contains(&mapped.group))
        .flat_map(|mapped| &mapped.policies)
        .collect();
    if policies.len() > MAX_POLICIES_PER_PRINCIPAL {
        let message = format!(
            "the person's groups have {} policies, and a principal has at most {MAX_POLICIES_PER_PRINCIPAL}: map \
             fewer groups in console.oidc.groups",
            policies.len()
        );
        return Err(Error::new(Reason::FieldOutOfRange, message));
    }
    Ok(policies.into_iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping() -> Vec<GroupPolicies> {
        let mapped = |group: &str, policies: &[&str]| GroupPolicies {
            group: group.to_owned(),
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
        };
        vec![
            mapped("sre", &["operator", "approver"]),
            mapped("dev", &["reader"]),
            mapped("oncall", &["operator"]),
        ]
    }

    #[test]
    fn policies_are_those_of_all_mapped_groups() {
        let of = |groups: &[&str]| {
            let groups: Vec<_> = groups.iter().map(|&name| name.to_owned()).collect();
            policies_of_groups(&mapping(), &groups).unwrap()
        };
        assert_eq!(of(&["oncall", "sre", "unmapped"]), ["approver", "operator"]);
        assert_eq!(of(&["dev"]), ["reader"]);
        for none in [&[] as &[&str], &["SRE"], &["sre "]] {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn more_policies_than_a_principal_may_have_are_refused() {
        let policies = (0..=MAX_POLICIES_PER_PRINCIPAL).map(|number| number.to_string()).collect();
        let mapping = [GroupPolicies { group: "all".to_owned(), policies }];
        let refused = policies_of_groups(&mapping, &["all".to_owned()]).unwrap_err();
        assert_eq!(refused.reason, Reason::FieldOutOfRange);
    }

    #[test]
    fn person_has_one_name_which_is_never_cut() {
        assert_eq!(person("corp", "00u1").unwrap(), "oidc:corp:00u1");
        assert!(is_person("oidc:corp:00u1") && !is_person("alice"));
        for bad in ["", "a\nb", &"x".repeat(200)] {
            assert!(person("corp", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shown_name_has_no_control_characters() {
        assert_eq!(shown_name("Al\u{202e}ice\n Ä"), "Alice Ä");
        assert_eq!(shown_name(&"x".repeat(500)).len(), MAX_SHOWN_CHARS);
    }
}
