//! Fills values into the install scripts. A value can never become code of the script.

/// Language of a script, which decides how a value is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Shell,
    PowerShell,
}

impl Language {
    /// Quotes a value as a literal string.
    pub(super) fn quote(self, value: &str) -> String {
        let mut quoted = String::with_capacity(value.len() + 2);
        quoted.push('\'');
        for char in value.chars() {
            match self {
                Self::Shell if char == '\'' => quoted.push_str("'\\''"),
                Self::PowerShell if is_powershell_quote(char) => quoted.extend([char, char]),
                _ => quoted.push(char),
            }
        }
        quoted.push('\'');
        quoted
    }
}

/// Whether PowerShell reads the character as a single quote. Typographic ones end a literal too.
const fn is_powershell_quote(char: char) -> bool {
    matches!(char, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}')
}

/// Replaces each `@NAME@` of a template by its quoted value, in one pass: a value that looks like a
/// name stays as it is.
pub(super) fn fill(template: &str, language: Language, values: &[(&str, &str)]) -> String {
    let mut script = String::with_capacity(template.len() + 1024);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        script.push_str(before);
        let value = after.split_once('@').and_then(|(name, behind)| {
            let (_, value) = values.iter().find(|(of, _)| *of == name)?;
            Some((value, behind))
        });
        match value {
            Some((value, behind)) => {
                script.push_str(&language.quote(value));
                rest = behind;
            }
            None => {
                script.push('@');
                rest = after;
            }
        }
    }
    script.push_str(rest);
    script
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const HOSTILE: [&str; 8] = [
        "'; touch pwned; '",
        "$(touch pwned)",
        "`touch pwned`",
        "a\\'; touch pwned #",
        "two\nlines\ntouch pwned\n.",
        "\"; touch pwned; \"",
        "@B@ @A@ $HOME ${HOME} \\",
        "\u{2019}; touch pwned; \u{2018}",
    ];

    #[test]
    fn hostile_value_stays_text_for_a_shell() {
        for value in HOSTILE {
            let script =
                fill("A=@A@\nB=@B@\nprintf %s \"$A\"\n", Language::Shell, &[("A", value), ("B", "b")]);
            let directory = tempfile::tempdir().unwrap();
            let ran =
                Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stdout), value, "{script}");
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "{script}");
        }
    }

    #[test]
    fn every_quote_of_powershell_is_doubled() {
        assert_eq!(Language::PowerShell.quote("a'b"), "'a''b'");
        assert_eq!(Language::PowerShell.quote("\u{2019}; x"), "'\u{2019}\u{2019}; x'");
        assert_eq!(Language::PowerShell.quote("$(x) `x"), "'$(x) `x'");
    }

    #[test]
    fn unknown_names_and_lone_signs_stay() {
        let filled = fill("\"$@\" @X@ a@b @A@", Language::Shell, &[("A", "@A@")]);
        assert_eq!(filled, "\"$@\" @X@ a@b '@A@'");
    }
}
