//! What a shell offers behind a flag: ids that the control plane knows at this moment.

use std::{ffi::OsStr, time::Duration};

use clap_complete::CompletionCandidate;
use proto::{
    admin::{ListDesktopsRequest, ListScriptsRequest, ListTasksRequest, ListWorkersRequest, TaskStatus},
    word,
};

use crate::{
    Error,
    client::{ConnectionArgs, Session},
};

/// Who presses Tab does not wait longer than this.
const TIMEOUT: Duration = Duration::from_millis(1_500);
/// The word that stands for the newest task.
pub(crate) const LATEST: &str = "latest";
/// Ids that are offered at most.
const MOST: i32 = 200;

/// Tasks, newest first, and the word for the newest one.
pub(crate) fn tasks(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut offered = tasks_there(typed);
    if LATEST.starts_with(&*typed.to_string_lossy()) {
        offered.push(CompletionCandidate::new(LATEST).help(Some("the newest task".into())));
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

/// Desktops by id. Of more than can be offered at once the first are; more of them are found by
/// typing more of the id.
pub(crate) fn desktops(typed: &OsStr) -> Vec<CompletionCandidate> {
    // Behind a comma begins another one.
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

/// Scripts, the newest first, told by their names.
pub(crate) fn scripts(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, async |session| {
        let request = ListScriptsRequest { page_size: MOST, ..ListScriptsRequest::default() };
        let scripts = session.scripts().list_scripts(request).await?.into_inner().scripts;
        Ok(scripts.into_iter().map(|script| (script.script_id, script.name)).collect())
    })
}

/// Workers.
pub(crate) fn workers(typed: &OsStr) -> Vec<CompletionCandidate> {
    offer(typed, async |session| {
        let workers = session.workers().list_workers(ListWorkersRequest {}).await?.into_inner().workers;
        Ok(workers.into_iter().map(|worker| (worker.worker_id, worker.address)).collect())
    })
}

/// Those that begin with what is typed. Whatever goes wrong offers nothing: a shell's prompt is no
/// place for errors.
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
    let runtime = runtime.map_err(|error| Error::local("cannot start", error))?;
    let asking = async {
        // As the shell has the line so far.
        let words: Vec<String> =
            std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
        let session = ConnectionArgs::of_words(&words).open().await?;
        ask(session).await.map_err(|status| Error::of("cannot ask", &status))
    };
    let answer = runtime.block_on(async { tokio::time::timeout(TIMEOUT, asking).await });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    answer.unwrap_or_else(|_| Err(Error::unreachable("it took too long")))
}
