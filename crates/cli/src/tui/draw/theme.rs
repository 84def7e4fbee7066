//! Colours, or what stands for them where there are none.

use ratatui::style::{Color, Modifier, Style};

use crate::output::Tone;

/// How something of this meaning looks.
pub(super) fn style(tone: Tone, colored: bool) -> Style {
    let style = Style::new();
    if !colored {
        return match tone {
            Tone::Bad | Tone::Warn => style.add_modifier(Modifier::BOLD),
            Tone::Dim => style.add_modifier(Modifier::DIM),
            Tone::Plain | Tone::Good | Tone::Busy => style,
        };
    }
    match tone {
        Tone::Plain => style,
        Tone::Good => style.fg(Color::Green),
        Tone::Bad => style.fg(Color::Red),
        Tone::Busy => style.fg(Color::Cyan),
        Tone::Warn => style.fg(Color::Yellow),
        Tone::Dim => style.fg(Color::DarkGray),
    }
}

/// The border of a pane: the one that is scrolled in is bright.
pub(super) fn border(is_chosen: bool, colored: bool) -> Style {
    if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { style(Tone::Dim, colored) }
}
