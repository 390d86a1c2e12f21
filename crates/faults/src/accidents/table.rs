//! A table of what became of the accidents: a row for each stream and for its consumers, a column for each kind of accident.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::case::{Accident, Case, Thing};
use super::outcome::{Became, Outcome};

const COLUMNS: [&str; 4] = ["removed", "purged", "filled", "edited"];
const FIRST: usize = 28;
const WIDTH: usize = 20;

/// Where an accident stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    row: String,
    column: usize,
}

impl Place {
    pub(super) fn of(case: &Case) -> Self {
        let stream = case.thing.stream();
        let row = match &case.thing {
            Thing::Stream(_) => stream.to_owned(),
            Thing::Durable(..) => format!("{stream}, consumers"),
            Thing::Follower(..) => format!("{stream}, followers"),
        };
        let column = match case.accident {
            Accident::Removed => 0,
            Accident::Purged => 1,
            Accident::Filled => 2,
            Accident::Edited(_) | Accident::ConsumerEdited(_) => 3,
        };
        Self { row, column }
    }
}

/// The table, and a line on what it says.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut rows: BTreeMap<&str, [Vec<&Outcome>; 4]> = BTreeMap::new();
    for outcome in outcomes {
        let row = rows.entry(&outcome.place.row).or_default();
        if let Some(cell) = row.get_mut(outcome.place.column) {
            cell.push(outcome);
        }
    }
    let mut text = format!("{:<FIRST$}", "");
    for column in COLUMNS {
        pad(&mut text, column);
    }
    for (row, cells) in rows {
        text = text.trim_end().to_owned();
        text.push_str(&format!("\n{row:<FIRST$}"));
        for cell in cells {
            pad(&mut text, &said(&cell));
        }
    }
    text.trim_end().to_owned()
}

fn pad(text: &mut String, cell: &str) {
    let done = write!(text, "{cell:<WIDTH$}");
    debug_assert!(done.is_ok(), "a string takes all text");
}

/// How many, how, and the longest time until the mesh was whole.
fn said(cell: &[&Outcome]) -> String {
    if cell.is_empty() {
        return "-".to_owned();
    }
    let failed = cell.iter().filter(|one| !one.holds()).count();
    if failed > 0 {
        return format!("{failed} of {} FAILED", cell.len());
    }
    let told = cell.iter().filter(|one| one.became == Became::Told).count();
    let mended = cell.iter().filter(|one| one.became == Became::Mended).count();
    let longest = cell.iter().filter_map(|one| one.whole_ms).max().unwrap_or_default();
    let times = match cell.len() {
        1 => String::new(),
        all => format!("{all}x "),
    };
    let how = match mended {
        0 if told > 0 => "told".to_owned(),
        0 => "itself".to_owned(),
        all if all == cell.len() => "command".to_owned(),
        some => format!("{some} command"),
    };
    format!("{times}{how} {}.{} s", longest / 1000, longest % 1000 / 100)
}
