//! The ordinary user that runs the server for a root caller.

use std::fs;

use crate::Error;

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
