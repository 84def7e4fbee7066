//! Conversions of the script service between proto and domain.

use control::{RevisionRow, ScriptRow};
use domain::{
    Error, FieldPath,
    script::{ScriptBody, parameter},
};
use proto::{
    Word as _,
    admin::{Parameter, ParameterType, Revision, Script, ScriptType},
    time,
};
use tonic::Status;

use crate::{
    convert::value::word,
    status::{failed, within},
};

pub(crate) fn script(row: ScriptRow) -> Script {
    Script {
        script_id: row.script_id.to_string(),
        name: row.body.name,
        description: row.body.description,
        script_type: ScriptType::number(row.script_type.as_str()),
        version: row.body.version,
        content: row.body.content,
        revision: row.revision,
        sha256: hex::encode(row.sha256),
        created_by: row.created_by,
        create_time: time(Some(row.create_time)),
        update_time: time(Some(row.update_time)),
        parameters: row.body.parameters.unwrap_or_default().into_iter().map(parameter).collect(),
    }
}

pub(crate) fn revision(row: RevisionRow) -> Revision {
    Revision {
        revision: row.revision,
        sha256: hex::encode(row.sha256),
        create_time: time(Some(row.create_time)),
    }
}

pub(crate) fn required_script(script: Option<Script>) -> Result<Script, Status> {
    script.ok_or_else(|| failed(Error::required("script", "a script is required")))
}

pub(crate) fn within_script(error: Error) -> Status {
    within("script")(error)
}

/// Converts the type and the body of a new script.
pub(crate) fn new_script(script: Script) -> Result<(domain::script::ScriptType, ScriptBody), Error> {
    let script_type: domain::script::ScriptType = word::<ScriptType>("script_type", script.script_type)?
        .ok_or_else(|| Error::required("script_type", "a script needs a type: POWERSHELL, BAT or SHELL"))?
        .parse()
        .map_err(|error: Error| error.within("script_type"))?;
    let (name, content) = (Some(script.name), Some(script.content));
    let body = ScriptBody::new(name, content, Some(script.description), Some(script.version))?;
    Ok((script_type, body.with_parameters(Some(script_type), Some(declarations(script.parameters)?))?))
}

fn parameter(declared: parameter::Parameter) -> Parameter {
    let parameter::Parameter {
        name,
        parameter_type,
        default_value,
        is_required,
        allowed_values,
        description,
    } = declared;
    let parameter_type = ParameterType::number(parameter_type.as_str());
    Parameter { name, parameter_type, default_value, is_required, allowed_values, description }
}

/// Converts the declarations of a script. A type that is not set means a text.
pub(crate) fn declarations(given: Vec<Parameter>) -> Result<Vec<parameter::Parameter>, Error> {
    let declared = |(place, given): (usize, Parameter)| {
        let within = |error: Error| error.within(FieldPath::from("parameters").index(place));
        let word = word::<ParameterType>("parameter_type", given.parameter_type).map_err(within)?;
        let parameter_type = word.map(str::parse).transpose().map_err(within)?.unwrap_or_default();
        let Parameter { name, default_value, is_required, allowed_values, description, .. } = given;
        Ok(parameter::Parameter {
            name,
            parameter_type,
            default_value,
            is_required,
            allowed_values,
            description,
        })
    };
    given.into_iter().enumerate().map(declared).collect()
}
