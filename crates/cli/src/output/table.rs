//! Tables with aligned columns.

use comfy_table::{Attribute, CellAlignment, ColumnConstraint, Table, Width, presets};
use prost::{Message, Name};

use super::color::{Palette, Tone, tone};
use crate::{id_prefix::short, sanitize::sanitize_line};

/// A column of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) head: &'static str,
    /// Shown only with `-o wide`.
    pub(crate) wide: bool,
    /// Right-aligned, for numbers.
    pub(crate) right: bool,
    /// A generated id, shortened unless `-o wide`.
    pub(crate) is_id: bool,
}

impl Column {
    pub(crate) const fn text(head: &'static str) -> Self {
        Self { head, wide: false, right: false, is_id: false }
    }

    pub(crate) const fn number(head: &'static str) -> Self {
        Self { right: true, ..Self::text(head) }
    }

    pub(crate) const fn id(head: &'static str) -> Self {
        Self { is_id: true, ..Self::text(head) }
    }

    pub(crate) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }
}

/// Text of one table cell, and its tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// Makes a plain cell. Empty text becomes a dash, so that the columns stay distinguishable.
pub(crate) fn cell(text: impl ToString) -> Cell {
    Cell { text: one_line(&text.to_string()), tone: Tone::Plain }
}

impl Cell {
    /// Makes a cell in the tone of its word.
    pub(crate) fn word(word: &str) -> Self {
        Self { tone: tone(word), ..cell(word) }
    }

    pub(crate) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    /// Shortens a generated id.
    fn short(self) -> Self {
        Self { text: short(&self.text).to_owned(), ..self }
    }
}

/// Reduces text to one line. Control characters become blanks, and empty text becomes a dash.
fn one_line(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() {
        return "-".to_owned();
    }
    sanitize_line(text)
}

/// An entry of a list, printed as one line.
pub(crate) trait ListItem: Message + Name {
    /// Columns of the list, in order.
    const COLUMNS: &'static [Column];

    /// Returns one cell per column, in the order of [`Self::COLUMNS`].
    fn cells(&self) -> Vec<Cell>;

    /// Returns the id, which `-o name` prints.
    fn id(&self) -> &str;
}

/// Renders the lines of a table. `widths` are the column widths of the earlier pages. They grow to
/// the widths of these rows, so that the pages of a long list align.
pub(super) fn lines(
    columns: &[Column],
    rows: impl Iterator<Item = Vec<Cell>>,
    with_head: bool,
    wide: bool,
    palette: Palette,
    widths: &mut Vec<u16>,
) -> String {
    let shown = |index: usize| columns.get(index).is_some_and(|column| wide || !column.wide);
    let is_short = |index: usize| !wide && columns.get(index).is_some_and(|column| column.is_id);
    let pick = |cells: Vec<Cell>| {
        let cells = cells.into_iter().enumerate().filter(|(index, _)| shown(*index));
        cells.map(|(index, cell)| if is_short(index) { cell.short() } else { cell })
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if palette.colored {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    if with_head {
        let head = columns.iter().map(|column| Cell { text: column.head.to_uppercase(), tone: Tone::Plain });
        table.add_row(
            pick(head.collect()).map(|cell| comfy_table::Cell::new(cell.text).add_attribute(Attribute::Bold)),
        );
    }
    for row in rows {
        table.add_row(pick(row).map(|cell| {
            let shown = comfy_table::Cell::new(cell.text);
            match cell.tone.color() {
                Some(color) => shown.fg(color),
                None => shown,
            }
        }));
    }
    for (place, column) in columns.iter().filter(|column| wide || !column.wide).enumerate() {
        let Some(shown) = table.column_mut(place) else { continue };
        shown.set_padding((0, 2));
        if column.right {
            shown.set_cell_alignment(CellAlignment::Right);
        }
        if let Some(width) = widths.get(place) {
            shown.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*width)));
        }
    }
    *widths = table
        .column_max_content_widths()
        .iter()
        .zip(widths.iter().chain(std::iter::repeat(&0)))
        .map(|(new, old)| (new + 2).max(*old))
        .collect();
    table.lines().map(|line| without_tail(&line) + "\n").collect()
}

