//! Shell completion: candidates for ids, read from the control plane when Tab is pressed.

use std::{collections::BTreeMap, ffi::OsStr, time::Duration};

use clap_complete::CompletionCandidate;
use proto::{
    admin::{
        Desktop, ListDesktopsRequest, ListScriptsRequest, ListTasksRequest, ListWorkersRequest, Script,
        TaskStatus,
    },
    word,
};

use crate::{
    Error,
    client::{ConnectionArgs, Session},
    format::many,
};

/// Maximum time between pressing Tab and the candidates.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// Argument that stands for the newest task.
pub(crate) const LATEST: &str = "latest";
/// Maximum number of candidates; also the page size of their request.
const MOST: i32 = 200;
/// Number of desktops whose tags and pools are offered.
const SAMPLE: i32 = 1_000;

/// Completes a task id, newest task first, or [`LATEST`].
pub(crate) fn tasks(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut offered = tasks_there(typed);
    if LATEST.starts_with(&*typed.to_string_lossy()) {
        offered.push(CompletionCandidate::new(LATEST).help(Some("your newest task".into())));
    }
    offered
}

fn tasks_there(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, async |session| {
        let request = ListTasksRequest { page_size: MOST, ..ListTasksRequest::default() };
        let tasks = session.tasks().list_tasks(request).await?.into_inner().tasks;
        let help = |task: &proto::admin::Task| {
            format!("{} on {} desktops", word::<TaskStatus>(task.status), task.target_count)
        };
        Ok(tasks.into_iter().map(|task| (task.task_id.clone(), help(&task))).collect())
    })
}

/// Completes the last id of a comma-separated list of desktops. Offers the first [`MOST`] desktops
/// whose id starts with the typed text.
pub(crate) fn desktops(typed: &OsStr) -> Vec<CompletionCandidate> {
    // A comma starts the next id.
    let text = typed.to_string_lossy();
    let (before, last) = text.rsplit_once(',').map_or(("", &*text), |(before, last)| (before, last));
    let offered = offer(OsStr::new(last), async |session| {
        let request = ListDesktopsRequest {
            page_size: MOST,
            desktop_id_prefix: last.to_owned(),
            ..ListDesktopsRequest::default()
        };
        let desktops = session.desktops().list_desktops(request).await?.into_inner().desktops;
        Ok(desktops.into_iter().map(|desktop| (desktop.desktop_id, desktop.computer_name)).collect())
    });
    match before {
        "" => offered,
        before => offered.into_iter().map(|it| it.add_prefix(format!("{before},"))).collect(),
    }
}

/// Completes the name or the id of a script, newest script first. An id is offered once its first
/// digit is typed.
pub(crate) fn scripts(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, async |session| {
        let request = ListScriptsRequest { page_size: MOST, ..ListScriptsRequest::default() };
        let scripts = session.scripts().list_scripts(request).await?.into_inner().scripts;
        Ok(script_words(scripts, !typed.is_empty()))
    })
}

/// Returns the words that name scripts, each with its help: each name once, then the ids.
fn script_words(scripts: Vec<Script>, with_ids: bool) -> Vec<(String, String)> {
    let mut words: Vec<(String, String)> = Vec::new();
    for script in &scripts {
        if !words.iter().any(|(name, _)| *name == script.name) {
            words.push((
                script.name.clone(),
                format!("revision {} by {}", script.revision, script.created_by),
            ));
        }
    }
    if with_ids {
        words.extend(scripts.into_iter().map(|script| (script.script_id, script.name)));
    }
    words
}

/// Completes the last tag of a comma-separated list: the tags of the first [`SAMPLE`] desktops.
pub(crate) fn tags(typed: &OsStr) -> Vec<CompletionCandidate> {
    attribute(typed, |desktop| {
        desktop.tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    })
}

/// Completes the last pool of a comma-separated list: the pools of the first [`SAMPLE`] desktops.
pub(crate) fn pools(typed: &OsStr) -> Vec<CompletionCandidate> {
    attribute(typed, |desktop| vec![desktop.desktop_pool_id])
}

/// Completes a value that desktops have. The help is the number of these desktops in the sample.
fn attribute(typed: &OsStr, values: impl Fn(Desktop) -> Vec<String>) -> Vec<CompletionCandidate> {
    let text = typed.to_string_lossy();
    let (before, last) = text.rsplit_once(',').map_or(("", &*text), |(before, last)| (before, last));
    let offered = offer(OsStr::new(last), async |session| {
        let request = ListDesktopsRequest { page_size: SAMPLE, ..ListDesktopsRequest::default() };
        let desktops = session.desktops().list_desktops(request).await?.into_inner().desktops;
        Ok(counted(desktops.into_iter().flat_map(&values)))
    });
    match before {
        "" => offered,
        before => offered.into_iter().map(|it| it.add_prefix(format!("{before},"))).collect(),
    }
}

/// Counts equal values, in the order of the values. Omits empty ones.
fn counted(values: impl Iterator<Item = String>) -> Vec<(String, String)> {
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    for value in values.filter(|value| !value.is_empty()) {
        *numbers.entry(value).or_default() += 1;
    }
    numbers.into_iter().map(|(value, number)| (value, many(number, "desktop"))).collect()
}

/// Completes a worker id. The help is the address of the worker.
pub(crate) fn workers(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, async |session| {
        let workers = session.workers().list_workers(ListWorkersRequest {}).await?.into_inner().workers;
        Ok(workers.into_iter().map(|worker| (worker.worker_id, worker.address)).collect())
    })
}

/// Offers the ids that start with the typed text. Any failure offers nothing, because a shell
/// prompt cannot show errors.
fn offer(
    typed: &OsStr,
    ask: impl AsyncFn(Session) -> Result<Vec<(String, String)>, tonic::Status>,
) -> Vec<CompletionCandidate> {
    let typed = typed.to_string_lossy();
    let known = asked(ask).unwrap_or_default();
    let fitting = known.into_iter().filter(|(id, _)| id.starts_with(&*typed));
    fitting.map(|(id, help)| CompletionCandidate::new(id).help(Some(help.into()))).collect()
}

fn asked(
    ask: impl AsyncFn(Session) -> Result<Vec<(String, String)>, tonic::Status>,
) -> Result<Vec<(String, String)>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::local("cannot start the async runtime", error))?;
    let asking = async {
        // The shell passes the command line typed so far as arguments.
        let words: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let session = ConnectionArgs::of_words(&words).open().await?;
        ask(session).await.map_err(|status| Error::of("cannot complete the id", &status))
    };
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, asking).await });
    // Do not wait for a pending name lookup, which runs in a blocking thread.
    runtime.shutdown_background();
    answer.unwrap_or_else(|_| Err(Error::unreachable("no candidates within 1.5s")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_is_offered_by_name_and_by_id_once_typed() {
        let script = |id: &str, name: &str| Script {
            script_id: id.into(),
            name: name.into(),
            revision: 2,
            created_by: "ann".into(),
            ..Script::default()
        };
        let scripts = || vec![script("2", "patch.sh"), script("1", "patch.sh")];
        let names: Vec<_> = script_words(scripts(), false);
        assert_eq!(names, [("patch.sh".to_owned(), "revision 2 by ann".to_owned())]);
        assert_eq!(script_words(scripts(), true).len(), 3);
    }

    #[test]
    fn values_are_offered_once_with_their_number() {
        let values = ["p2", "p1", "", "p2"].map(str::to_owned);
        let expected = [("p1", "1 desktop"), ("p2", "2 desktops")].map(|(it, help)| (it.into(), help.into()));
        assert_eq!(counted(values.into_iter()), expected);
    }
}
