//! The follower of a task: shows progress until the task ends or the user detaches.

use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::{Rollout, Update, View, bars, lines, watch};
use crate::{Error, ExitStatus, actions, client::Session, output::Console};

/// Interval at which rates and times are redrawn without updates.
const TICK: Duration = Duration::from_secs(1);

/// Follows a task to its end, with bars on a terminal and with lines elsewhere. Ctrl-C detaches;
/// the task continues.
pub(crate) async fn follow(session: &Session, console: &Console, task_id: &str) -> Result<ExitStatus, Error> {
    let mut view: Box<dyn View + '_> = match (console.quiet, bars::fits()) {
        (true, _) => Box::new(Quiet),
        (false, true) => Box::new(bars::Bars::new(console.err)),
        (false, false) => Box::new(lines::Lines::new(console)),
    };
    let ended = to_the_end(session, task_id, &mut *view).await;
    view.end();
    said(ended, console, task_id)
}

/// Follows a task to its end, and prints only its events: the output of its scripts is printed at
/// the same time.
pub(crate) async fn follow_beside_output(
    session: &Session,
    console: &Console,
    task_id: &str,
) -> Result<ExitStatus, Error> {
    let ended = to_the_end(session, task_id, &mut lines::Lines::of_events(console)).await;
    said(ended, console, task_id)
}

/// Prints how to continue after a detach or a lost connection, and returns the result.
pub(crate) fn said(
    ended: Result<ExitStatus, Error>,
    console: &Console,
    task_id: &str,
) -> Result<ExitStatus, Error> {
    match ended {
        Ok(ExitStatus::Detached) => console.say(&detached(task_id)),
        Err(failure) if failure.exit_status == ExitStatus::Unreachable => {
            console.say("the task continues");
            return Err(failure.try_next(format!("graywave watch {task_id}")));
        }
        Ok(_) | Err(_) => {}
    }
    ended
}

/// Returns a hint for a rollout that awaits approval; `None` for any other rollout.
fn hint(rollout: &Rollout, task_id: &str) -> Option<String> {
    let next = rollout.next_held()?;
    let command = actions::approve_command(task_id, next);
    Some(format!("wave {} awaits approval\n  try: {command}", next.wave))
}

/// Waits for Ctrl-C, a `kill` (SIGTERM), or a closed terminal (SIGHUP).
pub(crate) async fn interrupted() -> Result<(), Error> {
    let cannot = |error: std::io::Error| Error::local("cannot handle signals", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(cannot),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// Formats the message after a detach, with the commands that watch and stop the task.
fn detached(task_id: &str) -> String {
    format!(
        "detached; the task continues\n  watch: graywave watch {task_id}\n  stop:  graywave stop {task_id}"
    )
}

async fn to_the_end(session: &Session, task_id: &str, view: &mut dyn View) -> Result<ExitStatus, Error> {
    let mut update = watch(session, task_id);
    let mut rollout = Rollout::default();
    let mut hinted = None;
    let mut ticks = tokio::time::interval(TICK);
    // Created once, so that a signal between two iterations is not lost.
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        tokio::select! {
            next = update.recv() => {
                let update = next.unwrap_or(Ok(Update::End))?;
                let now = Instant::now();
                rollout.apply(&update, now);
                view.apply(&rollout, &update, now);
                let hint = hint(&rollout, task_id);
                if let Some(hint) = hint.as_ref().filter(|_| hint != hinted) {
                    view.say(hint);
                }
                hinted = hint;
                if update == Update::End {
                    return Ok(ExitStatus::of_task(rollout.status));
                }
            }
            _ = ticks.tick() => view.tick(&rollout, Instant::now()),
            heard = &mut interrupted => return heard.map(|()| ExitStatus::Detached),
        }
    }
}

/// View that shows nothing, for `--quiet`.
struct Quiet;

impl View for Quiet {
    fn apply(&mut self, _: &Rollout, _: &Update, _: Instant) {}
    fn say(&mut self, _: &str) {}
    fn tick(&mut self, _: &Rollout, _: Instant) {}
    fn end(&mut self) {}
}
