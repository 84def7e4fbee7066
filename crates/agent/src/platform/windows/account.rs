//! Accounts of scripts: the agent's own, or a user that is logged on.

use std::env;

use runner::{SessionUser, User};
use win32::account::{Session, Token, sessions};

/// Name of the agent's own account, which is the system for a service.
const SYSTEM: &str = "system";
/// Name of any user that is logged on.
const LOGGED_ON: &str = "session";

/// Variables without which most programs do not start, for a machine that gives no environment.
const NECESSARY: [&str; 7] = ["ComSpec", "PATH", "PATHEXT", "SystemDrive", "SystemRoot", "TEMP", "windir"];

/// Account that a script runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// Variables of a new session of the user.
    environment: Vec<(String, String)>,
    /// User to switch to; `None` for the agent's own.
    pub(crate) user: Option<User>,
}

/// Looks up nothing early: tokens need no server.
pub(crate) fn look_up() {}

/// Account of the agent, or of the named user that is logged on. `system` is the agent's own, and
/// `session` the only user with an active session.
///
/// # Errors
///
/// The reason why scripts cannot run as the named user.
pub(crate) fn account(name: Option<&str>) -> Result<Account, String> {
    let Some(name) = name.filter(|name| !name.eq_ignore_ascii_case(SYSTEM)) else { return Ok(own()) };
    let failed = |error| format!("cannot run as user {name:?}: {error}");
    let sessions = sessions().map_err(failed)?;
    let session = choose(&sessions, name)?;
    let token = Token::of_session(session.id).map_err(failed)?;
    let sid = token.sid().map_err(failed)?;
    let environment = token.environment().map_err(failed)?;
    Ok(Account { environment, user: Some(User::Session(SessionUser { session_id: session.id, sid })) })
}

fn own() -> Account {
    let environment = Token::own().and_then(|token| token.environment()).unwrap_or_else(|error| {
        tracing::warn!(%error, "reading the environment of the agent's user failed");
        let variable = |name: &str| Some((name.to_owned(), env::var(name).ok()?));
        NECESSARY.into_iter().filter_map(variable).collect()
    });
    Account { environment, user: None }
}

/// Session of a user. An active session is preferred to a disconnected one.
fn choose<'a>(sessions: &'a [Session], name: &str) -> Result<&'a Session, String> {
    if name.eq_ignore_ascii_case(LOGGED_ON) {
        let active: Vec<&Session> = sessions.iter().filter(|session| session.is_active).collect();
        return match active.as_slice() {
            [] => Err("cannot run as the logged-on user: no user has an active session".to_owned()),
            [session] => Ok(session),
            several => {
                let users: Vec<&str> = several.iter().map(|session| session.user.as_str()).collect();
                let users = users.join(", ");
                Err(format!(
                    "cannot run as the logged-on user: {} sessions are active ({users}); name one user",
                    several.len()
                ))
            }
        };
    }
    let is_named = |session: &&Session| {
        let user = session.user.as_str();
        let short = user.rsplit('\\').next().unwrap_or(user);
        user.eq_ignore_ascii_case(name) || short.eq_ignore_ascii_case(name)
    };
    let mut found: Vec<&Session> = sessions.iter().filter(is_named).collect();
    found.sort_by_key(|session| !session.is_active);
    let session = found.first().ok_or_else(|| format!("cannot run as user {name:?}: not logged on"))?;
    match found.iter().find(|other| !other.user.eq_ignore_ascii_case(&session.user)) {
        Some(other) => {
            let (one, other) = (&session.user, &other.user);
            Err(format!("cannot run as user {name:?}: {one} and {other} are logged on; name the domain"))
        }
        None => Ok(session),
    }
}

/// All variables of a script but the mark of its execution, which the runner adds. None of them is
/// inherited from the agent.
pub(crate) fn environment(account: &Account, order: Vec<(String, String)>) -> Vec<(String, String)> {
    account.environment.iter().cloned().chain(order).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u32, user: &str, is_active: bool) -> Session {
        Session { id, user: user.to_owned(), is_active }
    }

    #[test]
    fn only_active_session_is_the_logged_on_user() {
        let sessions = [session(1, "CORP\\ada", false), session(2, "CORP\\bob", true)];
        assert_eq!(choose(&sessions, "Session").unwrap().id, 2);
        let reason = choose(&sessions[..1], "session").unwrap_err();
        assert_eq!(reason, "cannot run as the logged-on user: no user has an active session");
        let several = [session(1, "CORP\\ada", true), session(2, "CORP\\bob", true)];
        assert_eq!(
            choose(&several, "session").unwrap_err(),
            "cannot run as the logged-on user: 2 sessions are active (CORP\\ada, CORP\\bob); name one user"
        );
    }

    #[test]
    fn named_user_has_the_active_session_of_that_user() {
        let sessions =
            [session(1, "CORP\\ada", false), session(3, "CORP\\ada", true), session(4, "PC\\bob", true)];
        assert_eq!(choose(&sessions, "ADA").unwrap().id, 3);
        assert_eq!(choose(&sessions, "corp\\ada").unwrap().id, 3);
        assert_eq!(choose(&sessions, "eve").unwrap_err(), "cannot run as user \"eve\": not logged on");
        let namesakes = [session(1, "CORP\\ada", true), session(2, "PC\\ada", false)];
        assert_eq!(choose(&namesakes, "pc\\ada").unwrap().id, 2);
        assert_eq!(
            choose(&namesakes, "ada").unwrap_err(),
            "cannot run as user \"ada\": CORP\\ada and PC\\ada are logged on; name the domain"
        );
    }

    #[test]
    fn variables_of_the_agent_are_not_inherited() {
        let variables = environment(&own(), vec![("GRAYWAVE_TASK_ID".to_owned(), "t".to_owned())]);
        let has = |wanted: &str| variables.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        assert!(has("SystemRoot") && has("PATH") && has("GRAYWAVE_TASK_ID"), "{variables:?}");
        // Cargo sets it for this test.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some() && !has("CARGO_MANIFEST_DIR"));
    }
}
