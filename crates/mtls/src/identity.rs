//! Identities, which are URIs in certificates.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Characters to percent-encode: all except RFC 3986's unreserved characters.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const SCHEME: &str = "graywave://";
/// Maximum length of a project or desktop id, as in the domain rules.
const MAX_ID_CHARS: usize = 128;
/// Maximum length of a role's name; a worker's id contains it.
const MAX_NAME_BYTES: usize = 64;
/// Number of hex digits of the UUID that identifies a run of a worker.
const RUN_DIGITS: usize = 32;

/// Role of a control plane process, or of an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens waves and leases batches to workers.
    Scheduler,
    /// Holds agents' connections.
    Worker,
    /// Serves the REST API.
    Api,
    /// Tools of an administrator.
    Admin,
    /// Signs orders for agents. It opens no connection: schedulers hold its key.
    Signer,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Scheduler, Self::Worker, Self::Api, Self::Admin, Self::Signer];

    /// Name of the role in identities.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
            Self::Api => "api",
            Self::Admin => "admin",
            Self::Signer => "signer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            NotAnIdentity("unknown role; expected scheduler, worker, api, admin or signer".into())
        })
    }
}

/// Identity of a peer: `graywave://role/<role>/<name>`,
/// `graywave://principal/<project_id>/<principal>` or
/// `graywave://desktop/<project_id>/<desktop_id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// Control plane process or administrator.
    Role {
        /// Role of the process.
        role: Role,
        /// Name of the process.
        name: String,
    },
    /// Principal of a project, with the permissions of its policies.
    Principal {
        /// Project of the principal.
        project_id: String,
        /// Name of the principal.
        principal: String,
    },
    /// Agent of a desktop.
    Desktop {
        /// Project of the desktop.
        project_id: String,
        /// Id of the desktop.
        desktop_id: String,
    },
}

/// Cause for which a text or a certificate has no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAnIdentity(pub(crate) String);

impl Identity {
    /// Creates the identity of a role. Its name consists of letters, digits, `.`, `_` and `-`.
    ///
    /// # Errors
    ///
    /// When the name is empty, too long or has other characters.
    pub fn role(role: Role, name: &str) -> Result<Self, NotAnIdentity> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(is_plain) {
            let rule =
                format!("a name has 1 to {MAX_NAME_BYTES} letters, digits, dots, hyphens or underscores");
            return Err(NotAnIdentity(rule));
        }
        Ok(Self::Role { role, name: name.to_owned() })
    }

    /// Creates the identity of a principal.
    ///
    /// # Errors
    ///
    /// When an id is empty, too long or contains control characters.
    pub fn principal(project_id: &str, principal: &str) -> Result<Self, NotAnIdentity> {
        check_ids([project_id, principal])?;
        Ok(Self::Principal { project_id: project_id.to_owned(), principal: principal.to_owned() })
    }

    /// Creates the identity of a desktop.
    ///
    /// # Errors
    ///
    /// When an id is empty, too long or contains control characters.
    pub fn desktop(project_id: &str, desktop_id: &str) -> Result<Self, NotAnIdentity> {
        check_ids([project_id, desktop_id])?;
        Ok(Self::Desktop { project_id: project_id.to_owned(), desktop_id: desktop_id.to_owned() })
    }

    /// Whether this is an identity of the role.
    pub fn has_role(&self, wanted: Role) -> bool {
        matches!(self, Self::Role { role, .. } if *role == wanted)
    }

    /// Whether this is a principal of a project.
    pub fn is_principal(&self) -> bool {
        matches!(self, Self::Principal { .. })
    }

    /// Whether this is a desktop.
    pub fn is_desktop(&self) -> bool {
        matches!(self, Self::Desktop { .. })
    }

    /// Worker id of a run of this worker; `None` for other identities. `run` is a UUID in 32 hex
    /// digits.
    pub fn worker_id(&self, run: &str) -> Option<String> {
        match self {
            Self::Role { role: Role::Worker, name } => Some(format!("worker-{name}-{run}")),
            _ => None,
        }
    }

    /// Whether this is the worker id of one of this worker's runs.
    pub fn owns_worker_id(&self, worker_id: &str) -> bool {
        worker_id.len() >= RUN_DIGITS
            && worker_id.get(worker_id.len() - RUN_DIGITS..).is_some_and(|run| {
                run.bytes().all(|byte| byte.is_ascii_hexdigit())
                    && self.worker_id(run).as_deref() == Some(worker_id)
            })
    }
}

fn check_ids(ids: [&str; 2]) -> Result<(), NotAnIdentity> {
    let is_good =
        |id: &str| !id.is_empty() && id.chars().count() <= MAX_ID_CHARS && !id.chars().any(char::is_control);
    if ids.into_iter().all(is_good) {
        return Ok(());
    }
    Err(NotAnIdentity(format!("an id has 1 to {MAX_ID_CHARS} characters and no control characters")))
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = |id| utf8_percent_encode(id, ENCODED);
        match self {
            Self::Role { role, name } => write!(f, "{SCHEME}role/{role}/{name}"),
            Self::Principal { project_id, principal } => {
                write!(f, "{SCHEME}principal/{}/{}", encoded(project_id), encoded(principal))
            }
            Self::Desktop { project_id, desktop_id } => {
                write!(f, "{SCHEME}desktop/{}/{}", encoded(project_id), encoded(desktop_id))
            }
        }
    }
}

