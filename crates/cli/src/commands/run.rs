//! `graywave run` and `graywave watch`.

use std::time::SystemTime;

use clap::Args;
use proto::admin::{ListRecordsRequest, PreviewTaskResponse, SubmitTaskRequest, Task, TaskSpec, Warning};

use super::{
    CommonArgs, TaskArgs, confirm, failure_summary,
    guard::{guarded, many_at_once},
    plan::{self, Asked},
    preview, run_output, tasks,
};
use crate::{
    Error, ExitStatus,
    actions::idempotency_key,
    args::{GuardFlags, Payload, TaskFlags, parameters},
    client::{self, Session, repeated},
    field_flags::Overrides,
    follow::{self, follow},
    format::many,
    output::{Console, Format},
    sanitize::sanitize_line,
    tui,
};

/// Begin of the error of a refused run.
const NOT_SUBMITTED: &str = "cannot submit the task";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    every target succeeded
  1    a target failed without halting the rollout, a local error, or declined
  2    invalid command line, or a question without a terminal and --yes
  3    halted by the gate
  4    stopped, or expired
  5    refused: not allowed, not found, or in conflict with the state
  6    control plane unreachable
  130  detached (Ctrl-C); the rollout continues";

const EXAMPLES: &str = "\
Examples:
  graywave run --canary 5 --fail-threshold 2 --tag pool=finance -- reboot
  graywave run patch.sh --all --canary 1% --fail-threshold 20%/10
  graywave run --script patch.sh@3 --desktops-file ids.txt --waves 5:1,10%,rest
  graywave run --desktop d-1,d-2 --type POWERSHELL -- 'Restart-Service Spooler'
  graywave run --all --yes --reason 'fix CVE-2026-1' --ticket OPS-7 -- true";

/// Flags of a submission: whether it asks, and how the command follows it.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct SubmitFlags {
    /// Print the task id and exit instead of following the rollout
    #[arg(long)]
    pub(super) detach: bool,
    /// Show the plan and ask for confirmation first
    #[arg(long, conflicts_with = "quiet")]
    pub(super) ask: bool,
    /// Run without a question, also on many desktops in one wave (`confirm-above` of the context)
    #[arg(long, short, conflicts_with = "ask")]
    pub(super) yes: bool,
    /// Show the plan instead of running it, like `graywave preview`
    #[arg(long, conflicts_with_all = ["detach", "ask", "watch"])]
    pub(super) dry_run: bool,
    /// Follow the rollout on the full screen, like `graywave watch`
    #[arg(long, conflicts_with_all = ["detach", "quiet"])]
    pub(super) watch: bool,
}

/// A task with its desktops and its payload, ready to be submitted.
pub(super) struct Submission {
    pub(super) task: TaskSpec,
    pub(super) payload: Payload,
    pub(super) guard: GuardFlags,
    /// Flags of the wave fields if they differ from the usual ones.
    pub(super) flags: &'static Overrides,
    pub(super) how: SubmitFlags,
    /// Idempotency key; `None` to generate one.
    pub(super) key: Option<String>,
}

/// Arguments of `graywave run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct RunArgs {
    #[command(flatten)]
    task: TaskFlags,
    #[command(flatten)]
    how: SubmitFlags,
    /// Run a repeat with the same key within 24 hours only once [default: generated]
    #[arg(long, value_name = "KEY", conflicts_with_all = ["ask", "expires_in", "dry_run"])]
    idempotency_key: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

/// Arguments of `graywave watch`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXIT_CODES)]
pub struct WatchArgs {
    #[command(flatten)]
    task: TaskArgs,
}

pub(super) async fn run(arguments: RunArgs) -> Result<ExitStatus, Error> {
    let RunArgs { task, how, idempotency_key: key, common } = arguments;
    if how.dry_run {
        let preview = preview::PreviewArgs::of(task, common);
        return preview::preview(preview).await.map(|()| ExitStatus::Success);
    }
    let TaskFlags { payload, desktops, rollout, guard, reason } = task;
    let mut task = TaskSpec { reason: reason.reason, ticket: reason.ticket, ..TaskSpec::default() };
    // Check the local input before the connection, so that a mistake in it is reported first.
    let flags = rollout.overrides();
    rollout.apply(&mut task, SystemTime::now())?;
    task.parameters = parameters(&payload.parameters)?;
    let mut payload = payload.read()?;
    let (session, mut console) = common.open().await?;
    payload.resolve(&session, &task.parameters).await?;
    desktops.apply(&mut task, &session).await?;
    let submission = Submission { task, payload, guard, flags, how, key };
    submit(&session, &mut console, submission).await
}

