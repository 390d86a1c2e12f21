//! The arrows inside the crates: which folder of a crate may name which. Reads sources; runs nothing.
//!
//! A *room* is an entry at the top of `src`: a folder with the file of the same name, or a file alone. The lists in
//! `houses.rs` say for each room which others it names. A room may name only rooms below it in its list, so no list can
//! contain a circle. `lib.rs` and `main.rs` put a crate together and may name every room; unit tests may, too.

mod houses;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};

use self::houses::{HOUSES, House};
use crate::layers::{Source, files, nothing};

/// One path in a source that begins with `crate::` or `super::`, and the room that it leads to.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
}

/// The arrows of a crate, each with the files that contain it.
type Found = BTreeMap<Arrow, BTreeSet<String>>;

/// The modules from the root of the crate to this file: `work/puller/lane.rs` is `work`, `puller`, `lane`.
fn modules(path: &str) -> Vec<&str> {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut modules: Vec<&str> = path.split('/').collect();
    if modules.last() == Some(&"mod") {
        modules.pop();
    }
    modules
}

/// Whether a path below `src` belongs to a unit test, or puts the crate together.
fn is_no_room(path: &str) -> bool {
    let top = ["lib.rs", "main.rs", "bin"];
    let first = path.split('/').next().unwrap_or_default();
    top.contains(&first) || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The arrows of one file; `path` is below `src`. Relies on the layout that rustfmt gives a file.
fn arrows(path: &str, source: &Source) -> Vec<Arrow> {
    let own = modules(path);
    let Some(room) = own.first() else { return Vec::new() };
    let mut found = Vec::new();
    for (depth, text) in stretches(&source.code()) {
        for (start, word) in paths(&text) {
            let rest = &text[start + word.len()..];
            let (ups, rest) = match word {
                "crate::" => (usize::MAX, rest),
                _ => supers(rest),
            };
            // A path that ends within this room's own modules, or in a module of the same file, is not an arrow.
            if ups < own.len() + depth {
                continue;
            }
            for to in heads(rest) {
                if to != *room {
                    let from = (*room).to_owned();
                    found.push(Arrow { from, to });
                }
            }
        }
    }
    found
}

/// The text without unit tests, cut where modules within the file begin and end; each piece with its depth in these
/// modules.
fn stretches(code: &str) -> Vec<(usize, String)> {
    let mut found = vec![(0, String::new())];
    // The indents of the open modules, and whether each is a unit test.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut is_test = false;
    for line in code.lines() {
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        let begins = words.ends_with('{') && words.split_whitespace().any(|word| word == "mod");
        let ends = words == "}" && open.last().is_some_and(|(at, _)| *at == indent);
        if begins {
            open.push((indent, is_test));
        } else if ends {
            open.pop();
        }
        if begins || ends {
            found.push((open.len(), String::new()));
        } else if open.iter().all(|(_, is_test)| !is_test)
            && let Some((_, text)) = found.last_mut()
        {
            text.push_str(line);
            text.push('\n');
        }
        is_test = words.starts_with("#[cfg(test)]") || words.starts_with("#[cfg(all(test");
    }
    found
}

/// Where paths begin that start at the root of the crate or go up.
fn paths(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        found.extend(text.match_indices(word).filter_map(|(at, _)| {
            let before = text[..at].chars().next_back();
            let is_start = before.is_none_or(|before| !(before.is_alphanumeric() || "_:".contains(before)));
            is_start.then_some((at, word))
        }));
    }
    found
}

/// How many modules a path goes up after its first `super::`, and what follows.
fn supers(rest: &str) -> (usize, &str) {
    let (mut ups, mut rest) = (1, rest);
    while let Some(more) = rest.strip_prefix("super::") {
        (ups, rest) = (ups + 1, more);
    }
    (ups, rest)
}

