//! Saves a local file as a script, or finds the script that has its content.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use proto::admin::{
    CreateScriptRequest, ListScriptsRequest, Parameter, Script, ScriptRevision, ScriptType,
    UpdateScriptRequest,
};

use super::interpreter::of_rules;
use crate::{
    Error,
    actions::idempotency_key,
    client::{Session, repeated},
    format::many,
    id_prefix::CANDIDATES,
    output::Console,
    sanitize::sanitize_line,
    script_arg::describe,
};

/// Maximum number of scripts of one name that are compared.
const PAGE: i32 = 1_000;

/// A local script that may become a saved one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalScript {
    pub(crate) name: String,
    pub(crate) content: String,
    pub(crate) kind: ScriptType,
    /// Declared parameters; empty to keep those of the saved script.
    pub(crate) parameters: Vec<Parameter>,
}

/// Place of a file among the saved scripts of its name and type.
#[derive(Debug, PartialEq)]
enum Place {
    /// This script has the content already.
    Same(Script),
    /// This is the only script of the caller with the name; it gets a revision.
    Mine(Script),
    /// The caller has several scripts with the name, and none with the content.
    Ambiguous(Vec<Script>),
    /// The caller has no script with the name.
    New,
}

/// Finds the place of a file. `mine` has the caller's scripts of its name and type, `all` those of
/// any author, the newest first. A script of another author gets no revision, but may be run.
fn place(sha256: &str, mine: Vec<Script>, all: Vec<Script>) -> Place {
    let same = mine.iter().chain(&all).find(|script| script.sha256 == sha256);
    match (same, mine.as_slice()) {
        (Some(script), _) => Place::Same(script.clone()),
        (None, []) => Place::New,
        (None, [script]) => Place::Mine(script.clone()),
        (None, _) => Place::Ambiguous(mine),
    }
}

/// Finds the place of a file among the saved scripts.
async fn find(session: &Session, name: &str, content: &str, kind: ScriptType) -> Result<Place, Error> {
    let request = ListScriptsRequest {
        name: name.to_owned(),
        script_type: kind.into(),
        page_size: PAGE,
        mine: true,
        ..ListScriptsRequest::default()
    };
    let mine = list(session, request.clone()).await?;
    let all = match mine.as_slice() {
        [] => list(session, ListScriptsRequest { mine: false, ..request }).await?,
        _ => Vec::new(),
    };
    let sha256 = hex::encode(domain::script::sha256(of_rules(kind), content));
    Ok(place(&sha256, mine, all))
}

/// Checks that the saved script of a file declares the parameters of an execution, before the file
/// is saved. The control plane checks the values.
pub(super) async fn check_parameters(
    session: &Session,
    script: &LocalScript,
    values: &BTreeMap<String, String>,
) -> Result<(), Error> {
    if values.is_empty() {
        return Ok(());
    }
    let LocalScript { name, content, kind, parameters } = script;
    let declared = match find(session, name, content, *kind).await? {
        _ if !parameters.is_empty() => parameters.clone(),
        Place::Same(script) | Place::Mine(script) => script.parameters,
        Place::New => Vec::new(),
        Place::Ambiguous(scripts) => return Err(ambiguous(name, &scripts)),
    };
    undeclared(name, &declared, values).map_or(Ok(()), Err)
}

/// Builds the error of the first value whose parameter a script does not declare.
fn undeclared(name: &str, declared: &[Parameter], values: &BTreeMap<String, String>) -> Option<Error> {
    let value = values.keys().find(|value| !declared.iter().any(|it| it.name == **value))?;
    let (name, value) = (sanitize_line(name), sanitize_line(value));
    Some(
        Error::misused(format!("--param {value}: the saved script {name} does not declare this parameter"))
            .try_next(format!("graywave scripts save {name} --parameters FILE.json: docs/scripts.md"))
            .try_next("graywave scripts show SCRIPT: lists the declared ones"),
    )
}

/// Returns the script revision with this content. Saves the content as a revision of the caller's
/// script of this name, or else as a new script, and says which.
pub(super) async fn save(
    session: &Session,
    console: &Console,
    script: LocalScript,
) -> Result<ScriptRevision, Error> {
    let script = match find(session, &script.name, &script.content, script.kind).await? {
        Place::Same(saved) => saved,
        Place::Mine(saved) => update(session, console, &saved, script).await?,
        Place::Ambiguous(saved) => return Err(ambiguous(&script.name, &saved)),
        Place::New => create(session, console, script).await?,
    };
    let Script { script_id, revision, name, .. } = script;
    Ok(ScriptRevision { script_id, revision, name, ..ScriptRevision::default() })
}

