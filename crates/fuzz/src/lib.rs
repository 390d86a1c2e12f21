//! What must hold for any bytes that reach Baton from outside: nothing panics, what is read is written and read back the
//! same, unknown fields survive, an accepted name comes back out of its subject, and an error names the field.
//!
//! Each target is a function of bytes that panics when its property does not hold. `crates/fuzz/run` lets libFuzzer
//! look for such bytes, guided by coverage, on stable Rust; `tests/corpus.rs` runs the kept corpus and seeded changes
//! of it without any instrumentation.

mod accounts;
mod budgets;
mod contexts;
mod documents;
mod exports;
mod names;
mod objects;
mod people;
mod pipelines;
mod programs;
mod schedules;
mod tokens;

/// A property, by name. Its corpus is in `corpus/<name>`.
pub type Target = (&'static str, fn(&[u8]));

/// All properties.
pub const TARGETS: [Target; 24] = [
    ("envelope", documents::envelope),
    ("record", documents::record),
    ("raw", documents::raw),
    ("route", documents::route),
    ("repair", documents::repair),
    ("shown", names::shown_texts),
    ("question", documents::question),
    ("names", names::names),
    ("times", names::times),
    ("outcome", programs::outcome),
    ("accounts", accounts::accounts),
    ("signatures", names::signatures),
    ("subjects", people::subjects),
    ("forms", people::forms),
    ("schedule", schedules::schedule),
    ("pipeline", pipelines::pipeline),
    ("export", exports::export),
    ("tokens", tokens::tokens),
    ("objects", objects::objects),
    ("link", contexts::link),
    ("manifest", contexts::manifest),
    ("memory", contexts::memory),
    ("budget", budgets::budget),
    ("space", contexts::space),
];

/// What stands before the first empty line, and what stands after it.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    end.map_or((bytes, b""), |end| (&bytes[..end], &bytes[end + 2..]))
}

/// The property of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS
        .iter()
        .find(|(found, _)| *found == name)
        .map(|(_, check)| *check)
}