/// The first names of what follows: one, or those of a group in braces.
fn heads(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![head(rest)];
    };
    let (mut depth, mut heads, mut part) = (1, Vec::new(), String::new());
    for letter in group.chars() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && letter == ',') {
            heads.push(head(part.trim_start()));
            part.clear();
        } else {
            part.push(letter);
        }
        if depth == 0 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head(rest: &str) -> String {
    let is_name = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '*';
    rest.chars().take_while(|letter| is_name(*letter)).collect()
}

/// The arrows of a crate, and its rooms.
fn survey(name: &str) -> Result<(Found, BTreeSet<String>)> {
    let root = format!("crates/{name}/src/");
    let (mut found, mut rooms) = (Found::new(), BTreeSet::new());
    for source in files(&root, ".rs")? {
        let path = source.path.strip_prefix(&root).unwrap_or(&source.path);
        if is_no_room(path) {
            continue;
        }
        rooms.extend(modules(path).first().map(|room| (*room).to_owned()));
        for arrow in arrows(path, &source) {
            found.entry(arrow).or_default().insert(source.path.clone());
        }
    }
    ensure!(!rooms.is_empty(), "{root} holds no sources");
    Ok((found, rooms))
}

/// The faults of a crate.
fn faults(house: &House) -> Result<Vec<String>> {
    let (found, rooms) = survey(house.name)?;
    let listed: BTreeSet<String> = house.rooms.iter().map(|(room, _)| (*room).to_owned()).collect();
    let mut wrong = Vec::new();
    for room in listed.symmetric_difference(&rooms) {
        wrong.push(format!("{}: `{room}` is a room or is listed, but not both", house.name));
    }
    let allowed: BTreeSet<Arrow> = house
        .rooms
        .iter()
        .flat_map(|(from, to)| {
            to.iter().map(|to| Arrow {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
            })
        })
        .collect();
    for (Arrow { from, to }, files) in found.iter().filter(|(arrow, _)| !allowed.contains(arrow)) {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let files = files.join(", ");
        wrong.push(if rooms.contains(to) {
            format!("{files}: {from} -> {to} is not in the list of {}", house.name)
        } else {
            format!("{files}: `crate::{to}` hides where it leads: name the room")
        });
    }
    for Arrow { from, to } in allowed.iter().filter(|arrow| !found.contains_key(arrow)) {
        wrong.push(format!(
            "{}: {from} -> {to} is listed, and no file needs it",
            house.name
        ));
    }
    Ok(wrong)
}

#[test]
fn every_list_of_rooms_runs_down() -> Result<()> {
    let mut wrong = Vec::new();
    for House { name, rooms } in HOUSES {
        for (at, (room, below)) in rooms.iter().enumerate() {
            for other in *below {
                if !rooms[at + 1..].iter().any(|(lower, _)| lower == other) {
                    wrong.push(format!("{name}: {room} names {other}, which does not stand below it"));
                }
            }
        }
    }
    nothing(wrong)
}

#[test]
fn rooms_name_only_the_rooms_that_they_may() -> Result<()> {
    let mut wrong = Vec::new();
    for house in HOUSES.iter().filter(|house| !house.rooms.is_empty()) {
        wrong.extend(faults(house)?);
    }
    nothing(wrong)
}

#[test]
fn arrows_are_found_in_whatever_way_they_are_written() {
    let text = "
use crate::error::Error;
use crate::{
    ledger::{Head, read::Last},
    routes::Table,
};
use super::super::effects::Settled;
use super::delivery::Delivery;
// use crate::comment::Nothing;

fn one() -> crate::archive::Bundle {}

pub(in crate::work) mod inner {
    use super::own::One;
    use super::super::super::presence::Alive;
}

#[cfg(test)]
mod tests {
    use crate::intents::Submitted;
}

use crate::Hidden;
";
    let source = Source {
        path: String::new(),
        text: text.to_owned(),
    };
    let mut found: Vec<String> = arrows("work/tickets.rs", &source).into_iter().map(|a| a.to).collect();
    found.sort();
    let expected = ["Hidden", "archive", "effects", "error", "ledger", "presence", "routes"];
    assert_eq!(found, expected);
}
