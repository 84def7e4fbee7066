//! The event loop of the full-screen view.

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use chrono::Utc;
use crossterm::event::{Event, EventStream};
use futures::{StreamExt as _, stream::FuturesUnordered};
use ratatui::DefaultTerminal;

use super::{
    app::{self, App},
    background,
    command::Command,
    draw::draw,
};
use crate::{
    Error, ExitStatus,
    client::{self, Session},
    follow::{self, Update},
    output::{Console, is_dumb},
};

/// Interval at which times and rates are redrawn without events.
const TICK: Duration = Duration::from_millis(500);
/// Maximum wait for running commands after the user leaves.
const LAST_WORK: Duration = Duration::from_secs(5);
/// Maximum number of commands in the background. Further keys are ignored.
const MAX_WORK: usize = 8;

/// Reports whether standard input and output are a terminal that can show a full screen.
pub(crate) fn fits() -> bool {
    !is_dumb() && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Shows a rollout until the user leaves. The task continues if it has not ended.
pub(crate) async fn watch(session: &Session, console: &Console, task_id: &str) -> Result<ExitStatus, Error> {
    let task = client::get_task(session, task_id).await?;
    let age = app::took(&task, Some(Utc::now())).unwrap_or_default();
    let mut app = App::new(task, console.out.colored, Instant::now(), age);
    // From here the screen owns the terminal. It is restored below, and also after a panic.
    let mut terminal =
        ratatui::try_init().map_err(|error| Error::local("cannot use the full screen", error))?;
    let ended = shown(&mut terminal, session, &mut app).await;
    ratatui::restore();
    follow::said(ended, console, task_id)
}

async fn shown(
    terminal: &mut DefaultTerminal,
    session: &Session,
    app: &mut App,
) -> Result<ExitStatus, Error> {
    let mut update = follow::watch(session, &app.task.task_id);
    let mut is_open = true;
    let task_id = app.task.task_id.clone();
    let mut work = FuturesUnordered::new();
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(TICK);
    let mut interrupted = std::pin::pin!(follow::interrupted());
    let ended = loop {
        terminal
            .draw(|frame| draw(frame, app, Instant::now()))
            .map_err(|error| Error::local("cannot draw the screen", error))?;
        tokio::select! {
            next = update.recv(), if is_open => match next {
                Some(update) => {
                    let update = update?;
                    is_open = update != Update::End;
                    app.apply(&update, Instant::now());
                    if !is_open {
                        // Read the reason of the end.
                        work.push(background::perform(session, &task_id, Command::Task));
                    }
                }
                None => is_open = false,
            },
            Some(done) = work.next(), if !work.is_empty() => {
                for done in done {
                    app.done(done, Instant::now());
                }
            }
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => match app.key(key, Instant::now()) {
                    Some(Command::Leave) => break app.exit_status(),
                    Some(command) if work.len() < MAX_WORK => work.push(background::perform(session, &task_id, command)),
                    Some(_) | None => {}
                },
                // A resize and other events only redraw the screen.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Error::local("cannot read keys", error)),
                // The terminal was closed.
                None => break app.exit_status(),
            },
            heard = &mut interrupted => {
                heard?;
                break app.exit_status();
            }
            _ = ticks.tick() => {
                app.tick(Instant::now());
                if work.len() < MAX_WORK && app.wants_failures(Instant::now()) {
                    work.push(background::perform(session, &task_id, Command::Failures));
                }
            }
        }
    };
    // Let running commands finish, so that none is left half-done.
    drop(tokio::time::timeout(LAST_WORK, async { while work.next().await.is_some() {} }).await);
    Ok(ended)
}
