//! Tables for people: columns without lines, so that they can be copied and cut. A cell is one line.

use baton_envelope::shown;
use comfy_table::presets::NOTHING;

/// A table that grows row by row.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// A table with a header.
    pub(crate) fn new(header: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING).set_header(header.iter().copied());
        Self(table)
    }

    /// A table of names and values, without a header.
    pub(crate) fn pairs() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING);
        Self(table)
    }

    /// Adds a row.
    pub(crate) fn row<I: IntoIterator<Item = String>>(&mut self, cells: I) {
        self.0.add_row(cells.into_iter().map(|cell| shown(&cell).into_owned()));
    }

    /// Adds a name and its value, where there is one.
    pub(crate) fn pair(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.row([name.to_owned(), value]);
        }
    }

    /// The table as text.
    pub(crate) fn render(mut self) -> String {
        for column in self.0.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.0.trim_fmt()
    }
}
