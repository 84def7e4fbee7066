//! Plain output of the commands that run without a control plane.

use super::{Cell, Column, Palette, cell, table, writer::Writer};
use crate::Error;

/// Renders rows of text as a table without colours. An empty text becomes a dash.
pub fn plain_table(heads: &[&'static str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let columns: Vec<Column> = heads.iter().copied().map(Column::text).collect();
    let rows = rows.map(|row| row.into_iter().map(cell).collect::<Vec<Cell>>());
    table(&columns, rows, false, Palette::default())
}

/// Prints text to standard output.
///
/// # Errors
///
/// Standard output cannot be written. The error is silent if its reader closed it.
pub fn print(text: &str) -> Result<(), Error> {
    Writer::Stdout.write(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_are_dashes() {
        let rows = [["a", "1"], ["long", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(plain_table(&["name", "n"], rows.into_iter()), "NAME  N\na     1\nlong  -\n");
    }
}
