//! Tables for people.

use comfy_table::{Table, presets};

/// Columns with a head, without lines.
pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head).add_rows(rows);
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tails() {
        let rows = [["a", "1"], ["long", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&["name", "n"], rows.into_iter()), " name  n\n a     1\n long\n");
    }
}
