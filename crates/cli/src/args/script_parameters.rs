//! Declarations of a script's parameters, from a file.

use std::path::Path;

use proto::admin::{Parameter, Script};
use serde_json::json;

use super::{file_arg, unique_json};
use crate::{Error, output};

/// Maximum size of the file, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// Reads a JSON array of parameters.
pub(crate) fn read_parameters(path: &Path) -> Result<Vec<Parameter>, Error> {
    let text = file_arg::read_unmarked(path, "parameters", MAX_BYTES)?;
    parsed(&text).map_err(|why| {
        Error::misused(format!("cannot read the parameters in {}: {why}", path.display()))
            .try_next(r#"[{"name": "ring", "parameter_type": "CHOICE", "allowed_values": ["a", "b"]}]"#)
    })
}

fn parsed(text: &str) -> Result<Vec<Parameter>, String> {
    let parameters = unique_json::parse(text).map_err(|error| error.to_string())?;
    if !parameters.is_array() {
        return Err("not a JSON array".to_owned());
    }
    output::parse::<Script>(json!({ "parameters": parameters })).map(|script| script.parameters)
}

#[cfg(test)]
mod tests {
    use proto::admin::ParameterType;

    use super::*;

    #[test]
    fn parameters_are_read_by_their_names() {
        let text = r#"[{"name": "ring", "parameter_type": "choice", "allowed_values": ["a"], "default_value": "a"}]"#;
        let ring = parsed(text).unwrap().remove(0);
        assert_eq!((ring.name.as_str(), ring.parameter_type()), ("ring", ParameterType::Choice));
        assert_eq!((ring.default_value.as_deref(), ring.allowed_values.len()), (Some("a"), 1));
        for wrong in ["{}", "[1]", r#"[{"nam": "x"}]"#, r#"[{"name": "x", "name": "y"}]"#] {
            parsed(wrong).unwrap_err();
        }
    }
}
