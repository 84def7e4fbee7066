//! The pane of events, newest at the bottom.

use ratatui::{
    Frame,
    layout::Rect,
    text::Line,
    widgets::{Block, Paragraph},
};

use super::theme::{border, style};
use crate::{
    follow::event_line,
    tui::app::{App, Pane},
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let shown = usize::from(area.height.saturating_sub(2));
    let last = app.rollout.events.len().saturating_sub(shown);
    let up = app.bound(Pane::Events, -isize::try_from(last).unwrap_or(isize::MAX), 0);
    let first = last.saturating_add_signed(up);
    let lines = app.rollout.events.iter().skip(first).take(shown).map(|event| {
        let (tone, line) = event_line(event);
        Line::styled(line, style(tone, app.colored))
    });
    let title = if up < 0 { " Events (older; End for the newest) " } else { " Events " };
    let block = Block::bordered().title(title).border_style(border(app.pane == Pane::Events, app.colored));
    let lines: Vec<Line<'_>> = lines.collect();
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