/// Removes blanks at the end of a line, also those before the codes that end a colour.
fn without_tail(line: &str) -> String {
    let mut rest = line.trim_end();
    let mut codes = Vec::new();
    while let Some(start) = rest.rfind("\u{1b}[").filter(|start| is_color(rest.get(*start..))) {
        codes.push(rest.get(start..).unwrap_or_default());
        rest = rest.get(..start).unwrap_or_default().trim_end();
    }
    codes.into_iter().rev().fold(rest.to_owned(), |line, code| line + code)
}

/// Reports whether the text is one code that sets or ends a colour.
fn is_color(text: Option<&str>) -> bool {
    let code = text.and_then(|text| text.strip_prefix("\u{1b}[")?.strip_suffix('m'));
    code.is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'))
}

/// Renders a whole table with its header.
pub(crate) fn table(
    columns: &[Column],
    rows: impl Iterator<Item = Vec<Cell>>,
    wide: bool,
    palette: Palette,
) -> String {
    lines(columns, rows, true, wide, palette, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [Column::text("name"), Column::number("n"), Column::text("more").wide()];

    fn rows(names: &[(&str, u32)]) -> impl Iterator<Item = Vec<Cell>> {
        names.iter().map(|(name, n)| vec![cell(name), cell(n), cell("m")])
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_tails() {
        let text = table(&COLUMNS, rows(&[("a", 1), ("long", 20), ("", 3)]), false, Palette::default());
        assert_eq!(text, "NAME   N\na      1\nlong  20\n-      3\n");
        let text = table(&COLUMNS, rows(&[("a", 1)]), true, Palette::default());
        assert_eq!(text, "NAME  N  MORE\na     1  m\n");
    }

    #[test]
    fn generated_ids_are_short_unless_wide() {
        const IDS: [Column; 1] = [Column::id("task")];
        let id = "01a22ee6b00070008000000000000000";
        let shown = |wide| table(&IDS, std::iter::once(vec![cell(id)]), wide, Palette::default());
        assert_eq!(shown(false), "TASK\n01a22ee6b000\n");
        assert_eq!(shown(true), format!("TASK\n{id}\n"));
    }

    #[test]
    fn the_next_page_stands_below_the_one_before() {
        let mut widths = Vec::new();
        let mut page = |names: &[(&str, u32)], head| {
            lines(&COLUMNS, rows(names), head, false, Palette::default(), &mut widths)
        };
        assert_eq!(page(&[("longer", 1)], true), "NAME    N\nlonger  1\n");
        assert_eq!(page(&[("a", 2)], false), "a       2\n");
    }

    #[test]
    fn colours_take_no_room_and_what_a_desktop_says_cannot_paint() {
        let rows = || [vec![Cell::word("FAILED"), cell("\u{1b}[31mred\nline"), cell("")]].into_iter();
        let plain = table(&COLUMNS, rows(), false, Palette::default());
        assert_eq!(plain, "NAME                N\nFAILED   [31mred line\n");
        let colored = table(&COLUMNS, rows(), false, Palette { colored: true });
        assert!(colored.contains("\u{1b}[38;5;9mFAILED"), "{colored:?}");
    }

    #[test]
    fn colored_last_column_has_no_tail() {
        let columns = [Column::text("status")];
        let rows = [vec![Cell::word("FAILED")], vec![Cell::word("a longer word")]].into_iter();
        for line in table(&columns, rows, false, Palette { colored: true }).lines() {
            let plain = strip_ansi(line);
            assert_eq!(plain, plain.trim_end(), "{line:?}");
        }
        assert_eq!(without_tail("a  \u{1b}[31mb  \u{1b}[0m  "), "a  \u{1b}[31mb\u{1b}[0m");
        assert_eq!(without_tail("a \u{1b}[K"), "a \u{1b}[K", "no colour");
    }

    fn strip_ansi(line: &str) -> String {
        anstream::adapter::strip_str(line).to_string()
    }
}
