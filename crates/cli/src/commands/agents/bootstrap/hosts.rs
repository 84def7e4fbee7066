//! Hosts of a bootstrap. A host can become neither an option of ssh nor code of its configuration.

use std::{collections::HashSet, fmt};

use domain::limits::MAX_ENROLMENT_TOKEN_USES;

use crate::Error;

/// Maximum size of a file of hosts, in bytes.
pub(super) const MAX_FILE_BYTES: usize = 4 << 20;
/// Maximum length of a host with user and port, in bytes.
const MAX_HOST_BYTES: usize = 320;

/// A destination of ssh, checked by [`host`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Host(String);

impl Host {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a host. A leading hyphen would be an option of ssh, also in the name of a user. Other
/// characters than these could be code in a `ProxyCommand` or `Match exec` of the configuration.
pub(super) fn host(text: &str) -> Result<Host, String> {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':' | b'[' | b']');
    let bare = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, name) = bare.rsplit_once('@').map_or((None, bare), |(user, name)| (Some(user), name));
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('-') && part.bytes().all(is_plain);
    if text.len() > MAX_HOST_BYTES {
        return Err(format!("has {} bytes; a host has at most {MAX_HOST_BYTES}", text.len()));
    }
    if !is_part(name) || !user.is_none_or(is_part) {
        return Err(
            "expected a host, like pc-1, ada@pc-1 or ssh://ada@pc-1:22: letters, digits and . _ - : [ ], no \
                    leading hyphen"
                .to_owned(),
        );
    }
    Ok(Host(text.to_owned()))
}

/// Parses a file with one host per line.
pub(super) fn parse(text: &str) -> Result<Vec<Host>, Error> {
    let lines = text.lines().enumerate().map(|(number, line)| (number + 1, line.trim()));
    let filled = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    filled
        .map(|(number, line)| {
            host(line)
                .map_err(|rule| Error::misused(format!("--hosts-file: line {number}: {line:?}: {rule}")))
        })
        .collect()
}

/// Removes hosts that were named before. Fails without hosts, and above the uses of a token.
pub(super) fn distinct(hosts: Vec<Host>) -> Result<Vec<Host>, Error> {
    let mut seen = HashSet::new();
    let hosts: Vec<_> = hosts.into_iter().filter(|host| seen.insert(host.clone())).collect();
    let most = usize::try_from(MAX_ENROLMENT_TOKEN_USES).unwrap_or(usize::MAX);
    match hosts.len() {
        0 => Err(Error::misused("--hosts-file has no host; write one host per line")),
        number if number > most => {
            Err(Error::misused(format!("{number} hosts; at most {most} are possible in one bootstrap")))
        }
        _ => Ok(hosts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_that_ssh_could_misread_is_refused() {
        for text in [
            "",
            "-oProxyCommand=touch pwned",
            "-V",
            "a@-b",
            "-a@b",
            "ssh://-oProxyCommand=x",
            "ssh://a@-x",
            "a b",
            "a;x",
            "$(x)",
            "`x`",
            "a@b@c'",
            "a\nb",
            "a/b",
            "a@",
            "@a",
            "a%h",
        ] {
            assert!(host(text).is_err(), "{text:?}");
        }
        assert!(host(&"a".repeat(MAX_HOST_BYTES + 1)).is_err());
        for text in
            ["pc-1", "ada@pc-1.corp.example", "ssh://ada@pc-1:2222", "10.0.0.7", "[fe80::1]", "ada@fe80::1"]
        {
            assert_eq!(host(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn file_has_one_host_per_line_and_comments() {
        let hosts = distinct(parse("# all\npc-1\n\n  pc-2 \r\npc-1\n").unwrap()).unwrap();
        assert_eq!(hosts.iter().map(Host::as_str).collect::<Vec<_>>(), ["pc-1", "pc-2"]);
        let refused = parse("pc-1\n-oX=y\n").unwrap_err().to_string();
        assert!(refused.starts_with("--hosts-file: line 2: \"-oX=y\": expected a host"), "{refused}");
        assert!(distinct(parse("# none\n").unwrap()).is_err());
    }
}
