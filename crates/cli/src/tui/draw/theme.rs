//! Styles of tones, with colours and without them.

use ratatui::style::{Color, Modifier, Style};

use crate::output::Tone;

/// Returns the style of a tone. Without colours, it uses bold and dim text.
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

/// Returns the style of a pane's border; the selected pane is bold.
pub(super) fn border(is_chosen: bool, colored: bool) -> Style {
    if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { style(Tone::Dim, colored) }
}
