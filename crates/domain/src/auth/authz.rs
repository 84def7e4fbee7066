//! Who may do what: actions, policies, and the decision. The same for every adapter.
//!
//! The form of a policy is that of the published API's identity policies. What no statement allows is refused, and a
//! statement that denies wins over all that allow.

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::{Error, FieldPath, Reason, limits};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What a call does, as policies name it. Those that begin with `workspace:` are the published API's.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in policies and in the audit.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// Save a new script.
    CreateScript = "workspace:scripts:create",
    /// List scripts.
    ListScripts = "workspace:scripts:list",
    /// Read a script with its content.
    GetScript = "workspace:scripts:get",
    /// Save a new revision of a script.
    PutScript = "workspace:scripts:put",
    /// Delete a script.
    DeleteScript = "workspace:scripts:delete",
    /// Run scripts, or a command, on desktops.
    Execute = "workspace:scripts:execute",
    /// Choose the desktops by a tag.
    ExecuteByDesktopTag = "workspace:scripts:executeByDesktopTag",
    /// Run again what did not succeed.
    Retry = "workspace:scripts:retry",
    /// Stop a task or one record.
    Stop = "workspace:scripts:stop",
    /// List tasks.
    ListTasks = "workspace:scripts:listTasks",
    /// List records.
    ListRecords = "workspace:scripts:listRecords",
    /// Read a record with its output.
    GetRecordDetail = "workspace:scripts:getRecordDetail",
    /// Choose the desktops by a pool.
    ExecuteOnPool = "workspace:desktopPools:executeScripts",
    /// List the tasks of pools.
    ListPoolTasks = "workspace:desktopPools:listScriptTasks",
    /// List desktops.
    ListDesktops = "workspace:desktops:list",
    /// List desktops with all that is known of them.
    ListDesktopsDetail = "workspace:desktops:listDetail",
    /// Read a task with its waves and targets.
    GetTask = "graywave:tasks:get",
    /// Change how many targets of a task may be in flight.
    SetConcurrency = "graywave:tasks:setConcurrency",
    /// Pause a task.
    Pause = "graywave:tasks:pause",
    /// Let a paused task go on.
    Resume = "graywave:tasks:resume",
    /// Approve a wave.
    Approve = "graywave:tasks:approve",
    /// Freeze the project: nothing of any task is admitted.
    Freeze = "graywave:project:freeze",
    /// Unfreeze the project.
    Unfreeze = "graywave:project:unfreeze",
    /// Read whether the project is frozen, and its limits.
    GetProject = "graywave:project:get",
    /// Set the project's limits.
    PutLimits = "graywave:project:putLimits",
    /// List workers.
    ListWorkers = "graywave:workers:list",
    /// Ask a worker to take no more work. It serves every project.
    DrainWorker = "graywave:workers:drain",
    /// Let a drained worker work again.
    UndrainWorker = "graywave:workers:undrain",
    /// Read the audit.
    ListAudit = "graywave:audit:list",
    /// List principals with their policies.
    ListPrincipals = "graywave:principals:list",
    /// Make a principal, or bind other policies to it.
    PutPrincipal = "graywave:principals:put",
    /// List policies with their documents.
    ListPolicies = "graywave:policies:list",
    /// Store a policy.
    PutPolicy = "graywave:policies:put",
    /// Delete a policy.
    DeletePolicy = "graywave:policies:delete",
    /// List tokens, without what they are.
    ListTokens = "graywave:tokens:list",
    /// Make a token.
    CreateToken = "graywave:tokens:create",
    /// Revoke a token.
    DeleteToken = "graywave:tokens:delete",
    /// List access keys, without their secrets.
    ListKeys = "graywave:keys:list",
    /// Make an access key.
    CreateKey = "graywave:keys:create",
    /// Revoke an access key.
    DeleteKey = "graywave:keys:delete",
    /// List enrolment tokens, without what they are.
    ListEnrolmentTokens = "graywave:enrolmentTokens:list",
    /// Make an enrolment token: whoever has it may become a desktop.
    CreateEnrolmentToken = "graywave:enrolmentTokens:create",
    /// Revoke an enrolment token.
    DeleteEnrolmentToken = "graywave:enrolmentTokens:delete",
    /// Revoke the certificates of a desktop.
    RevokeDesktop = "graywave:desktops:revoke",
    /// Set and remove operators' tags of a desktop.
    TagDesktop = "graywave:desktops:tag",
    /// Take a desktop out of service.
    RetireDesktop = "graywave:desktops:retire",
    /// Take a retired desktop back into service.
    UnretireDesktop = "graywave:desktops:unretire",
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an action is done to, as policies name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource<'a> {
    /// `script:ID`
    Script(&'a str),
    /// `command`: any text that the caller gives
    Command,
    /// `desktop:ID`
    Desktop(&'a str),
    /// `desktopPool:ID`
    Pool(&'a str),
    /// `task:ID`
    Task(&'a str),
    /// What belongs to the project as a whole, such as its audit.
    Everything,
}

/// As an id: all there are of the kind. Only a pattern that covers them all fits, `script:*` or `*`.
pub const ALL: &str = "*";

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(id) => write!(f, "script:{id}"),
            Self::Command => f.write_str("command"),
            Self::Desktop(id) => write!(f, "desktop:{id}"),
            Self::Pool(id) => write!(f, "desktopPool:{id}"),
            Self::Task(id) => write!(f, "task:{id}"),
            Self::Everything => f.write_str("*"),
        }
    }
}

