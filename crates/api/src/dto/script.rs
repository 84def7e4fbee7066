//! Path parameter, types and request bodies of scripts.

use domain::{
    Error, FieldPath,
    ids::ScriptId,
    script::{self, parameter::Parameter},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Interpreter of a script or command. Documents the values; crate `domain` parses and prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ScriptType {
    Powershell,
    Bat,
    Shell,
}

/// Path parameter with a script id.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ScriptPath {
    /// Script id.
    script_id: String,
}

impl ScriptPath {
    /// Parses the id. A malformed id yields the same error as an unknown script.
    pub(crate) fn id(&self) -> Result<ScriptId, Error> {
        ScriptId::find(&self.script_id)
    }
}

/// Parses the type of a new script. `field` is the name of the type in the request.
///
/// # Errors
///
/// The type is missing or unknown.
pub(crate) fn required_type(given: Option<&str>, field: &'static str) -> Result<script::ScriptType, Error> {
    optional_type(given, field)?
        .ok_or_else(|| Error::required(field, "a script needs a type: POWERSHELL, BAT or SHELL"))
}

/// Parses the type of scripts in a filter. `field` is the name of the type in the request.
///
/// # Errors
///
/// The type is unknown.
pub(crate) fn optional_type(
    given: Option<&str>,
    field: &'static str,
) -> Result<Option<script::ScriptType>, Error> {
    given.map(str::parse).transpose().map_err(|error: Error| error.within(field))
}

/// Type of the values of a parameter. Documents the values; crate `domain` parses and prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ParameterType {
    String,
    Integer,
    Boolean,
    Choice,
}

/// Parameter of a script.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptParameter {
    /// Name, unique without regard to case.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_]*$", max_length = 64)]
    name: String,
    /// Type of the values; STRING if absent.
    #[schema(value_type = Option<ParameterType>)]
    parameter_type: Option<String>,
    /// Value if an execution names none.
    #[schema(max_length = 4096)]
    default_value: Option<String>,
    /// Whether every execution must name a value. Excludes a default value.
    #[serde(default)]
    is_required: bool,
    /// The only values that are valid; empty for all. Required for a CHOICE.
    #[serde(default)]
    #[schema(max_items = 100)]
    allowed_values: Vec<String>,
    /// Purpose of the parameter.
    #[serde(default)]
    #[schema(max_length = 256)]
    description: String,
}

impl From<Parameter> for ScriptParameter {
    fn from(declared: Parameter) -> Self {
        let Parameter { name, parameter_type, default_value, is_required, allowed_values, description } =
            declared;
        let parameter_type = Some(parameter_type.as_str().to_owned());
        Self { name, parameter_type, default_value, is_required, allowed_values, description }
    }
}

/// Converts the declarations of a script; `None` if the request has none.
pub(crate) fn declarations(given: Option<Vec<ScriptParameter>>) -> Result<Option<Vec<Parameter>>, Error> {
    let declared = |(place, given): (usize, ScriptParameter)| {
        let ScriptParameter { name, parameter_type, default_value, is_required, allowed_values, description } =
            given;
        let parameter_type = parameter_type.as_deref().map(str::parse).transpose();
        let parameter_type = parameter_type.map_err(|error: Error| {
            error.within("parameter_type").within(FieldPath::from("parameters").index(place))
        })?;
        let parameter_type = parameter_type.unwrap_or_default();
        Ok(Parameter { name, parameter_type, default_value, is_required, allowed_values, description })
    };
    given.map(|given| given.into_iter().enumerate().map(declared).collect()).transpose()
}

/// Defines the body of a request that saves a script: the common fields plus the given ones.
macro_rules! script_fields {
    (
        $(#[$attribute:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident,)* }
        $(with $(#[$of_parameters:meta])* $parameters:ident)?
    ) => {
        #[derive(Debug, Deserialize, ToSchema)]
        $(#[$attribute])*
        pub(crate) struct $name {
            #[schema(required = true, nullable = false, min_length = 1, max_length = 256)]
            name: Option<String>,
            $($(#[$of_field])* $field: Option<String>,)*
            #[schema(required = true, nullable = false, min_length = 1, max_length = 100_000)]
            content: Option<String>,
            #[schema(max_length = 256)]
            description: Option<String>,
            /// Version label, free text.
            #[schema(max_length = 128)]
            version: Option<String>,
            $($(#[$of_parameters])* $parameters: Option<Vec<ScriptParameter>>,)?
        }

        impl $name {
            /// Checks the common fields.
            fn body(self) -> Result<ScriptBody, Error> {
                let body = ScriptBody::new(self.name, self.content, self.description, self.version)?;
                $(let body = body.with_parameters(None, declarations(self.$parameters)?)?;)?
                Ok(body)
            }
        }
    };
}

pub(crate) use script_fields;
