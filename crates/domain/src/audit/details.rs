//! Details of an audit entry, as a JSON object.

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::justification::Justification;
use crate::{
    Error,
    ids::{DesktopId, ScriptId, TaskId},
    plan::Plan,
    script::parameter::ParameterValues,
};

/// Details of an entry without any.
pub const NO_DETAILS: &str = "{}";

/// Maximum number of desktop ids in an entry; further ids are only counted.
const MAX_DESKTOP_IDS: usize = 10;

/// A script of an execution; a command has neither id nor revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScriptDetails {
    /// Id of the script; `None` for a command.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    pub script_id: Option<ScriptId>,
    /// Pinned revision; `None` for a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<i32>,
    /// SHA-256 over type and content, in hexadecimal.
    pub sha256: String,
    /// Values of its parameters.
    #[serde(skip_serializing_if = "ParameterValues::is_empty")]
    pub parameters: ParameterValues,
}

/// How a request selects its desktops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DesktopSelection<'a> {
    /// By a list of ids.
    Ids,
    /// All desktops of a pool, or the listed ones.
    Pool(&'a str),
    /// All desktops with a tag, as the request contains it.
    Tag(&'a str),
}

/// Details of an accepted execution.
#[derive(Debug, Clone)]
pub struct ExecutionDetails<'a> {
    /// Scripts in the order of execution.
    pub scripts: Vec<ScriptDetails>,
    /// Selection of the request.
    pub selection: DesktopSelection<'a>,
    /// Stored plan.
    pub plan: &'a Plan,
    /// User that the request names; `None` without one.
    pub run_as_user: Option<&'a str>,
    /// Retried task; `None` if the execution is no retry.
    pub retry_of: Option<TaskId>,
}

#[derive(Serialize)]
struct Change<'a, T> {
    before: Option<&'a T>,
    after: Option<&'a T>,
}

#[derive(Serialize)]
struct Read {
    objects: usize,
}

#[derive(Serialize)]
struct SignedIn<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    policies: &'a [String],
}

#[derive(Serialize)]
struct Selection<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    desktop_count: usize,
    /// First desktops by id, so that the order of the plan does not matter.
    first_desktop_ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Execution<'a> {
    scripts: &'a [ScriptDetails],
    selection: Selection<'a>,
    targets: usize,
    waves: usize,
    plan_hash: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_as_user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "shown")]
    retry_of: Option<TaskId>,
}

/// Serialises an id as the API shows it.
fn shown<T: Display, S: Serializer>(id: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}

impl ExecutionDetails<'_> {
    /// Formats the details as JSON.
    pub fn to_json(&self) -> Result<String, Error> {
        let (pool, tag) = match self.selection {
            DesktopSelection::Ids => (None, None),
            DesktopSelection::Pool(pool_id) => (Some(pool_id), None),
            DesktopSelection::Tag(tag) => (None, Some(tag)),
        };
        written(&Execution {
            scripts: &self.scripts,
            selection: Selection {
                pool,
                tag,
                desktop_count: self.plan.order.len(),
                first_desktop_ids: first_ids(&self.plan.order),
            },
            targets: self.plan.order.len(),
            waves: self.plan.waves.len(),
            plan_hash: hex::encode(self.plan.hash),
            run_as_user: self.run_as_user,
            retry_of: self.retry_of,
        })
    }
}

/// Returns the smallest ids, in order. Takes one pass over the list, which may have millions.
fn first_ids(order: &[DesktopId]) -> Vec<&str> {
    let mut first: Vec<&str> = Vec::with_capacity(MAX_DESKTOP_IDS + 1);
    for desktop_id in order {
        let id = desktop_id.as_str();
        if first.len() == MAX_DESKTOP_IDS && first.last().is_some_and(|last| *last <= id) {
            continue;
        }
        let place = first.partition_point(|earlier| *earlier < id);
        first.insert(place, id);
        first.truncate(MAX_DESKTOP_IDS);
    }
    first
}

/// Formats the value of an object before and after a change; `None` if it did not or does not
/// exist.
pub fn changed<T: Serialize>(before: Option<&T>, after: Option<&T>) -> Result<String, Error> {
    written(&Change { before, after })
}