/// Submits a task after the guards and the question, and follows it unless it is detached.
pub(super) async fn submit(
    session: &Session,
    console: &mut Console,
    submission: Submission,
) -> Result<ExitStatus, Error> {
    let Submission { mut task, mut payload, guard, flags, how, key } = submission;
    let confirm_above = (!how.yes).then_some(session.confirm_above());
    let asked = Asked { doing: NOT_SUBMITTED, flags };
    let plan = guarded(session, console, &mut task, &payload, asked, (guard, confirm_above)).await?;
    let agreed = match confirm::question(how.ask, many_at_once(plan.as_ref(), confirm_above))? {
        Some(_) if key.is_some() => {
            return Err(Error::misused("--idempotency-key needs --yes for this many desktops at once"));
        }
        Some(question) => Some(agreed(session, console, (&mut task, &mut payload), asked, question).await?),
        None => None,
    };
    payload.apply(&mut task, session, console).await?;
    // A repeat of the command would pin the seed of another plan.
    let is_repeatable = agreed.is_none();
    let key = key.unwrap_or_else(idempotency_key);
    let request = SubmitTaskRequest { task: Some(task), idempotency_key: key.clone() };
    let submitted = repeated(async || session.tasks().submit_task(request.clone()).await).await;
    let submitted = submitted
        .map_err(|status| not_submitted(&status, is_repeatable.then_some(&*key), flags))?
        .into_inner();
    let task = submitted.task.unwrap_or_default();
    begun(console, &task, &submitted.warnings);
    if agreed.is_some_and(|plan_hash| plan_hash != task.plan_hash) {
        console.say("warning: the desktops changed after the plan was shown");
    }
    if how.detach {
        return print_id(console, &task).map(|()| ExitStatus::Success);
    }
    follow_new(session, console, &task, how.watch).await
}

/// Follows a new task to its end, with the output of few desktops unless it is on the full screen.
pub(super) async fn follow_new(
    session: &Session,
    console: &mut Console,
    task: &Task,
    on_screen: bool,
) -> Result<ExitStatus, Error> {
    if !on_screen && run_output::is_shown(console, task) {
        let ended = run_output::follow_with_output(session, console, &task.task_id).await?;
        return after_its_end(session, console, &task.task_id, ended).await;
    }
    to_its_end(session, console, &task.task_id, on_screen).await
}

/// Builds the error of a failed submission. After a lost answer the task may exist. A retry with
/// the same idempotency key runs it only once.
fn not_submitted(status: &tonic::Status, key: Option<&str>, flags: &Overrides) -> Error {
    let failure = Error::with_flags(NOT_SUBMITTED, status, flags);
    match failure.exit_status {
        ExitStatus::Unreachable => {
            let failure = failure.try_next("graywave ls: the task may have been accepted");
            match key {
                Some(key) => failure
                    .try_next(format!("the same command with --idempotency-key {key}: it runs only once")),
                None => failure,
            }
        }
        _ => failure,
    }
}

/// Prints the id, the targets and the waves of a new task, and the warnings about its request.
pub(super) fn begun(console: &Console, task: &Task, warnings: &[Warning]) {
    let waves = match task.waves.as_slice() {
        [_] => "one wave".to_owned(),
        waves => {
            let sizes: Vec<String> = waves.iter().take(5).map(|wave| wave.size.to_string()).collect();
            let more = if waves.len() > 5 { ", ..." } else { "" };
            format!("{} waves of {}{more}", waves.len(), sizes.join(", "))
        }
    };
    console.say(&format!("task {}: {} in {waves}", task.task_id, many(task.target_count, "desktop")));
    warnings.iter().for_each(|warning| console.say(&preview::warning(warning)));
}

pub(super) fn print_id(console: &mut Console, task: &Task) -> Result<(), Error> {
    match console.format {
        Format::Table | Format::Wide | Format::Name => console.print(&format!("{}\n", task.task_id)),
        Format::Json | Format::Yaml => tasks::print(console, task),
    }
}

/// Shows the plan, asks for confirmation, and returns the hash of the plan. Pins the seed, the
/// canaries and the script revisions, so that the task runs the shown plan.
async fn agreed(
    session: &Session,
    console: &Console,
    (task, payload): (&mut TaskSpec, &mut Payload),
    asked: Asked,
    question: confirm::Question,
) -> Result<String, Error> {
    let mut looked = task.clone();
    payload.look(&mut looked);
    let plan = plan::ask(session, &looked, false, asked).await?;
    console.say(preview::text(&plan, console.err, false).trim_end());
    console.say("");
    confirm::agree(question, &plan)?;
    pin(task, &plan);
    if let Payload::Scripts(scripts) = payload {
        // A revision saved after the preview was not shown.
        scripts.clone_from(&plan.scripts);
    }
    let mut looked = task.clone();
    payload.look(&mut looked);
    if plan::ask(session, &looked, false, asked).await?.plan_hash != plan.plan_hash {
        return Err(Error::declined("the plan changed before you confirmed; nothing was run")
            .try_next("the same command again"));
    }
    Ok(plan.plan_hash)
}

