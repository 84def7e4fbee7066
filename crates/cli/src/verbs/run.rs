//! `graywave run` and `graywave watch`.

use std::{io::IsTerminal as _, time::SystemTime};

use clap::Args;
use proto::{
    admin::{
        FailureGroup, ListFailuresRequest, ListRecordsRequest, Outcome, SubmitTaskRequest, Task, TaskSpec,
    },
    word,
};

use super::{Common, preview, tasks};
use crate::{
    Ended, Failure,
    changes::idempotency_key,
    connect::{Session, repeated},
    flags::Overrides,
    follow::{self, follow},
    found,
    out::{Console, Format, harmless_line},
    screen,
    spec::{DesktopFlags, Payload, PayloadFlags, RolloutFlags},
    task_argument::TaskNamed,
    told::many,
};

/// How many groups of failures are told of a rollout that did not succeed.
const FAILURES: i32 = 3;

pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 the rollout succeeded everywhere, 1 something failed, 2 the command line makes no sense, 3 the gate halted it,
4 it was stopped or its time was over, 5 it was refused, 6 nobody answers, 130 detached by Ctrl-C: the rollout runs on.";

const EXAMPLES: &str = "\
Examples:
  graywave run --canary 5 --fail-threshold 2 --tag pool=finance -- systemctl restart agent
  graywave run patch.sh --canary 1% --fail-threshold 20%/10 --all --strict --total-fail-threshold 50
  graywave run --script 0192f3c45e6b7a8c9d0e1f2a3b4c5d6e --desktops-file ids.txt --waves 5:1,10%:2%/50,rest --soak 10m --approve-before 2
  graywave run --desktop desktop-1,desktop-2 --type POWERSHELL -- 'Restart-Service Spooler'";

/// What, where and how.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct RunArguments {
    #[command(flatten)]
    payload: PayloadFlags,
    #[command(flatten)]
    desktops: DesktopFlags,
    #[command(flatten)]
    rollout: RolloutFlags,
    /// Do not follow it: print the task's id and end
    #[arg(long)]
    detach: bool,
    /// Show the plan first, and ask
    #[arg(long, conflicts_with = "quiet")]
    ask: bool,
    /// Follow it on the whole screen, as `graywave watch` does
    #[arg(long, conflicts_with_all = ["detach", "quiet"])]
    watch: bool,
    /// Makes it safe to give the same command again for 24 hours: it is done once. One is made when it is left out. Not with
    /// --ask and --expires-in, which make each command another one
    #[arg(long, value_name = "KEY", conflicts_with_all = ["ask", "expires_in"])]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Which rollout.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct WatchArguments {
    #[command(flatten)]
    task: TaskNamed,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(arguments: RunArguments) -> Result<Ended, Failure> {
    let RunArguments { payload, desktops, rollout, detach, ask, watch, idempotency_key: key, common } =
        arguments;
    let (session, mut console) = common.open().await?;
    let mut task = TaskSpec::default();
    // What this machine can tell is wrong is told before a script is saved.
    let flags = rollout.overrides();
    rollout.apply(&mut task, SystemTime::now())?;
    let payload = payload.read()?;
    desktops.apply(&mut task, &session).await?;
    let mut payload = payload;
    let agreed =
        if ask { Some(agreed(&session, &console, &mut task, &mut payload, flags).await?) } else { None };
    payload.apply(&mut task, &session, &console).await?;
    let key = key.unwrap_or_else(idempotency_key);
    let request = SubmitTaskRequest { task: Some(task), idempotency_key: key.clone() };
    let submitted = repeated(async || session.tasks().submit_task(request.clone()).await).await;
    let task = submitted
        .map_err(|status| not_submitted(&status, &key, flags))?
        .into_inner()
        .task
        .unwrap_or_default();
    begun(&console, &task);
    if agreed.is_some_and(|plan_hash| plan_hash != task.plan_hash) {
        console.say(
            "its desktops are others than those that the plan was shown for: somebody changed them meanwhile",
        );
    }
    if detach {
        return print_id(&mut console, &task).map(|()| Ended::Success);
    }
    to_its_end(&session, &mut console, &task.task_id, watch).await
}

/// It may have been accepted although nobody said so: the same key finds out without running it twice.
fn not_submitted(status: &tonic::Status, key: &str, flags: &Overrides) -> Failure {
    let failure = Failure::with_flags("cannot run it", status, flags);
    match failure.ended {
        Ended::Unreachable => failure.try_next("graywave ls: it may have been accepted").try_next(format!(
            "the same with --idempotency-key {key}: it is run once, whatever became of this"
        )),
        _ => failure,
    }
}

/// What was accepted, before anything is seen of it.
pub(super) fn begun(console: &Console, task: &Task) {
    let waves = match task.waves.as_slice() {
        [_] => "one wave".to_owned(),
        waves => {
            let sizes: Vec<String> = waves.iter().take(5).map(|wave| wave.size.to_string()).collect();
            let more = if waves.len() > 5 { ", ..." } else { "" };
            format!("{} waves of {}{more}", waves.len(), sizes.join(", "))
        }
    };
    console.say(&format!("task {}: {} in {waves}", task.task_id, many(task.target_count, "desktop")));
    let is_unbounded =
        task.fail_threshold.is_empty() && task.waves.iter().all(|wave| wave.fail_threshold.is_empty());
    if is_unbounded && task.target_count > 1 {
        console.say("no threshold halts it: --canary 5 would run 5 first, and --total-fail-threshold 2 halt it at two failures");
    }
}

