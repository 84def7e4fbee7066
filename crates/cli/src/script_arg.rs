//! The argument that names a script.

use clap::Args;
use clap_complete::ArgValueCompleter;
use proto::admin::{ListScriptsRequest, Script};

use crate::{
    Error,
    client::Session,
    completion,
    format::time,
    id_prefix::{self, Digits},
};

/// Argument that names a script.
#[derive(Debug, Clone, Args)]
pub(crate) struct ScriptArg {
    /// Script name, id, or the first digits of its id
    #[arg(value_name = "SCRIPT", add = ArgValueCompleter::new(completion::scripts))]
    script: String,
}

impl ScriptArg {
    /// Resolves the argument to an id.
    pub(crate) async fn id(&self, session: &Session) -> Result<String, Error> {
        script_id(session, &self.script).await
    }
}

/// Resolves a script to its id: a whole id, else the name of one script, else the first digits of
/// one id.
pub(crate) async fn script_id(session: &Session, text: &str) -> Result<String, Error> {
    let digits = match Digits::parse(text) {
        Some(Digits::Whole(script_id)) => return Ok(script_id),
        Some(Digits::Prefix(digits)) => Some(digits),
        None => None,
    };
    let by_name = ListScriptsRequest { name: text.to_owned(), ..ListScriptsRequest::default() };
    // An empty name would match every script.
    let mut found = if text.is_empty() { Vec::new() } else { candidates(session, by_name).await? };
    if let Some(script_id_prefix) = digits.filter(|_| found.is_empty()) {
        let by_id = ListScriptsRequest { script_id_prefix, ..ListScriptsRequest::default() };
        found = candidates(session, by_id).await?;
    }
    let described = found.into_iter().map(|script| (script.script_id.clone(), describe(&script)));
    id_prefix::only("script", text, described.collect(), "graywave scripts")
}

async fn candidates(session: &Session, request: ListScriptsRequest) -> Result<Vec<Script>, Error> {
    let request = ListScriptsRequest { page_size: id_prefix::CANDIDATES, ..request };
    let page = session.scripts().list_scripts(request).await;
    Ok(page.map_err(|status| Error::of("cannot look for the script", &status))?.into_inner().scripts)
}

/// Describes a script among others of its name.
pub(crate) fn describe(script: &Script) -> String {
    let (saved, author) = (time(script.update_time.as_ref()), &script.created_by);
    format!("{}@{} by {author}, saved {saved}", script.name, script.revision)
}