async fn list(session: &Session, request: ListScriptsRequest) -> Result<Vec<Script>, Error> {
    let page = session.scripts().list_scripts(request).await;
    Ok(page.map_err(|status| Error::of("cannot look for the script", &status))?.into_inner().scripts)
}

async fn update(
    session: &Session,
    console: &Console,
    before: &Script,
    local: LocalScript,
) -> Result<Script, Error> {
    let LocalScript { content, parameters, .. } = local;
    let declares = !parameters.is_empty();
    let paths = ["content"].into_iter().chain(declares.then_some("parameters")).map(str::to_owned).collect();
    let script = Script { script_id: before.script_id.clone(), content, parameters, ..Script::default() };
    let request = UpdateScriptRequest {
        script: Some(script),
        update_mask: Some(FieldMask { paths }),
        idempotency_key: idempotency_key(),
    };
    let saved = repeated(async || session.scripts().update_script(request.clone()).await).await;
    let saved = saved.map_err(|status| Error::of("cannot save the revision", &status))?.into_inner();
    let script = saved.script.unwrap_or_default();
    let name = sanitize_line(&script.name);
    console.say(&format!("saved {name} as revision {} of your script {}", script.revision, script.script_id));
    Ok(script)
}

async fn create(session: &Session, console: &Console, local: LocalScript) -> Result<Script, Error> {
    let LocalScript { name, content, kind, parameters } = local;
    let script = Script { name, script_type: kind.into(), content, parameters, ..Script::default() };
    let request = CreateScriptRequest { script: Some(script), idempotency_key: idempotency_key() };
    let saved = repeated(async || session.scripts().create_script(request.clone()).await).await;
    let saved = saved.map_err(|status| Error::of("cannot save the script", &status))?.into_inner();
    let script = saved.script.unwrap_or_default();
    console.say(&format!("saved {} as a new script {}", sanitize_line(&script.name), script.script_id));
    Ok(script)
}

/// Builds the error of a file that could be a revision of several scripts.
fn ambiguous(name: &str, scripts: &[Script]) -> Error {
    let (name, count) = (sanitize_line(name), u32::try_from(scripts.len()).unwrap_or(u32::MAX));
    let failure = Error::misused(format!("you have {} called {name}", many(count, "script")))
        .try_next(format!("graywave scripts update ID --file {name}, then graywave run --script ID"));
    let shown = scripts.iter().take(usize::try_from(CANDIDATES - 1).unwrap_or_default());
    shown.fold(failure, |failure, script| {
        failure.try_next(format!("{}: {}", script.script_id, sanitize_line(&describe(script))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(id: &str, sha256: &str) -> Script {
        Script { script_id: id.into(), sha256: sha256.into(), ..Script::default() }
    }

    #[test]
    fn edited_file_is_a_revision_of_the_callers_only_script() {
        let mine = || vec![script("1", "old")];
        assert_eq!(place("new", mine(), vec![]), Place::Mine(script("1", "old")));
        assert_eq!(place("old", mine(), vec![]), Place::Same(script("1", "old")));
        assert_eq!(place("new", vec![], vec![script("2", "old")]), Place::New, "of another author");
        assert_eq!(place("old", vec![], vec![script("2", "old")]), Place::Same(script("2", "old")));
    }

    #[test]
    fn undeclared_parameter_is_refused_before_saving() {
        let ring = Parameter { name: "ring".into(), ..Parameter::default() };
        let values = |name: &str| BTreeMap::from([(name.to_owned(), "a".to_owned())]);
        assert!(undeclared("patch.sh", std::slice::from_ref(&ring), &values("ring")).is_none());
        let refused = undeclared("patch.sh", &[ring], &values("Ring")).unwrap();
        assert_eq!(refused.exit_status, crate::ExitStatus::Misused);
        assert!(refused.to_string().starts_with("--param Ring: the saved script patch.sh"), "{refused}");
        assert!(undeclared("patch.sh", &[], &BTreeMap::new()).is_none());
    }

    #[test]
    fn file_of_several_scripts_is_ambiguous_without_equal_content() {
        let mine = || vec![script("1", "a"), script("2", "b")];
        assert_eq!(place("b", mine(), vec![]), Place::Same(script("2", "b")));
        assert_eq!(place("c", mine(), vec![]), Place::Ambiguous(mine()));
        let error = ambiguous("patch.sh", &mine());
        assert_eq!(error.exit_status, crate::ExitStatus::Misused);
        assert!(error.to_string().starts_with("you have 2 scripts called patch.sh\n"), "{error}");
    }
}