pub(super) fn print_id(console: &mut Console, task: &Task) -> Result<(), Failure> {
    match console.format {
        Format::Table | Format::Wide | Format::Name => console.print(&format!("{}\n", task.task_id)),
        Format::Json | Format::Yaml => tasks::print(console, task),
    }
}

/// Shows the plan, and returns its hash when it may run. The task keeps to it: its canaries are drawn alike.
async fn agreed(
    session: &Session,
    console: &Console,
    task: &mut TaskSpec,
    payload: &mut Payload,
    flags: &Overrides,
) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::misused("--ask needs a terminal to ask at")
            .try_next("graywave preview, and then run without --ask"));
    }
    let mut looked = task.clone();
    payload.look(&mut looked);
    let plan = preview::ask(session, &looked, false, flags).await?;
    console.say(preview::text(&plan, console.err, false).trim_end());
    console.say("\nrun it? [y/N]");
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .map_err(|error| Failure::local("cannot read the answer", error))?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        return Err(Failure::declined("nothing was run"));
    }
    let rollout = task.rollout.get_or_insert_default();
    rollout.canary.get_or_insert_default().seed = Some(plan.seed);
    if let Payload::Scripts(scripts) = payload {
        // What is the newest revision by then was not shown.
        scripts.clone_from(&plan.scripts);
    }
    let mut looked = task.clone();
    payload.look(&mut looked);
    if preview::ask(session, &looked, false, flags).await?.plan_hash != plan.plan_hash {
        return Err(Failure::declined("the plan has changed while it was looked at, and nothing was run")
            .try_next("the same again"));
    }
    Ok(plan.plan_hash)
}

/// Follows a task and prints what it came to.
pub(super) async fn to_its_end(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    on_screen: bool,
) -> Result<Ended, Failure> {
    let ended = if on_screen && screen::fits() {
        screen::watch(session, console, task_id).await?
    } else {
        follow(session, console, task_id).await?
    };
    if ended == Ended::Detached {
        return Ok(ended);
    }
    // It has ended: who wants this to end as well waits for nobody.
    let leaving = tokio::spawn(async {
        if follow::interrupted().await.is_ok() {
            std::process::exit(Ended::Detached.code().into());
        }
    });
    let told = tell(session, console, task_id, ended).await;
    leaving.abort();
    told
}

/// What a rollout came to. How it ended counts also where this cannot be told.
async fn tell(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    ended: Ended,
) -> Result<Ended, Failure> {
    let task = match found::task(session, task_id).await {
        Ok(task) => task,
        Err(failure) => {
            console.say(&format!("it has ended; {failure}"));
            return Ok(ended);
        }
    };
    match tasks::print(console, &task) {
        // How it ended counts also where nobody reads it.
        Err(failure) if failure.is_silent() => {}
        printed => printed?,
    }
    match ended {
        Ended::Success => printed_where(session, console, &task).await,
        _ => hint(session, console, task_id).await,
    }
    Ok(ended)
}

/// Where to look for what the one desktop of a task printed.
async fn printed_where(session: &Session, console: &Console, task: &Task) {
    if task.target_count != 1 {
        return;
    }
    let request = ListRecordsRequest { task_id: task.task_id.clone(), page_size: 1, ..Default::default() };
    let Ok(answer) = session.records().list_records(request).await else { return };
    if let Some(record) = answer.into_inner().records.first() {
        let desktop_id = harmless_line(&record.desktop_id);
        console.say(&format!("  what it printed: graywave logs {desktop_id} --task {}", task.task_id));
    }
}

/// Where to look first. What cannot be had is left out: the rollout's end is told already.
async fn hint(session: &Session, console: &Console, task_id: &str) {
    let request = ListFailuresRequest {
        task_id: task_id.to_owned(),
        page_size: FAILURES,
        ..ListFailuresRequest::default()
    };
    let Ok(answer) = session.insight().list_failures(request).await else { return };
    for group in answer.into_inner().groups {
        console.say(&alike(&group));
        let desktop_id = group.desktop_ids.first().filter(|_| !group.sample.is_empty());
        if let Some(desktop_id) = desktop_id.map(|id| harmless_line(id)) {
            console.say(&format!("  see: graywave logs {desktop_id} --task {task_id}"));
        }
    }
    console.say(&format!("  see: graywave failures {task_id}"));
}

/// Failures of a kind in a line: `3 FAILED with exit code 1: broken pipe`.
fn alike(group: &FailureGroup) -> String {
    let exit = group.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
    let last = harmless_line(group.sample.trim_end().lines().last().unwrap_or_default());
    let said = if last.is_empty() { String::new() } else { format!(": {last}") };
    format!("{} {}{exit}{said}", group.records, word::<Outcome>(group.outcome))
}

pub(super) async fn watch(arguments: WatchArguments) -> Result<Ended, Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let task_id = arguments.task.id(&session).await?;
    to_its_end(&session, &mut console, &task_id, true).await
}