/// Whether a statement allows or denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies, whatever else allows.
    Deny,
}

/// One rule of a policy. `*` stands for any text and `?` for one character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Statement {
    /// Allow or Deny.
    pub effect: Effect,
    /// Patterns of [`Action`] words.
    pub action: Vec<String>,
    /// Patterns of [`Resource`] names; all resources where it is left out.
    #[serde(default = "every")]
    pub resource: Vec<String>,
}

fn every() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A policy as it is written: `{"Version": "5.0", "Statement": [...]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Policy {
    /// The form's version, as the published API has it.
    pub version: String,
    /// Its rules.
    pub statement: Vec<Statement>,
}

impl Statement {
    /// Checks one statement. Errors name fields from the statement down.
    fn check(&self) -> Result<(), Error> {
        for (field, list) in [("Action", &self.action), ("Resource", &self.resource)] {
            if list.is_empty() {
                return Err(Error::required(field, "must not be an empty list: \"*\" means all"));
            }
        }
        // A misspelt word in a Deny would allow.
        for (place, pattern) in self.action.iter().enumerate() {
            let matcher = WildMatch::new(pattern);
            if !Action::ALL.iter().any(|action| matcher.matches(action.as_str())) {
                let field = FieldPath::from("Action").index(place);
                return Err(Error::invalid(field, format!("{pattern:?} fits no action there is")));
            }
        }
        for (place, pattern) in self.resource.iter().enumerate() {
            let known = ["*", "script:", "command", "desktop:", "desktopPool:", "task:"];
            if !known.iter().any(|start| short_form(pattern).starts_with(start)) {
                let message = format!(
                    "{pattern:?} is none of *, script:ID, command, desktop:ID, desktopPool:ID, task:ID"
                );
                return Err(Error::invalid(FieldPath::from("Resource").index(place), message));
            }
        }
        Ok(())
    }
}

impl Policy {
    /// Reads and checks a document.
    pub fn parse(text: &str) -> Result<Self, Error> {
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

/// A resource pattern without the part of the published form, `workspace:region:account:`, that has no meaning here.
fn short_form(pattern: &str) -> &str {
    let mut parts = pattern.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("workspace"), Some(_), Some(_), Some(rest)) => rest,
        _ => pattern,
    }
}

/// The policies that are always there.
pub const READY_POLICIES: [&str; 3] = ["reader", "operator", "admin"];

/// A ready policy: `reader` reads all but the audit and who may call, `operator` also saves scripts, runs, retries, stops,
/// pauses and approves, tags desktops, and freezes the project; `admin` may do everything.
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
            // Whoever sees that something is wrong may stop all of it; to go on is decided by an admin.
            "graywave:project:freeze",
            "graywave:workers:list",
            // Whom it may run something on is decided by other actions, however the desktops are chosen.
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
}

/// All policies of a principal, ready for decisions.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    rules: Vec<Rule>,
}

impl Rights {
    /// The rights that policies give together.
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
            })
            .collect();
        Self { rules }
    }

    fn rules_on(&self, action: Action) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.actions.iter().any(|it| it.matches(action.as_str())))
    }

    /// Whether the action may be done to all of these resources.
    pub fn check<'a>(
        &self,
        action: Action,
        resources: impl IntoIterator<Item = Resource<'a>>,
    ) -> Result<(), Error> {
        let rules: Vec<&Rule> = self.rules_on(action).collect();
        for resource in resources {
            let name = resource.to_string();
            let mut allowed = false;
            for rule in rules.iter().filter(|rule| rule.resources.iter().any(|it| it.matches(&name))) {
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

    /// Whether the action may be done to anything at all: the first look, before anything is read. Only what is denied on
    /// everything is denied here.
    pub fn check_any(&self, action: Action) -> Result<(), Error> {
        let mut allowed = false;
        for rule in self.rules_on(action) {
            match rule.effect {
                Effect::Deny if rule.resources.iter().any(|it| it.pattern() == "*") => {
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

    /// Whether an action may be done that can give any right to anybody: only by who lacks none, and has no exception. Else
    /// it would be the way around every other rule.
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
