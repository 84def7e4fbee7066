//! A rollout as it goes on: what is told of it, what is known by then, and how it is shown.

mod bars;
mod lines;
mod rate;
mod rollout;
mod shown;
mod watching;

use std::time::{Duration, Instant};

pub(crate) use lines::lost;
pub(crate) use rollout::{Rollout, WaveNow};
pub(crate) use shown::{BAR_SIGNS, BAR_TONES, bar_of, event_line, left};
pub(crate) use watching::{Told, watch};

use tokio::signal::unix::{SignalKind, signal};

use crate::{Ended, Failure, connect::Session, out::Console};

/// How often rates and times are shown anew where nothing is told.
const TICK: Duration = Duration::from_secs(1);

/// How somebody sees a rollout go on.
trait Show {
    /// Something was told.
    fn told(&mut self, rollout: &Rollout, told: &Told, now: Instant);
    /// A line that stays.
    fn say(&mut self, line: &str);
    /// Time went by.
    fn tick(&mut self, rollout: &Rollout, now: Instant);
    /// It is over, or nobody looks any more.
    fn end(&mut self);
}

/// Follows a task to its end, with bars on a terminal and with lines elsewhere. Ctrl-C ends the looking, not the task.
pub(crate) async fn follow(session: &Session, console: &Console, task_id: &str) -> Result<Ended, Failure> {
    let mut show: Box<dyn Show + '_> = match (console.quiet, bars::fits()) {
        (true, _) => Box::new(Quiet),
        (false, true) => Box::new(bars::Bars::new(console.err)),
        (false, false) => Box::new(lines::Lines::new(console)),
    };
    let ended = to_the_end(session, task_id, &mut *show).await;
    show.end();
    said(ended, console, task_id)
}

/// Says how it goes on where nobody looks any more.
pub(crate) fn said(
    ended: Result<Ended, Failure>,
    console: &Console,
    task_id: &str,
) -> Result<Ended, Failure> {
    match ended {
        Ok(Ended::Detached) => console.say(&detached(task_id)),
        Err(failure) if failure.ended == Ended::Unreachable => {
            console.say("the task runs on, whoever looks");
            return Err(failure.try_next(format!("graywave watch {task_id}")));
        }
        Ok(_) | Err(_) => {}
    }
    ended
}

/// What somebody may do about what a rollout waits for.
fn hint(rollout: &Rollout, task_id: &str) -> Option<String> {
    let wave = rollout.waits_for_approval().filter(|_| rollout.waiting_for.contains("approval"))?;
    Some(format!("to approve wave {wave}: graywave approve {task_id}"))
}

/// Somebody wants it to end: Ctrl-C, a `kill`, or a terminal that is gone.
pub(crate) async fn interrupted() -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::local("signals cannot be heard", error);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(cannot)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(cannot),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// How to come back.
pub(crate) fn detached(task_id: &str) -> String {
    format!(
        "detached: the task runs on\n  come back: graywave watch {task_id}\n  stop it:   graywave stop {task_id}"
    )
}

async fn to_the_end(session: &Session, task_id: &str, show: &mut dyn Show) -> Result<Ended, Failure> {
    let mut told = watch(session, task_id);
    let mut rollout = Rollout::default();
    let mut hinted = None;
    let mut ticks = tokio::time::interval(TICK);
    // Heard from here on, also between two looks.
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        tokio::select! {
            next = told.recv() => {
                let told = next.unwrap_or(Ok(Told::End))?;
                let now = Instant::now();
                rollout.told(&told, now);
                show.told(&rollout, &told, now);
                let hint = hint(&rollout, task_id);
                if let Some(hint) = hint.as_ref().filter(|_| hint != hinted) {
                    show.say(hint);
                }
                hinted = hint;
                if told == Told::End {
                    return Ok(Ended::of_task(rollout.status));
                }
            }
            _ = ticks.tick() => show.tick(&rollout, Instant::now()),
            heard = &mut interrupted => return heard.map(|()| Ended::Detached),
        }
    }
}

/// Nobody wants to see it.
struct Quiet;

impl Show for Quiet {
    fn told(&mut self, _: &Rollout, _: &Told, _: Instant) {}
    fn say(&mut self, _: &str) {}
    fn tick(&mut self, _: &Rollout, _: Instant) {}
    fn end(&mut self) {}
}
