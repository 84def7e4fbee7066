//! Finds the installed server binaries, and an ordinary user to run them.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use crate::Error;

/// Directories in which distributions install the server, each with the version as one path
/// component.
const PATTERNS: [(&str, &str); 3] =
    [("/usr/lib/postgresql", "bin"), ("/opt/homebrew/opt", "bin"), ("/usr", "bin")];

/// Directory that contains initdb, pg_ctl and postgres: the newest installed version, otherwise one
/// in PATH.
pub fn find_binaries() -> Result<PathBuf, Error> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, bin) in PATTERNS {
        let Ok(entries) = fs::read_dir(root) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version =
                name.strip_prefix("pgsql-").or_else(|| name.strip_prefix("postgresql@")).unwrap_or(&name);
            if let Ok(version) = version.parse::<u32>() {
                found.push((version, entry.path().join(bin)));
            }
        }
    }
    found.sort();
    let on_path =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
    found
        .into_iter()
        .rev()
        .map(|(_, directory)| directory)
        .chain(on_path)
        .find(|directory| is_complete(directory))
        .ok_or(Error::NotInstalled)
}

fn is_complete(directory: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"].iter().all(|program| directory.join(program).is_file())
}

/// User of this machine, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// User to run the server as; `None` if the caller is not root and runs the server itself.
pub fn ordinary_user() -> Result<Option<User>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("/etc/passwd"))?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| user_in(&passwd, name))
        .map(Some)
        .ok_or(Error::NoOrdinaryUser)
}

fn user_in(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_user_by_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:103:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(user_in(passwd, "postgres"), Some(User { uid: 101, gid: 103 }));
        assert_eq!(user_in(passwd, "postgre"), None);
    }
}
