//! Parameters of scripts: declarations, and the values of an execution.
//!
//! A script gets its values as environment variables, and never as a part of its text: no value can
//! become a command. The prefix of the variables keeps them apart from `PATH`, `LD_PRELOAD` and
//! everything else that programs obey.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::ScriptType;
use crate::{
    Error, FieldPath, Reason,
    error::{Segment, shorten},
    limits::{
        MAX_ALLOWED_VALUES, MAX_PARAMETER_DESCRIPTION_CHARS, MAX_PARAMETER_NAME_CHARS,
        MAX_PARAMETER_VALUE_BYTES, MAX_PARAMETER_VALUES_BYTES, MAX_PARAMETERS, MAX_TASK_PARAMETERS_BYTES,
    },
    string_enum::string_enum,
};

#[cfg(test)]
#[path = "parameter_tests.rs"]
mod tests;

/// Prefix of the environment variable of a parameter.
pub const VARIABLE_PREFIX: &str = "GRAYWAVE_PARAM_";
/// Field of the values in an execution.
const PARAMETERS: &str = "parameters";
/// Characters that the Windows command interpreter obeys after it has replaced `%NAME%` by a value.
const BAT_SYNTAX: [char; 12] = ['"', '%', '&', '|', '<', '>', '^', '!', '(', ')', '\r', '\n'];

/// Values of parameters by their declared names.
pub type ParameterValues = BTreeMap<String, String>;

/// Type of a parameter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ParameterType {
    /// Any text.
    #[default]
    String,
    /// A decimal number of 64 bits with a sign.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of the allowed values.
    Choice,
}

impl ParameterType {
    /// Every type.
    pub const ALL: [Self; 4] = [Self::String, Self::Integer, Self::Boolean, Self::Choice];

    /// Returns the word in SQL, proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "STRING",
            Self::Integer => "INTEGER",
            Self::Boolean => "BOOLEAN",
            Self::Choice => "CHOICE",
        }
    }
}

string_enum!(ParameterType, "parameter type");

/// Parameter that a script declares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name: a letter, then letters, digits and underscores. Unique without regard to case.
    pub name: String,
    /// Type of its values.
    pub parameter_type: ParameterType,
    /// Value if the execution names none.
    pub default_value: Option<String>,
    /// Whether every execution must name a value. Excludes a default.
    pub is_required: bool,
    /// The only values that are valid; empty for all.
    pub allowed_values: Vec<String>,
    /// Purpose of the parameter, for people.
    pub description: String,
}

/// Returns the environment variable of a parameter: names of variables on Windows have no case.
pub fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase())
}

/// Validates the declarations of a script.
///
/// # Errors
///
/// Errors name the field below `parameters`.
pub fn check_declarations(script_type: Option<ScriptType>, declared: &[Parameter]) -> Result<(), Error> {
    if declared.len() > MAX_PARAMETERS {
        let message =
            format!("{} parameters are declared: at most {MAX_PARAMETERS} are allowed", declared.len());
        return Err(Error::out_of_range(PARAMETERS, message));
    }
    let mut names = BTreeSet::new();
    for (index, parameter) in declared.iter().enumerate() {
        let place =
            |error: Error| error.within(vec![Segment::Name(PARAMETERS.into()), Segment::Index(index)]);
        parameter.check(script_type).map_err(place)?;
        if !names.insert(parameter.name.to_ascii_uppercase()) {
            let message =
                format!("{:?} is declared twice; the case of letters does not count", parameter.name);
            return Err(place(Error::invalid("name", message)));
        }
    }
    let defaults = declared.iter().filter_map(|it| Some((&it.name, it.default_value.as_ref()?)));
    check_total(defaults, MAX_PARAMETER_VALUES_BYTES)
}

impl Parameter {
    fn check(&self, script_type: Option<ScriptType>) -> Result<(), Error> {
        check_name(&self.name)?;
        if self.description.chars().count() > MAX_PARAMETER_DESCRIPTION_CHARS {
            let message = format!("must have at most {MAX_PARAMETER_DESCRIPTION_CHARS} characters");
            return Err(Error::out_of_range("description", message));
        }
        if self.description.contains('\0') {
            return Err(Error::invalid("description", "must not contain a NUL character"));
        }
        if self.is_required && self.default_value.is_some() {
            let message = "a required parameter has no default value: leave one of them out";
            return Err(Error::field(Reason::FieldsExclusive, "default_value", message));
        }
        match (self.parameter_type, self.allowed_values.len()) {
            (ParameterType::Choice, 0) => {
                return Err(Error::required("allowed_values", "a CHOICE needs at least one allowed value"));
            }
            (ParameterType::Boolean, 1..) => {
                let message = "a BOOLEAN has the values true and false: leave the list out";
                return Err(Error::field(Reason::FieldsExclusive, "allowed_values", message));
            }
            (_, count) if count > MAX_ALLOWED_VALUES => {
                let message = format!("{count} values are named: at most {MAX_ALLOWED_VALUES} are allowed");
                return Err(Error::out_of_range("allowed_values", message));
            }
            _ => {}
        }
        for value in &self.allowed_values {
            self.check_form(value, script_type).map_err(|error| error.within("allowed_values"))?;
        }
        match &self.default_value {
            Some(value) => {
                self.check_value(value, script_type).map_err(|error| error.within("default_value"))
            }
            None => Ok(()),
        }
    }

    /// Validates a value for a script of a type; `None` while the type is not known.
    fn check_value(&self, value: &str, script_type: Option<ScriptType>) -> Result<(), Error> {
        self.check_form(value, script_type)?;
        if self.allowed_values.is_empty() || self.allowed_values.iter().any(|allowed| allowed == value) {
            return Ok(());
        }
        let message = format!("{:?} is not one of {}", shorten(value), self.allowed_values.join(", "));
        Err(Error::unreadable(message))
    }