/// Pins the seed and the canaries of a plan, so that a task keeps it although other desktops
/// connect meanwhile.
fn pin(task: &mut TaskSpec, plan: &PreviewTaskResponse) {
    let canaries = plan.canaries.iter().map(|canary| canary.desktop_id.clone()).collect();
    let rollout = task.rollout.get_or_insert_default();
    let has_waves = !rollout.waves.is_empty();
    let canary = rollout.canary.get_or_insert_default();
    canary.seed = Some(plan.seed);
    if has_waves {
        canary.desktop_ids = canaries;
    } else if plan.gray {
        task.gray_desktop_ids = canaries;
    }
}

/// Follows a task to its end and prints its result.
pub(super) async fn to_its_end(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    on_screen: bool,
) -> Result<ExitStatus, Error> {
    let ended = if on_screen && tui::fits() {
        tui::watch(session, console, task_id).await?
    } else {
        follow(session, console, task_id).await?
    };
    after_its_end(session, console, task_id, ended).await
}

/// Prints the result of a task that was followed to its end.
async fn after_its_end(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    ended: ExitStatus,
) -> Result<ExitStatus, Error> {
    if ended == ExitStatus::Detached {
        return Ok(ended);
    }
    // The task has ended, so a signal exits immediately.
    let leaving = tokio::spawn(async {
        if follow::interrupted().await.is_ok() {
            std::process::exit(ExitStatus::Detached.code().into());
        }
    });
    let shown = show_result(session, console, task_id, ended).await;
    leaving.abort();
    shown
}

/// Prints the result of a rollout. A failure to read the task does not change the exit status.
async fn show_result(
    session: &Session,
    console: &mut Console,
    task_id: &str,
    ended: ExitStatus,
) -> Result<ExitStatus, Error> {
    let task = match client::get_task(session, task_id).await {
        Ok(task) => task,
        Err(failure) => {
            console.say(&format!("the rollout has ended; {failure}"));
            return Ok(ended);
        }
    };
    match tasks::print(console, &task) {
        // A closed output does not change the exit status.
        Err(failure) if failure.is_silent() => {}
        printed => printed?,
    }
    match ended {
        ExitStatus::Success => printed_where(session, console, &task).await,
        _ => failure_summary::print(session, console, &task).await,
    }
    Ok(ended)
}

/// Prints the command that shows the output, for a task with one desktop.
async fn printed_where(session: &Session, console: &Console, task: &Task) {
    if task.target_count != 1 || run_output::is_shown(console, task) {
        return;
    }
    let request = ListRecordsRequest { task_id: task.task_id.clone(), page_size: 1, ..Default::default() };
    let Ok(answer) = session.records().list_records(request).await else { return };
    if let Some(record) = answer.into_inner().records.first() {
        let desktop_id = sanitize_line(&record.desktop_id);
        console.say(&format!("  output: graywave logs {desktop_id} --task {}", task.task_id));
    }
}

pub(super) async fn watch(arguments: WatchArgs) -> Result<ExitStatus, Error> {
    let (session, mut console, task_id) = arguments.task.open().await?;
    to_its_end(&session, &mut console, &task_id, true).await
}

#[cfg(test)]
mod tests {
    use proto::admin::{PreviewCanary, Rollout, WaveSpec};

    use super::*;

    #[test]
    fn agreed_plan_keeps_its_seed_and_canaries() {
        let canary = |id: &str| PreviewCanary { desktop_id: id.into(), ..PreviewCanary::default() };
        let canaries = vec![canary("d-2"), canary("d-1")];
        let plan = PreviewTaskResponse { seed: 7, gray: true, canaries, ..PreviewTaskResponse::default() };
        let mut gray = TaskSpec { gray_count: Some(2), ..TaskSpec::default() };
        pin(&mut gray, &plan);
        let named = ["d-2", "d-1"];
        assert_eq!(gray.gray_desktop_ids, named);
        assert_eq!(gray.rollout.unwrap().canary.unwrap().seed, Some(7));
        let rollout = Rollout { waves: vec![WaveSpec::default()], ..Rollout::default() };
        let mut waves = TaskSpec { rollout: Some(rollout), ..TaskSpec::default() };
        pin(&mut waves, &plan);
        assert_eq!(waves.gray_desktop_ids, [""; 0]);
        assert_eq!(waves.rollout.unwrap().canary.unwrap().desktop_ids, named);
    }
}
