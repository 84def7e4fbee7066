//! The pane of failure groups, largest at the top.

use proto::{
    admin::{FailureGroup, Outcome},
    word,
};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Paragraph},
};

use super::theme::{border, style};
use crate::{
    format::cause,
    output::Tone,
    sanitize::sanitize_line,
    tui::app::{App, Pane},
};

/// Maximum number of desktop ids shown for a group.
const NAMED: usize = 3;

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &mut App) {
    let shown = usize::from(area.height.saturating_sub(2));
    let last = app.failures.len().saturating_sub(shown);
    let first = app.bound(Pane::Failures, 0, isize::try_from(last).unwrap_or(isize::MAX));
    let groups = app.failures.iter().skip(usize::try_from(first).unwrap_or_default()).take(shown);
    let lines: Vec<Line<'_>> = groups.map(|group| line(group, app.colored)).collect();
    let block =
        Block::bordered().title(" Failures ").border_style(border(app.pane == Pane::Failures, app.colored));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn line(group: &FailureGroup, colored: bool) -> Line<'static> {
    let exit = group.exit_code.map_or_else(String::new, |code| format!(" {code}"));
    let how = format!("{}{exit}", word::<Outcome>(group.outcome));
    let said = sanitize_line(cause(group));
    let mut desktops = group.desktop_ids.iter().take(NAMED).cloned().collect::<Vec<_>>().join(",");
    if group.desktop_ids.len() > NAMED {
        desktops.push_str(",...");
    }
    Line::from_iter([
        Span::raw(format!("{:>6} {:>3.0}%  ", group.records, group.share_percent)),
        Span::styled(format!("{how:<14}"), style(Tone::Bad, colored)),
        Span::raw(said),
        Span::styled(format!("  {desktops}"), style(Tone::Dim, colored)),
    ])
}