    /// Validates the size, the characters and the type of a value.
    fn check_form(&self, value: &str, script_type: Option<ScriptType>) -> Result<(), Error> {
        if value.len() > MAX_PARAMETER_VALUE_BYTES {
            let message = format!("{} bytes are too long: at most {MAX_PARAMETER_VALUE_BYTES}", value.len());
            return Err(Error::new(Reason::FieldOutOfRange, message));
        }
        if value.contains('\0') {
            return Err(Error::unreadable("must not contain a NUL character"));
        }
        if script_type == Some(ScriptType::Bat)
            && let Some(syntax) = value.chars().find(|c| BAT_SYNTAX.contains(c))
        {
            let message = format!(
                "must not contain {syntax:?}: a BAT script would run the value as a part of its text"
            );
            return Err(Error::unreadable(message));
        }
        match self.parameter_type {
            // Only one form of each number: `+1` and `01` are no values.
            ParameterType::Integer
                if value.parse::<i64>().is_ok_and(|number| number.to_string() == value) =>
            {
                Ok(())
            }
            ParameterType::Integer => {
                let message = format!("{:?} is not an integer of 64 bits, such as 10 or -3", shorten(value));
                Err(Error::unreadable(message))
            }
            ParameterType::Boolean if !matches!(value, "true" | "false") => {
                Err(Error::unreadable(format!("{:?} is neither true nor false", shorten(value))))
            }
            ParameterType::Boolean | ParameterType::String | ParameterType::Choice => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let is_letter = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_letter && is_word && name.len() <= MAX_PARAMETER_NAME_CHARS {
        return Ok(());
    }
    let message = format!(
        "{:?} is not valid: a letter, then letters, digits and _, at most {MAX_PARAMETER_NAME_CHARS} characters",
        shorten(name)
    );
    Err(Error::invalid("name", message))
}

/// A script of an execution, with its declarations.
#[derive(Debug, Clone)]
pub struct Declaring {
    /// Name of the script, for messages.
    pub script_name: String,
    /// Type of the script.
    pub script_type: ScriptType,
    /// Parameters that it declares.
    pub parameters: Vec<Parameter>,
}

/// Assigns the values of an execution to its scripts, in their order: each script gets the values
/// and the defaults of its own parameters.
///
/// # Errors
///
/// A value that no script declares, that is not valid, or that is missing. Errors name the
/// parameter below `parameters`.
pub fn assign(given: &ParameterValues, scripts: &[Declaring]) -> Result<Vec<ParameterValues>, Error> {
    check_total(given, MAX_PARAMETER_VALUES_BYTES)?;
    for name in given.keys() {
        if !scripts.iter().any(|script| script.parameters.iter().any(|it| it.name == *name)) {
            return Err(unknown(name, scripts));
        }
    }
    let values: Vec<ParameterValues> =
        scripts.iter().map(|script| values_of(given, script)).collect::<Result<_, Error>>()?;
    check_total(values.iter().flatten(), MAX_TASK_PARAMETERS_BYTES)?;
    Ok(values)
}

/// Returns the size of names and values, in bytes.
pub fn size_bytes<'a>(values: impl IntoIterator<Item = (&'a String, &'a String)>) -> usize {
    values.into_iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn check_total<'a>(
    values: impl IntoIterator<Item = (&'a String, &'a String)>,
    most: usize,
) -> Result<(), Error> {
    let total = size_bytes(values);
    if total <= most {
        return Ok(());
    }
    let message = format!("{total} bytes of names and values are too many: at most {most} together");
    Err(Error::out_of_range(PARAMETERS, message))
}

fn values_of(given: &ParameterValues, script: &Declaring) -> Result<ParameterValues, Error> {
    let mut values = ParameterValues::new();
    for parameter in &script.parameters {
        let value = match (given.get(&parameter.name), &parameter.default_value) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) if parameter.is_required => {
                let message = format!("script {:?} needs a value", shorten(&script.script_name));
                return Err(Error::required(place_of(&parameter.name), message));
            }
            (None, None) => continue,
        };
        // A default is checked again: it may be saved before the type of its script is known.
        let checked = parameter.check_value(value, Some(script.script_type));
        checked.map_err(|error| error.within(place_of(&parameter.name)))?;
        values.insert(parameter.name.clone(), value.clone());
    }
    check_total(&values, MAX_PARAMETER_VALUES_BYTES)?;
    Ok(values)
}

fn unknown(name: &str, scripts: &[Declaring]) -> Error {
    let declared: BTreeSet<&str> =
        scripts.iter().flat_map(|script| &script.parameters).map(|it| it.name.as_str()).collect();
    let message = if declared.is_empty() {
        "no script of the execution declares parameters; a command has none".to_owned()
    } else {
        let declared: Vec<&str> = declared.into_iter().collect();
        format!("no script declares this parameter; declared are {}", declared.join(", "))
    };
    Error::invalid(place_of(name), message)
}

/// Adds the values of all scripts, in their order, to a SHA-256 over the scripts. Without any value
/// the hash stays as it is.
pub fn hash_with(sha256_of_scripts: Vec<u8>, values: &[&ParameterValues]) -> Vec<u8> {
    if values.iter().all(|values| values.is_empty()) {
        return sha256_of_scripts;
    }
    let mut hash = Sha256::new().chain_update(sha256_of_scripts);
    for values in values {
        hash.update((values.len() as u64).to_be_bytes());
        for text in values.iter().flat_map(|(name, value)| [name, value]) {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
    }
    hash.finalize().to_vec()
}

fn place_of(name: &str) -> FieldPath {
    vec![Segment::Name(PARAMETERS.into()), Segment::Key(shorten(name))].into()
}
