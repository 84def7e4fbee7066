//! Actions of calls and the resources that they name.

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// The action of a call, as policies name it. Names with the prefix `workspace:` come from
        /// the published API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the name in policies and in the audit.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// Saves a new script.
    CreateScript = "workspace:scripts:create",
    /// Lists scripts.
    ListScripts = "workspace:scripts:list",
    /// Reads a script with its content.
    GetScript = "workspace:scripts:get",
    /// Saves a new revision of a script.
    PutScript = "workspace:scripts:put",
    /// Deletes a script.
    DeleteScript = "workspace:scripts:delete",
    /// Runs scripts or a command on desktops.
    Execute = "workspace:scripts:execute",
    /// Runs scripts or a command as a user that the request names. Its name is outside of
    /// `graywave:tasks:*`: that user may have more rights than the agent's configured one.
    RunAs = "graywave:users:runAs",
    /// Selects the desktops of a task by a tag.
    ExecuteByDesktopTag = "workspace:scripts:executeByDesktopTag",
    /// Retries targets that did not succeed.
    Retry = "workspace:scripts:retry",
    /// Stops a task or one record.
    Stop = "workspace:scripts:stop",
    /// Lists tasks.
    ListTasks = "workspace:scripts:listTasks",
    /// Lists records.
    ListRecords = "workspace:scripts:listRecords",
    /// Reads a record with its output.
    GetRecordDetail = "workspace:scripts:getRecordDetail",
    /// Selects the desktops of a task by a pool.
    ExecuteOnPool = "workspace:desktopPools:executeScripts",
    /// Lists the tasks of pools.
    ListPoolTasks = "workspace:desktopPools:listScriptTasks",
    /// Lists desktops.
    ListDesktops = "workspace:desktops:list",
    /// Lists desktops with all their attributes.
    ListDesktopsDetail = "workspace:desktops:listDetail",
    /// Reads a task with its waves and targets.
    GetTask = "graywave:tasks:get",
    /// Changes the maximum number of targets in flight of a task.
    SetConcurrency = "graywave:tasks:setConcurrency",
    /// Pauses a task.
    Pause = "graywave:tasks:pause",
    /// Resumes a paused task.
    Resume = "graywave:tasks:resume",
    /// Approves a wave.
    Approve = "graywave:tasks:approve",
    /// Freezes the project: none of its tasks admits targets.
    Freeze = "graywave:project:freeze",
    /// Unfreezes the project.
    Unfreeze = "graywave:project:unfreeze",
    /// Reads the project's freeze and limits.
    GetProject = "graywave:project:get",
    /// Sets the project's limits.
    PutLimits = "graywave:project:putLimits",
    /// Lists workers.
    ListWorkers = "graywave:workers:list",
    /// Requests that a worker drains. Workers serve every project.
    DrainWorker = "graywave:workers:drain",
    /// Returns a drained worker to service.
    UndrainWorker = "graywave:workers:undrain",
    /// Reads the audit.
    ListAudit = "graywave:audit:list",
    /// Lists principals with their policies.
    ListPrincipals = "graywave:principals:list",
    /// Creates a principal, or replaces its policies.
    PutPrincipal = "graywave:principals:put",
    /// Lists policies with their documents.
    ListPolicies = "graywave:policies:list",
    /// Stores a policy.
    PutPolicy = "graywave:policies:put",
    /// Deletes a policy.
    DeletePolicy = "graywave:policies:delete",
    /// Lists tokens without their secrets.
    ListTokens = "graywave:tokens:list",
    /// Creates a token.
    CreateToken = "graywave:tokens:create",
    /// Revokes a token.
    DeleteToken = "graywave:tokens:delete",
    /// Lists access keys without their secrets.
    ListKeys = "graywave:keys:list",
    /// Creates an access key.
    CreateKey = "graywave:keys:create",
    /// Revokes an access key.
    DeleteKey = "graywave:keys:delete",
    /// Lists enrolment tokens without their secrets.
    ListEnrolmentTokens = "graywave:enrolmentTokens:list",
    /// Creates an enrolment token, with which machines can become desktops.
    CreateEnrolmentToken = "graywave:enrolmentTokens:create",
    /// Revokes an enrolment token.
    DeleteEnrolmentToken = "graywave:enrolmentTokens:delete",
    /// Revokes the certificates of a desktop.
    RevokeDesktop = "graywave:desktops:revoke",
    /// Sets and removes operator tags of a desktop.
    TagDesktop = "graywave:desktops:tag",
    /// Retires a desktop.
    RetireDesktop = "graywave:desktops:retire",
    /// Returns a retired desktop to service.
    UnretireDesktop = "graywave:desktops:unretire",
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The resource of an action, as policies name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A script: `script:ID`.
    Script(&'a str),
    /// A command line from the caller: `command`.
    Command,
    /// A desktop: `desktop:ID`.
    Desktop(&'a str),
    /// A desktop pool: `desktopPool:ID`.
    Pool(&'a str),
    /// A task: `task:ID`.
    Task(&'a str),
    /// A user of the desktops that runs scripts: `user:NAME`.
    User(&'a str),
    /// The project as a whole, for example its audit.
    Everything,
}

/// Stands for all resources of a kind in place of an id. Only patterns that cover all of them
/// match, such as `script:*` or `*`.
pub const ALL: &str = "*";

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Script(id) => write!(f, "script:{id}"),
            Self::Command => f.write_str("command"),
            Self::Desktop(id) => write!(f, "desktop:{id}"),
            Self::Pool(id) => write!(f, "desktopPool:{id}"),
            Self::Task(id) => write!(f, "task:{id}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Everything => f.write_str("*"),
        }
    }
}
