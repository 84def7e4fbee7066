//! Environment of scripts: built from the account and the order, never inherited.
//!
//! The agent's own environment may hold secrets, and differs between a service and a terminal.

use std::{env, path::Path};

use super::account::Account;

/// PATH of scripts: the directories of the Filesystem Hierarchy Standard.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Locale if the agent has none: UTF-8 without a language.
const DEFAULT_LANG: &str = "C.UTF-8";

/// All variables of a script but the mark of its execution, which the runner adds.
pub(crate) fn environment(account: &Account, order: Vec<(String, String)>) -> Vec<(String, String)> {
    let lang = env::var("LANG").ok().filter(|lang| !lang.is_empty());
    let mut variables = vec![
        ("HOME", account.home.clone()),
        ("LANG", lang.unwrap_or_else(|| DEFAULT_LANG.to_owned())),
        ("LOGNAME", account.name.clone()),
        ("PATH", PATH.to_owned()),
        ("SHELL", account.shell.clone()),
        ("USER", account.name.clone()),
    ];
    variables.extend(
        iana_time_zone::get_timezone().ok().filter(|zone| is_installed(zone)).map(|zone| ("TZ", zone)),
    );
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(order).collect()
}

/// Whether the C library finds the time zone. With an unknown one it would use UTC.
fn is_installed(zone: &str) -> bool {
    Path::new("/usr/share/zoneinfo").join(zone).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_agent_are_not_inherited() {
        let account =
            Account { name: "ada".into(), home: "/home/ada".into(), shell: "/bin/sh".into(), user: None };
        let variables = environment(&account, vec![("GRAYWAVE_TASK_ID".to_owned(), "t".to_owned())]);
        let mut names: Vec<_> =
            variables.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "TZ").collect();
        names.sort_unstable();
        assert_eq!(names, ["GRAYWAVE_TASK_ID", "HOME", "LANG", "LOGNAME", "PATH", "SHELL", "USER"]);
        assert!(variables.iter().all(|(_, value)| !value.is_empty()));
    }
}
