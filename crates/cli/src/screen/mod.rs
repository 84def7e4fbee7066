//! A rollout on the whole screen: what is known of it, what keys do, and how it is drawn.

mod app;
mod command;
mod draw;
mod events;
mod failures;
mod look;
mod waves;
mod work;

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use app::App;
use chrono::Utc;
use command::Command;
use crossterm::event::{Event, EventStream};
use futures::{StreamExt as _, stream::FuturesUnordered};
use ratatui::DefaultTerminal;

use crate::{
    Ended, Failure,
    connect::Session,
    follow::{self, Told},
    found,
    out::{Console, is_dumb},
};

/// How often times and rates are drawn anew where nothing happens.
const TICK: Duration = Duration::from_millis(500);
/// How long what a key asked for is waited for when somebody leaves.
const LAST_WORK: Duration = Duration::from_secs(5);
/// What is under way in the background at most; keys beyond it are not heard.
const MAX_WORK: usize = 8;

/// Whether somebody looks at a terminal with a whole screen, and has keys.
pub(crate) fn fits() -> bool {
    !is_dumb() && std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

/// Shows a rollout until it has ended and a key was pressed, or until somebody leaves: the task runs on then.
pub(crate) async fn watch(session: &Session, console: &Console, task_id: &str) -> Result<Ended, Failure> {
    let task = found::task(session, task_id).await?;
    let age = app::took(&task, Some(Utc::now())).unwrap_or_default();
    let mut app = App::new(task, console.out.colored, Instant::now(), age);
    // From here on the terminal is ours; it is given back whatever happens, in a panic too.
    let mut terminal =
        ratatui::try_init().map_err(|error| Failure::local("the terminal has no whole screen", error))?;
    let ended = shown(&mut terminal, session, &mut app).await;
    ratatui::restore();
    follow::said(ended, console, task_id)
}

async fn shown(terminal: &mut DefaultTerminal, session: &Session, app: &mut App) -> Result<Ended, Failure> {
    let mut told = follow::watch(session, &app.task.task_id);
    let mut is_told = true;
    let task_id = app.task.task_id.clone();
    let mut work = FuturesUnordered::new();
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(TICK);
    let mut interrupted = std::pin::pin!(follow::interrupted());
    let ended = loop {
        terminal
            .draw(|frame| draw::draw(frame, app, Instant::now()))
            .map_err(|error| Failure::local("the screen cannot be drawn", error))?;
        tokio::select! {
            next = told.recv(), if is_told => match next {
                Some(told) => {
                    let told = told?;
                    is_told = told != Told::End;
                    app.told(&told, Instant::now());
                    if !is_told {
                        // Why it ended.
                        work.push(work::perform(session, &task_id, Command::Task));
                    }
                }
                None => is_told = false,
            },
            Some(done) = work.next(), if !work.is_empty() => {
                for done in done {
                    app.done(done, Instant::now());
                }
            }
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => match app.key(key) {
                    Some(Command::Leave) => break app.ended(),
                    Some(command) if work.len() < MAX_WORK => work.push(work::perform(session, &task_id, command)),
                    Some(_) | None => {}
                },
                // Another size, or the like: it is drawn anew.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Failure::local("keys cannot be read", error)),
                // The terminal is gone.
                None => break app.ended(),
            },
            heard = &mut interrupted => {
                heard?;
                break app.ended();
            }
            _ = ticks.tick() => {
                app.tick(Instant::now());
                if work.len() < MAX_WORK && app.wants_failures(Instant::now()) {
                    work.push(work::perform(session, &task_id, Command::Failures));
                }
            }
        }
    };
    // What a key asked for is not left half-done.
    drop(tokio::time::timeout(LAST_WORK, async { while work.next().await.is_some() {} }).await);
    Ok(ended)
}
