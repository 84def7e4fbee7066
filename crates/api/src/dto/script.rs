//! Path parameter, types and request bodies of scripts.

use domain::{Error, ids::ScriptId, script};
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

/// Defines the body of a request that saves a script: the common fields plus the given ones.
macro_rules! script_fields {
    ($(#[$attribute:meta])* $name:ident { $($(#[$of_field:meta])* $field:ident,)* }) => {
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
        }

        impl $name {
            /// Checks the common fields.
            fn body(self) -> Result<ScriptBody, Error> {
                ScriptBody::new(self.name, self.content, self.description, self.version)
            }
        }
    };
}

pub(crate) use script_fields;
