//! The pane of waves: one line per wave, with the current wave in sight.

use std::time::Instant;

use proto::{admin::WaveStatus, word};
use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
    widgets::{Block, Cell, Row, Table},
};

use super::theme::{border, style};
use crate::{
    follow::{BAR_SIGNS, BAR_TONES, WaveNow, bar_of, left},
    output::tone,
    tui::app::{App, Pane},
};

/// Minimum width of a pane with the gate's verdicts, in columns.
const WIDE: u16 = 140;

/// Columns of the table: header and width. The bar has the empty header.
const COLUMNS: [(&str, u16); 9] = [
    ("WAVE", 4),
    ("STATUS", 7),
    ("", 0),
    ("DONE", 12),
    ("FAILED", 10),
    ("RUNNING", 7),
    ("OFFLINE", 7),
    ("RATE", 7),
    ("LEFT", 6),
];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App, now: Instant) {
    let shown = usize::from(area.height.saturating_sub(3));
    let first = first(app, shown);
    let wide = area.width >= WIDE;
    // The bar takes the space that the numbers leave. On a wide terminal, the gate's verdicts share
    // this space.
    let fixed: u16 = COLUMNS.iter().map(|(_, width)| width + 1).sum();
    let room = area.width.saturating_sub(fixed + 2);
    let bar = if wide { room * 2 / 5 } else { room }.max(4);
    let waves = app.rollout.waves.iter().skip(first).take(shown);
    let rows: Vec<Row<'_>> = waves.map(|wave| row(wave, bar, wide, app.colored, now)).collect();
    let mut widths: Vec<Constraint> = COLUMNS
        .iter()
        .map(|(head, width)| Constraint::Length(if head.is_empty() { bar } else { *width }))
        .collect();
    let mut heads: Vec<&str> = COLUMNS.iter().map(|(head, _)| *head).collect();
    if wide {
        widths.push(Constraint::Fill(1));
        heads.push("GATE");
    }
    let title = match app.rollout.waves.len() {
        there if there > shown => format!(" Waves {}-{} of {there} ", first + 1, (first + shown).min(there)),
        _ => " Waves ".to_owned(),
    };
    let block = Block::bordered().title(title).border_style(border(app.pane == Pane::Waves, app.colored));
    let head = Row::new(heads).style(style(crate::output::Tone::Dim, app.colored));
    frame.render_widget(Table::new(rows, widths).header(head).block(block), area);
}

/// Returns the index of the first shown wave: close to the current wave, unless the user scrolls.
fn first(app: &mut App, shown: usize) -> usize {
    let waves = &app.rollout.waves;
    let at_work =
        waves.iter().position(|wave| wave.wave.status() != WaveStatus::Closed).unwrap_or(waves.len());
    let last = waves.len().saturating_sub(shown);
    let first = at_work.saturating_sub(shown / 3).min(last);
    let signed = |it: usize| isize::try_from(it).unwrap_or(isize::MAX);
    let scrolled = app.bound(Pane::Waves, -signed(first), signed(last - first));
    first.saturating_add_signed(scrolled)
}

fn row(wave: &WaveNow, bar: u16, wide: bool, colored: bool, now: Instant) -> Row<'static> {
    let it = &wave.wave;
    let status = word::<WaveStatus>(it.status);
    let limit =
        if it.fail_threshold.is_empty() { String::new() } else { format!(" of {}", it.fail_threshold) };
    let failed = if it.failed > 0 { crate::output::Tone::Bad } else { crate::output::Tone::Plain };
    let rate = wave.rate(now);
    let mut cells = vec![
        Cell::from(format!("{:>4}", it.wave)),
        Cell::from(Span::styled(status, style(tone(status), colored))),
        Cell::from(bar_line(wave, bar, colored)),
        Cell::from(format!("{}/{}", wave.finished(), it.size)),
        Cell::from(Span::styled(format!("{}{limit}", it.failed), style(failed, colored))),
        Cell::from(format!("{:>7}", it.in_flight)),
        Cell::from(format!("{:>7}", it.waiting)),
        Cell::from(rate.map_or_else(String::new, |rate| format!("{rate:.1}/s"))),
        Cell::from(wave.left(now).map_or_else(String::new, left)),
    ];
    if wide {
        cells.push(Cell::from(it.verdict.clone()));
    }
    Row::new(cells)
}

fn bar_line(wave: &WaveNow, width: u16, colored: bool) -> Line<'static> {
    let parts = bar_of(wave, width.into()).into_iter().zip(BAR_SIGNS[usize::from(colored)]).zip(BAR_TONES);
    let spans =
        parts.map(|((part, sign), tone)| Span::styled(sign.repeat(part as usize), style(tone, colored)));
    Line::from_iter(spans)
}
