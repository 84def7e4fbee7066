//! Scripts: types, validation, the text that runs, and the hash that identifies a revision.

mod executable;
pub mod parameter;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, FieldPath, limits, string_enum::string_enum};

use executable::check_encoding;
pub use executable::{BYTE_ORDER_MARK, executable, has_mixed_line_ends};
use parameter::{Parameter, check_declarations};

/// Interpreter of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ScriptType {
    /// The PowerShell interpreter.
    Powershell,
    /// The Windows command interpreter.
    Bat,
    /// A POSIX shell, or the interpreter in the script's first line.
    Shell,
}

impl ScriptType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Powershell, Self::Bat, Self::Shell];

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Powershell => "POWERSHELL",
            Self::Bat => "BAT",
            Self::Shell => "SHELL",
        }
    }
}

string_enum!(ScriptType, "type");

/// Fields of a script that each save replaces: all except its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptBody {
    /// Name in lists; need not be unique.
    pub name: String,
    /// Content as its author sent it, 1 to 100,000 characters; [`executable`] is what runs.
    pub content: String,
    /// Description as free text, up to 256 characters.
    pub description: String,
    /// Version as free text from the caller, up to 128 characters.
    pub version: String,
    /// Parameters that the script declares; `None` keeps those of the revision before.
    pub parameters: Option<Vec<Parameter>>,
}

impl ScriptBody {
    /// Validates a client's fields. Fields that an update omits are cleared: a PUT replaces the
    /// whole script.
    pub fn new(
        name: Option<String>,
        content: Option<String>,
        description: Option<String>,
        version: Option<String>,
    ) -> Result<Self, Error> {
        let name = name.ok_or_else(|| Error::required("name", "a script needs a name"))?;
        let content = content.ok_or_else(|| Error::required("content", "a script needs a content"))?;
        if name.trim().is_empty() {
            return Err(Error::required("name", "must not be blank"));
        }
        check_content("content", &content)?;
        let body = Self {
            name,
            content,
            description: description.unwrap_or_default(),
            version: version.unwrap_or_default(),
            parameters: None,
        };
        check_text("name", &body.name, limits::MAX_SCRIPT_NAME_CHARS)?;
        check_text("description", &body.description, limits::MAX_SCRIPT_DESCRIPTION_CHARS)?;
        check_text("version", &body.version, limits::MAX_SCRIPT_VERSION_CHARS)?;
        Ok(body)
    }

    /// Validates and adds declarations of parameters. `script_type` is `None` if the caller does
    /// not know it; values and defaults of an execution are checked for their script anyway.
    pub fn with_parameters(
        self,
        script_type: Option<ScriptType>,
        parameters: Option<Vec<Parameter>>,
    ) -> Result<Self, Error> {
        check_declarations(script_type, parameters.as_deref().unwrap_or_default())?;
        Ok(Self { parameters, ..self })
    }

    /// Returns the hash that identifies the revision.
    pub fn sha256(&self, script_type: ScriptType) -> [u8; 32] {
        sha256(script_type, &self.content)
    }
}

/// Returns the SHA-256 over type and content. A revision is identified by the hash of its content
/// as sent; an order is signed over the hash of its [`executable`] text.
pub fn sha256(script_type: ScriptType, content: &str) -> [u8; 32] {
    Sha256::new().chain_update(script_type.as_str()).chain_update([0]).chain_update(content).finalize().into()
}

/// Validates the content of a script or command: 1 to 100,000 characters of text, which are not all
/// blank. UTF-16 and NUL are refused: neither interpreters nor database texts accept NUL.
///
/// Errors name `field`.
pub fn check_content(field: impl Into<FieldPath>, content: &str) -> Result<(), Error> {
    if content.is_empty() {
        let message = format!("must not be empty: 1 to {} characters", limits::MAX_SCRIPT_CONTENT_CHARS);
        return Err(Error::required(field, message));
    }
    let field = field.into();
    check_encoding(field.clone(), content)?;
    // It would do nothing, and report a success on every desktop.
    if content.chars().all(|c| c.is_whitespace() || c == BYTE_ORDER_MARK) {
        return Err(Error::required(field, "must not consist of blank lines only"));
    }
    check_text(field, content, limits::MAX_SCRIPT_CONTENT_CHARS)
}

fn check_text(field: impl Into<FieldPath>, text: &str, max_chars: usize) -> Result<(), Error> {
    if text.contains('\0') {
        return Err(Error::invalid(field, "must not contain a NUL character"));
    }
    let chars = text.chars().count();
    if chars > max_chars {
        let message = format!("{chars} characters are given: at most {max_chars} are allowed");
        return Err(Error::out_of_range(field, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(content: &str) -> Result<ScriptBody, Error> {
        ScriptBody::new(Some("s".into()), Some(content.into()), None, None)
    }

    #[test]
    fn content_is_counted_in_characters_not_bytes() {
        assert!(body(&"\u{4e2d}".repeat(100_000)).is_ok());
        assert!(body(&"x".repeat(100_001)).is_err());
        assert!(body("").is_err());
        assert!(body("a\0b").is_err());
    }

    #[test]
    fn content_of_blank_lines_is_refused() {
        for blank in [" ", "\n\n", "\r\n\t \r\n", "\u{feff}\n", "\u{3000}\n"] {
            let error = body(blank).unwrap_err();
            assert_eq!(error.reason, crate::Reason::FieldRequired, "{blank:?}");
            assert_eq!(error.field.unwrap().to_string(), "content");
        }
        assert!(body("\n:\n").is_ok());
    }

    #[test]
    fn other_fields_have_bounds() {
        let long = |chars| Some("x".repeat(chars));
        assert!(ScriptBody::new(None, Some("true".into()), None, None).is_err());
        assert!(ScriptBody::new(Some("  ".into()), Some("true".into()), None, None).is_err());
        assert!(ScriptBody::new(Some("s".into()), None, None, None).is_err());
        assert!(ScriptBody::new(long(257), Some("true".into()), None, None).is_err());
        assert!(ScriptBody::new(long(1), Some("true".into()), long(256), long(128)).is_ok());
        assert!(ScriptBody::new(long(1), Some("true".into()), long(257), None).is_err());
        assert!(ScriptBody::new(long(1), Some("true".into()), None, long(129)).is_err());
    }

    #[test]
    fn the_hash_names_type_and_content_only() {
        let one = body("true").unwrap();
        let two = ScriptBody { name: "other".into(), ..one.clone() };
        assert_eq!(one.sha256(ScriptType::Shell), two.sha256(ScriptType::Shell));
        assert_ne!(one.sha256(ScriptType::Shell), one.sha256(ScriptType::Bat));
        assert_ne!(one.sha256(ScriptType::Shell), body("false").unwrap().sha256(ScriptType::Shell));
    }

    #[test]
    fn types_are_spelled_as_the_api_spells_them() {
        assert_eq!("SHELL".parse::<ScriptType>().unwrap(), ScriptType::Shell);
        assert!("shell".parse::<ScriptType>().is_err());
        assert!("PYTHON".parse::<ScriptType>().unwrap_err().to_string().contains("POWERSHELL, BAT, SHELL"));
    }
}
