//! Scripts in paths and words.

use domain::{Error, ids::ScriptId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What runs a script or a command. Documents the words: domain reads and writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ScriptType {
    Powershell,
    Bat,
    Shell,
}

/// One script in the path.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ScriptPath {
    /// The script.
    script_id: String,
}

impl ScriptPath {
    /// An id that cannot be ours is one that does not exist.
    pub(crate) fn id(&self) -> Result<ScriptId, Error> {
        ScriptId::find(&self.script_id)
    }
}

/// Makes the body of a call that saves a script: the fields that all of them have, and those of one call.
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
            /// Free text given by the caller.
            #[schema(max_length = 128)]
            version: Option<String>,
        }

        impl $name {
            /// Checks the fields that all calls have.
            fn body(self) -> Result<ScriptBody, Error> {
                ScriptBody::new(self.name, self.content, self.description, self.version)
            }
        }
    };
}

pub(crate) use script_fields;