impl FromStr for Identity {
    type Err = NotAnIdentity;

    /// Accepts only the canonical spelling, so that each identity has exactly one URI.
    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let shape = || {
            NotAnIdentity(
                "unknown identity; expected graywave://role/ROLE/NAME, graywave://principal/PROJECT/NAME or \
                 graywave://desktop/PROJECT/DESKTOP"
                    .into(),
            )
        };
        let path = text.strip_prefix(SCHEME).ok_or_else(shape)?;
        let parts: Vec<&str> = path.splitn(4, '/').collect();
        let identity = match parts.as_slice() {
            ["role", role, name] => Self::role(role.parse()?, name)?,
            ["principal", project_id, principal] => {
                Self::principal(&decoded(project_id)?, &decoded(principal)?)?
            }
            ["desktop", project_id, desktop_id] => {
                Self::desktop(&decoded(project_id)?, &decoded(desktop_id)?)?
            }
            _ => return Err(shape()),
        };
        if identity.to_string() != text {
            return Err(NotAnIdentity("its ids are not in canonical percent-encoding".into()));
        }
        Ok(identity)
    }
}

fn decoded(part: &str) -> Result<String, NotAnIdentity> {
    let decoded = percent_decode_str(part).decode_utf8();
    decoded.map(Into::into).map_err(|_| NotAnIdentity("an id is not UTF-8".into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_three_kinds_are_read() {
        let ann = Identity::principal("my project", "ann@acme").unwrap();
        assert_eq!(ann.to_string(), "graywave://principal/my%20project/ann%40acme");
        assert_eq!(ann.to_string().parse(), Ok(ann.clone()));
        assert!(ann.is_principal() && !ann.is_desktop() && !ann.has_role(Role::Admin));
        let worker = Identity::role(Role::Worker, "w-1.eu").unwrap();
        assert_eq!(worker.to_string(), "graywave://role/worker/w-1.eu");
        assert_eq!("graywave://role/worker/w-1.eu".parse(), Ok(worker));
        let desktop = Identity::desktop("my project", "büro/1").unwrap();
        assert_eq!(desktop.to_string(), "graywave://desktop/my%20project/b%C3%BCro%2F1");
        assert_eq!(desktop.to_string().parse(), Ok(desktop));
    }

    #[test]
    fn what_names_nobody_is_refused() {
        for wrong in [
            "",
            "graywave://",
            "https://role/worker/a",
            "GRAYWAVE://role/worker/a",
            "graywave://role/king/a",
            "graywave://role/worker/",
            "graywave://role/worker/a/b",
            "graywave://role/worker/a b",
            "graywave://principal/p",
            "graywave://principal/p/",
            "graywave://principal/p/a/b",
            "graywave://desktop/p",
            "graywave://desktop/p/d/",
            "graywave://desktop//d",
            "graywave://desktop/p/%00",
            "graywave://desktop/p/%ff",
            "graywave://desktop/%70/d",
            "graywave://desktop/p/%c3%bc",
            "graywave://desktop/p/ü",
        ] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
        assert!(Identity::role(Role::Api, &"x".repeat(65)).is_err());
        assert!(Identity::desktop("p", &"x".repeat(129)).is_err());
    }

    #[test]
    fn a_worker_owns_the_ids_with_its_name_only() {
        let run = "0198f0000000700080000000000000ab";
        let named = |name| Identity::role(Role::Worker, name).unwrap();
        let id = named("a").worker_id(run).unwrap();
        assert_eq!(id, format!("worker-a-{run}"));
        assert!(named("a").owns_worker_id(&id));
        assert!(!named("a-b").owns_worker_id(&id));
        assert!(!named("a").owns_worker_id(&named("a-b").worker_id(run).unwrap()));
        assert!(!named("a").owns_worker_id("worker-a-b"));
        assert!(!named("a").owns_worker_id(&format!("worker-a-{}", "ü".repeat(16))));
        assert_eq!(Identity::role(Role::Scheduler, "a").unwrap().worker_id(run), None);
        assert!(!Identity::desktop("p", "d").unwrap().owns_worker_id(&id));
    }

    proptest! {
        #[test]
        fn a_desktop_is_read_as_it_was_written(project in "[^\\p{Cc}]{1,20}", desktop in "[^\\p{Cc}]{1,20}") {
            let identity = Identity::desktop(&project, &desktop).unwrap();
            prop_assert!(identity.to_string().is_ascii());
            prop_assert_eq!(identity.to_string().parse(), Ok(identity));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "graywave://(role|principal|desktop)/[a-z%0-9/]{0,12}/.{0,12}") {
            if let Ok(identity) = text.parse::<Identity>() {
                prop_assert_eq!(identity.to_string(), text);
            }
        }

        #[test]
        fn no_worker_owns_anothers_id(a in "[a-z0-9-]{1,8}", b in "[a-z0-9-]{1,8}", run in "[0-9a-f]{32}") {
            let id = Identity::role(Role::Worker, &a).unwrap().worker_id(&run).unwrap();
            prop_assert_eq!(Identity::role(Role::Worker, &b).unwrap().owns_worker_id(&id), a == b);
        }
    }
}
