//! Layout of the whole screen: header, panes, footer and help.

use std::time::Instant;

use proto::{admin::TaskStatus, word};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::Modifier,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::{events, failures, theme::style, waves};
use crate::{
    follow::{self, left},
    format::runs,
    output::{Tone, tone},
    sanitize::sanitize_line,
    tui::app::{App, Over},
};

/// Minimum width of a screen with events and failures side by side, in columns.
const WIDE: u16 = 140;

/// Draws the parts of the screen that fit.
pub(in crate::tui) fn draw(frame: &mut Frame<'_>, app: &mut App, now: Instant) {
    // The waves take a header, borders and one line each, but at most half of the screen.
    let wanted = u16::try_from(app.rollout.waves.len()).unwrap_or(u16::MAX).saturating_add(3);
    let height = wanted.clamp(4, (frame.area().height / 2).max(4));
    let rows =
        [Constraint::Length(4), Constraint::Length(height), Constraint::Fill(1), Constraint::Length(1)];
    let [head, middle, below, foot] = frame.area().layout(&Layout::vertical(rows));
    self::head(frame, head, app, now);
    waves::draw(frame, middle, app, now);
    lower(frame, below, app);
    self::foot(frame, foot, app);
    match app.over {
        Over::Help => help(frame),
        Over::Nothing | Over::Stop | Over::Confirm(_) => {}
    }
}

/// Draws the events, and the failures if there are any.
fn lower(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    if app.failures.is_empty() {
        return events::draw(frame, area, app);
    }
    let wide = area.width >= WIDE;
    let wanted = u16::try_from(app.failures.len()).unwrap_or(u16::MAX).saturating_add(2);
    let [left, right] = if wide {
        area.layout(&Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]))
    } else {
        let height = wanted.clamp(3, (area.height / 2).max(3));
        area.layout(&Layout::vertical([Constraint::Fill(1), Constraint::Length(height)]))
    };
    events::draw(frame, left, app);
    failures::draw(frame, right, app);
}

fn head(frame: &mut Frame<'_>, area: Rect, app: &App, now: Instant) {
    let colored = app.colored;
    let task = &app.task;
    let status = word::<TaskStatus>(app.rollout.status.into());
    let (size, finished) = app.rollout.totals();
    let time = app.ended_at.unwrap_or(now).duration_since(app.begun);
    let bold = style(tone(status), colored).add_modifier(Modifier::BOLD);
    let first = Line::from_iter([
        Span::raw(format!("task {}  ", task.task_id)),
        Span::styled(status.to_owned(), bold),
        Span::raw(format!("  {finished}/{size} desktops  {}", left(time))),
    ]);
    let by = if task.created_by.is_empty() { String::new() } else { format!("  by {}", task.created_by) };
    let runs = runs(task);
    let second = Line::raw(format!("runs {}{by}", sanitize_line(runs.lines().next().unwrap_or_default())));
    let gauge = gauge(size, finished, area.width, colored);
    frame.render_widget(Paragraph::new(vec![first, second, standing(app), gauge]), area);
}

/// Formats the status line: a question or a notice if there is one, else the most urgent state.
fn standing(app: &App) -> Line<'static> {
    let status = word::<TaskStatus>(app.rollout.status.into());
    let waits = &app.rollout.waiting_for;
    let (tone, text) = if let Some((question, _)) = app.question() {
        (Tone::Warn, question)
    } else if let Some(notice) = &app.notice {
        (if notice.is_bad { Tone::Bad } else { Tone::Good }, notice.text.clone())
    } else if let Some(why) = &app.rollout.lost {
        (Tone::Warn, follow::lost(why))
    } else if app.rollout.over {
        let reason =
            if app.task.reason.is_empty() { String::new() } else { format!(": {}", app.task.reason) };
        (tone(status), format!("{status} (q: leave){reason}"))
    } else if !waits.is_empty() {
        let approves = if app.waits_for_approval() { " (a: approve)" } else { "" };
        (Tone::Warn, format!("waits for {waits}{approves}"))
    } else {
        (Tone::Plain, String::new())
    };
    Line::styled(sanitize_line(&text), style(tone, app.colored))
}

/// Formats the progress of the whole rollout as a bar with its percentage.
fn gauge(size: u32, finished: u32, width: u16, colored: bool) -> Line<'static> {
    let percent = u64::from(finished) * 100 / u64::from(size.max(1));
    let label = format!(" {percent:>3}%");
    let room = u64::from(width).saturating_sub(label.len() as u64);
    let done = usize::try_from(u64::from(finished) * room / u64::from(size.max(1))).unwrap_or_default();
    let rest = usize::try_from(room).unwrap_or_default().saturating_sub(done);
    let [full, empty] = if colored { ["━", "─"] } else { ["=", "-"] };
    Line::from_iter([
        Span::styled(full.repeat(done), style(Tone::Busy, colored)),
        Span::styled(empty.repeat(rest), style(Tone::Dim, colored)),
        Span::raw(label),
    ])
}

fn foot(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let line = if let Some((_, keys)) = app.question() {
        Line::styled(keys, style(Tone::Warn, app.colored).add_modifier(Modifier::BOLD))
    } else if app.rollout.over {
        Line::raw("q leave   Tab pane   arrows scroll   ? help")
    } else {
        let pause = if app.task.paused { "p resume" } else { "p pause" };
        Line::raw(format!("q detach   {pause}   a approve   s stop   Tab pane   arrows scroll   ? help"))
    };
    frame.render_widget(line, area);
}

const HELP: &str = "\
q, Esc, Ctrl-C   leave; the task continues
p                pause: no more scripts start; again to resume (asks)
a                approve the first wave that awaits approval (asks)
s                stop; asks whether to drain or to kill
Tab              select the next pane
arrows, j, k     scroll; PgUp, PgDn, Home, End
bar              succeeded, failed, in flight, pending

press any key to close";

fn help(frame: &mut Frame<'_>) {
    let lines: Vec<&str> = HELP.lines().collect();
    let width = lines.iter().map(|line| line.len()).max().unwrap_or_default() + 4;
    let size = |it: usize| Constraint::Length(u16::try_from(it).unwrap_or(u16::MAX));
    let area = frame.area().centered(size(width), size(lines.len() + 2));
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(" Keys ");
    let lines: Vec<Line<'_>> = lines.into_iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
