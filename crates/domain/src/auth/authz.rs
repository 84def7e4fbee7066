//! Authorisation: actions, policies, and the decision. All adapters share it.
//!
//! Policies have the format of the published API's identity policies. An action that no statement
//! allows is refused. A statement that denies takes precedence over all that allow.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::{Error, FieldPath, Reason, ids::canonical, limits, script::BYTE_ORDER_MARK};

pub use super::action::{ALL, Action, Resource};

/// Effect of a statement: allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Allows the actions.
    Allow,
    /// Denies the actions, even if other statements allow them.
    Deny,
}

/// A rule of a policy. `*` matches any text and `?` matches one character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// Effect on matching actions.
    pub effect: Effect,
    /// Patterns of [`Action`] names.
    pub action: Vec<String>,
    /// Patterns of [`Resource`] names. All resources match if the field is omitted.
    #[serde(default = "every")]
    pub resource: Vec<String>,
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A policy document: `{"Version": "5.0", "Statement": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    /// Version of the format, as in the published API.
    pub version: String,
    /// Statements of the policy, at least one.
    pub statement: Vec<Statement>,
}

impl Statement {
    /// Validates one statement. Error fields are relative to the statement.
    fn check(&self) -> Result<(), Error> {
        for (field, list) in [("Action", &self.action), ("Resource", &self.resource)] {
            if list.is_empty() {
                return Err(Error::required(field, "must not be an empty list: \"*\" means all"));
            }
        }
        // A misspelt action in a Deny statement would silently allow it.
        for (place, pattern) in self.action.iter().enumerate() {
            let matcher = WildMatch::new(pattern);
            if !Action::ALL.iter().any(|action| matcher.matches(action.as_str())) {
                let field = FieldPath::from("Action").index(place);
                return Err(Error::invalid(field, format!("{pattern:?} matches no known action")));
            }
        }
        for (place, pattern) in self.resource.iter().enumerate() {
            let known = ["*", "script:", "command", "desktop:", "desktopPool:", "task:", "user:"];
            if !known.iter().any(|start| short_form(pattern).starts_with(start)) {
                let message = format!(
                    "{pattern:?} is not one of *, script:ID, command, desktop:ID, desktopPool:ID, task:ID, user:NAME"
                );
                return Err(Error::invalid(FieldPath::from("Resource").index(place), message));
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Parses and validates a document, which may begin with a byte order mark.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if text.len() > limits::MAX_POLICY_BYTES {
            let message = format!("a policy has at most {} bytes", limits::MAX_POLICY_BYTES);
            return Err(Error::new(Reason::FieldOutOfRange, message));
        }
        let policy: Self = serde_json::from_str(text)
            .map_err(|error| Error::unreadable(format!("not a valid policy: {error}")))?;
        policy.check()?;
        Ok(policy)
    }

    fn check(&self) -> Result<(), Error> {
        if self.version != "5.0" {
            return Err(Error::invalid("Version", "must be \"5.0\""));
        }
        if self.statement.is_empty() {
            return Err(Error::required("Statement", "a policy has at least one statement"));
        }
        for (place, statement) in self.statement.iter().enumerate() {
            statement.check().map_err(|error| error.within(FieldPath::from("Statement").index(place)))?;
        }
        Ok(())
    }

    fn allow(actions: &[&str]) -> Self {
        let action = actions.iter().map(|&action| action.to_owned()).collect();
        let statement = vec![Statement { effect: Effect::Allow, action, resource: every() }];
        Self { version: "5.0".to_owned(), statement }
    }
}

/// Removes the prefix `workspace:region:account:` of the published format, which has no meaning
/// here.
fn short_form(pattern: &str) -> &str {
    let mut parts = pattern.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("workspace"), Some(_), Some(_), Some(rest)) => rest,
        _ => pattern,
    }
}

/// Names of the ready-made policies, which every project has.
pub const READY_POLICIES: [&str; 3] = ["reader", "operator", "admin"];

/// Returns a ready-made policy. `reader` reads everything except the audit and access settings.
/// `operator` also saves scripts, runs, retries, stops, pauses and approves tasks, tags desktops,
/// and freezes the project. `admin` may do everything.
pub fn ready_policy(name: &str) -> Option<Policy> {
    match name {
        "reader" => Some(Policy::allow(&[
            "workspace:*:list*",
            "workspace:*:get*",
            "graywave:tasks:get",
            "graywave:project:get",
            "graywave:workers:list",
        ])),
        "operator" => Some(Policy::allow(&[
            "workspace:*",
            "graywave:tasks:*",
            "graywave:project:get",
            // A caller who sees a problem may stop all work; only an admin decides to continue.
            "graywave:project:freeze",
            "graywave:workers:list",
            // Tags grant no execution rights: other actions decide on which desktops a caller may
            // run scripts.
            "graywave:desktops:tag",
        ])),
        "admin" => Some(Policy::allow(&["*"])),
        _ => None,
    }
}

#[derive(Debug, Clone)]
struct Rule {
    effect: Effect,
    actions: Vec<WildMatch>,
    resources: Vec<WildMatch>,
    /// The same patterns in canonical form, for ids of desktops.
    desktops: Vec<WildMatch>,
}

/// Rights of a principal: all its policies, compiled for decisions.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    rules: Vec<Rule>,
}

impl Rule {
    /// Returns whether the rule is about a resource with this name. `of_desktop` is the canonical
    /// name of a desktop: ids that differ only in case or Unicode form name one desktop.
    fn covers(&self, name: &str, of_desktop: Option<&str>) -> bool {
        match of_desktop {
            Some(name) => self.desktops.iter().any(|pattern| pattern.matches(name)),
            None => self.resources.iter().any(|pattern| pattern.matches(name)),
        }
    }

    /// Returns whether the rule is about every resource.
    fn covers_all(&self) -> bool {
        self.resources.iter().any(|pattern| pattern.pattern() == "*")
    }
}

impl Rights {
    /// Combines policies into rights.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let statements = policies.into_iter().flat_map(|policy| &policy.statement);
        let rules = statements
            .map(|statement| Rule {
                effect: statement.effect,
                actions: statement.action.iter().map(|pattern| WildMatch::new(pattern)).collect(),
                resources: statement
                    .resource
                    .iter()
                    .map(|pattern| WildMatch::new(short_form(pattern)))
                    .collect(),
                desktops: statement
                    .resource
                    .iter()
                    .map(|pattern| WildMatch::new(&canonical(short_form(pattern))))
                    .collect(),
            })
            .collect();
        Self { rules }
    }

    fn rules_on(&self, action: Action) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.actions.iter().any(|it| it.matches(action.as_str())))
    }

    /// Checks that the action is allowed on all of these resources.
    pub fn check<'a>(
        &self,
        action: Action,
        resources: impl IntoIterator<Item = Resource<'a>>,
    ) -> Result<(), Error> {
        let rules: Vec<&Rule> = self.rules_on(action).collect();
        if rules.iter().all(|rule| rule.effect == Effect::Allow) && rules.iter().any(|rule| rule.covers_all())
        {
            return Ok(());
        }
        for resource in resources {
            let name = resource.to_string();
            let mut allowed = false;
            let of_desktop = matches!(resource, Resource::Desktop(_)).then(|| canonical(&name));
            for rule in rules.iter().filter(|rule| rule.covers(&name, of_desktop.as_deref())) {
                if rule.effect == Effect::Deny {
                    return Err(Error::new(
                        Reason::PolicyDenies,
                        format!("a policy denies {action} on {name}"),
                    ));
                }
                allowed = true;
            }
            if !allowed {
                return Err(Error::new(
                    Reason::NoPolicyAllows,
                    format!("no policy allows {action} on {name}"),
                ));
            }
        }
        Ok(())
    }

    /// Checks that the action is allowed on at least some resource, before any resource is read.
    /// Fails only for a deny that covers every resource.
    pub fn check_any(&self, action: Action) -> Result<(), Error> {
        let mut allowed = false;
        for rule in self.rules_on(action) {
            match rule.effect {
                Effect::Deny if rule.covers_all() => {
                    return Err(Error::new(Reason::PolicyDenies, format!("a policy denies {action}")));
                }
                Effect::Deny => {}
                Effect::Allow => allowed = true,
            }
        }
        if allowed {
            Ok(())
        } else {
            Err(Error::new(Reason::NoPolicyAllows, format!("no policy allows {action}")))
        }
    }

    /// Checks an action that can grant arbitrary rights. It requires unrestricted rights without
    /// any deny. Otherwise it would bypass every other rule.
    pub fn check_giving(&self, action: Action) -> Result<(), Error> {
        self.check(action, [Resource::Everything])?;
        let has_no_exception = self.rules.iter().all(|rule| rule.effect == Effect::Allow);
        if has_no_exception && Action::ALL.iter().all(|&any| self.check(any, [Resource::Everything]).is_ok())
        {
            return Ok(());
        }
        Err(Error::new(
            Reason::FullAccessRequired,
            format!("{action} gives rights: it needs the right to do everything on everything"),
        ))
    }
}

#[cfg(test)]
#[path = "authz_tests.rs"]
mod tests;