/// Formats the name of a person who signed in and the policies of its groups; other sign-ins have
/// no policies of their own.
pub fn signed_in(name: &str, policies: &[String]) -> Result<String, Error> {
    written(&SignedIn { name, policies })
}

/// Formats the number of objects with content that a call returned.
pub fn read(objects: usize) -> Result<String, Error> {
    written(&Read { objects })
}

/// Adds the reason and the ticket of a change to its details, a JSON object.
pub fn justified(details: &str, justification: &Justification) -> Result<String, Error> {
    if justification.is_empty() {
        return Ok(details.to_owned());
    }
    let parsed: serde_json::Result<serde_json::Map<_, _>> = serde_json::from_str(details);
    let mut object = parsed.map_err(|error| Error::internal().with_source(error))?;
    for (key, text) in [("reason", justification.reason()), ("ticket", justification.ticket())] {
        if !text.is_empty() {
            object.insert(key.to_owned(), text.into());
        }
    }
    written(&object)
}

fn written(details: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(details).map_err(|error| Error::internal().with_source(error))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::plan_again;

    fn plan(desktops: usize) -> Plan {
        let order = (0..desktops).rev().map(|number| format!("d-{number:03}").parse().unwrap()).collect();
        plan_again(order, vec![(u32::try_from(desktops).unwrap(), None)], false)
    }

    #[test]
    fn execution_names_scripts_selection_and_plan() {
        let plan = plan(25);
        let details = ExecutionDetails {
            scripts: vec![ScriptDetails {
                script_id: Some("0".repeat(32).parse().unwrap()),
                revision: Some(7),
                sha256: "ab".into(),
                parameters: ParameterValues::new(),
            }],
            selection: DesktopSelection::Tag("pool=finance"),
            plan: &plan,
            run_as_user: None,
            retry_of: None,
        };
        let json: Value = serde_json::from_str(&details.to_json().unwrap()).unwrap();
        let ids: Vec<String> = (0..10).map(|number| format!("d-{number:03}")).collect();
        assert_eq!(
            json,
            json!({
                "scripts": [{"script_id": "0".repeat(32), "revision": 7, "sha256": "ab"}],
                "selection": {"tag": "pool=finance", "desktop_count": 25, "first_desktop_ids": ids},
                "targets": 25, "waves": 1, "plan_hash": hex::encode(plan.hash),
            })
        );
    }

    #[test]
    fn command_by_ids_has_neither_script_nor_group() {
        let plan = plan(2);
        let details = ExecutionDetails {
            scripts: vec![ScriptDetails {
                script_id: None,
                revision: None,
                sha256: "cd".into(),
                parameters: ParameterValues::new(),
            }],
            selection: DesktopSelection::Ids,
            plan: &plan,
            run_as_user: Some("www-data"),
            retry_of: Some("1".repeat(32).parse().unwrap()),
        };
        let json: Value = serde_json::from_str(&details.to_json().unwrap()).unwrap();
        assert_eq!(json["scripts"], json!([{"sha256": "cd"}]));
        assert_eq!(json["selection"], json!({"desktop_count": 2, "first_desktop_ids": ["d-000", "d-001"]}));
        assert_eq!((&json["run_as_user"], &json["retry_of"]), (&json!("www-data"), &json!("1".repeat(32))));
    }

    #[test]
    fn justification_is_added_to_the_details() {
        let given = |reason, ticket| Justification::new(reason, ticket).unwrap();
        let json = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let added = justified(r#"{"targets":2}"#, &given("a \"fix\"", "OPS-7")).unwrap();
        assert_eq!(json(added), json!({"targets": 2, "reason": "a \"fix\"", "ticket": "OPS-7"}));
        assert_eq!(justified(NO_DETAILS, &given("", "OPS-7")).unwrap(), r#"{"ticket":"OPS-7"}"#);
        assert_eq!(justified(NO_DETAILS, &Justification::default()).unwrap(), NO_DETAILS);
    }

    #[test]
    fn change_names_the_value_before_and_after() {
        assert_eq!(changed(Some(&1), None).unwrap(), r#"{"before":1,"after":null}"#);
        assert_eq!(changed(None, Some(&"x")).unwrap(), r#"{"before":null,"after":"x"}"#);
        assert_eq!(read(2).unwrap(), r#"{"objects":2}"#);
    }
}
