//! Variables that describe the agent's user to a script. A service has none of them.

use std::{env, ffi::OsString};

use nix::unistd::{User, geteuid};

/// HOME, USER, LOGNAME and SHELL of the effective user, from its passwd entry.
///
/// Without an entry, as under an arbitrary uid in a container, a script inherits the agent's variables, and HOME is `/`
/// if the agent has none. Asks NSS, and so may block.
pub(crate) fn variables() -> Vec<(&'static str, OsString)> {
    let entry = User::from_uid(geteuid()).unwrap_or_else(|error| {
        tracing::warn!(%error, "the passwd entry of the agent's user cannot be read");
        None
    });
    from_entry(entry, env::var_os("HOME"))
}

fn from_entry(entry: Option<User>, inherited_home: Option<OsString>) -> Vec<(&'static str, OsString)> {
    let Some(user) = entry else {
        return if inherited_home.is_none() { vec![("HOME", "/".into())] } else { Vec::new() };
    };
    let or = |value: OsString, default: &str| if value.is_empty() { default.into() } else { value };
    vec![
        ("HOME", or(user.dir.into(), "/")),
        ("USER", user.name.clone().into()),
        ("LOGNAME", user.name.into()),
        // An empty field means this shell: passwd(5).
        ("SHELL", or(user.shell.into(), "/bin/sh")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_without_an_entry_keeps_its_variables_or_gets_a_home() {
        assert_eq!(from_entry(None, None), [("HOME", OsString::from("/"))]);
        assert_eq!(from_entry(None, Some("/data".into())), []);
    }

    #[test]
    fn entry_gives_all_variables() {
        let user = |home: &str, shell: &str| User {
            name: "ada".into(),
            passwd: c"x".into(),
            uid: 7.into(),
            gid: 7.into(),
            gecos: c"".into(),
            dir: home.into(),
            shell: shell.into(),
        };
        let text = |user| {
            let variables = from_entry(Some(user), Some("/inherited".into()));
            let line = |(name, value): (&str, OsString)| format!("{name}={}", value.to_str().unwrap());
            variables.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            text(user("/home/ada", "/bin/bash")),
            ["HOME=/home/ada", "USER=ada", "LOGNAME=ada", "SHELL=/bin/bash"]
        );
        assert_eq!(text(user("", "")), ["HOME=/", "USER=ada", "LOGNAME=ada", "SHELL=/bin/sh"]);
    }
}
