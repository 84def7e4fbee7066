//! Warnings: facts about a valid request that its author probably did not mean.

use crate::{
    script::{ScriptType, has_mixed_line_ends},
    string_enum::string_enum,
};

/// Identifier of a kind of warning, on which programs branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningCode {
    /// Some lines of a SHELL script end with CRLF, and others with LF.
    MixedLineEnds,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 1] = [Self::MixedLineEnds];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MixedLineEnds => "MIXED_LINE_ENDS",
        }
    }
}

string_enum!(WarningCode, "code");

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Kind of the warning.
    pub code: WarningCode,
    /// Fact and fix, for people.
    pub message: String,
    /// Wave that the warning is about; `None` for the whole task.
    pub wave: Option<u16>,
}

/// Returns the warnings about the scripts of a task, in order. Each script has its type, its name
/// and its content; the name of a command is empty.
pub fn of_scripts<'a>(scripts: impl IntoIterator<Item = (ScriptType, &'a str, &'a str)>) -> Vec<Warning> {
    let mixed =
        scripts.into_iter().filter(|(script_type, _, content)| has_mixed_line_ends(*script_type, content));
    mixed
        .map(|(_, name, _)| {
            let script = if name.is_empty() { "the command".to_owned() } else { format!("script {name:?}") };
            let message = format!(
                "{script} has lines that end with CRLF and others with LF. A shell reads the carriage \
                 return as text: use one kind of line end"
            );
            Warning { code: WarningCode::MixedLineEnds, message, wave: None }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_line_ends_are_warned_of_with_the_script() {
        let scripts = [
            (ScriptType::Shell, "good", "a\nb\n"),
            (ScriptType::Shell, "bad", "a\r\nb\n"),
            (ScriptType::Bat, "windows", "a\r\nb\n"),
            (ScriptType::Shell, "", "a\nb\r\n"),
        ];
        let found = of_scripts(scripts);
        assert!(found.iter().all(|it| it.code == WarningCode::MixedLineEnds && it.wave.is_none()));
        let starts = ["script \"bad\" has lines", "the command has lines"];
        assert_eq!(found.len(), 2);
        assert!(found.iter().zip(starts).all(|(it, start)| it.message.starts_with(start)), "{found:?}");
        assert_eq!(of_scripts([]), []);
    }

    #[test]
    fn codes_are_their_words() {
        for code in WarningCode::ALL {
            assert_eq!(code.as_str().parse::<WarningCode>().unwrap(), code);
        }
    }
}
