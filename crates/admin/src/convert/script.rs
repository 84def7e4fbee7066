//! Conversions of the script service between proto and domain.

use control::{RevisionRow, ScriptRow};
use domain::{Error, script::ScriptBody};
use proto::{
    Word as _,
    admin::{Revision, Script, ScriptType},
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
    let script_type = word::<ScriptType>("script_type", script.script_type)?
        .ok_or_else(|| Error::required("script_type", "a script needs a type: POWERSHELL, BAT or SHELL"))?
        .parse()
        .map_err(|error: Error| error.within("script_type"))?;
    let (name, content) = (Some(script.name), Some(script.content));
    Ok((script_type, ScriptBody::new(name, content, Some(script.description), Some(script.version))?))
}
