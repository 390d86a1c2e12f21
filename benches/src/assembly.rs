//! W13, its second half: how long the assembly of a view takes, without a server.

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use baton_agent::token_counter;
use baton_envelope::context::{
    Candidate, Counter, Fixed, Kind, Memory, MemoryKey, Position, Relevance, Request, assemble,
};
use baton_envelope::{IntentId, ObjectHash, Task};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use crate::context::text;
use crate::error::BenchError;
use crate::options::Options;
use crate::report::{Fact, Report, Target};
use crate::stats::percentile;
use crate::workload::Workload;

/// Of how many memories the view is made.
const CANDIDATES: u32 = 5_000;
/// How many of them a link has.
const PER_LINK: u32 = 25;
/// The size of each in bytes: more than an extract, so that each has a summary.
const BYTES: usize = 512;
/// The tokens of the view.
const BUDGET: u64 = 4_000;
/// How many bytes a token is for a counter that counts bytes.
const TOKEN_BYTES: u64 = 4;
/// How long it may take.
const MOST_MS: f64 = 5.0;
const BY: &str = "bench@1.0.0";

/// What the assembly takes by itself: this counter knows each count at once.
const KNOWN: Counter<'static> = Counter {
    id: "bytes#1",
    count: &|text| text.len() as u64,
};

/// The candidates, and their contents.
struct Tree {
    candidates: Vec<Candidate>,
    contents: HashMap<ObjectHash, Vec<u8>>,
}

/// Measures the assembly with counts that are known, and with those of its text counted as a hop does.
pub(crate) fn measure(options: &Options) -> Result<Report, BenchError> {
    let runs = if options.quick { 20 } else { 100 };
    let tree = tree()?;
    let known = times(&tree, &KNOWN, BUDGET * TOKEN_BYTES, runs)?;
    let counted = times(&tree, &token_counter(), BUDGET, runs)?;
    let ms = |times: &[Duration], percent| Some(percentile(times, percent).as_secs_f64() * 1e3);
    let mut report = Report::new(Workload::W13, "assembly of 5,000 candidates", "", "");
    report.facts = vec![
        Fact::new("counts known, p50", ms(&known, 50), "ms").aiming(Target::AtMost(MOST_MS)),
        Fact::new("counts known, p99", ms(&known, 99), "ms"),
        Fact::new("its text counted, p50", ms(&counted, 50), "ms"),
    ];
    Ok(report)
}

/// How long each run takes, in ascending order. What is made is dropped when the clock stands.
fn times(tree: &Tree, counter: &Counter<'_>, budget: u64, runs: u32) -> Result<Vec<Duration>, BenchError> {
    let (request, fixed) = (Request::trim(budget), fixed());
    let contents = |hash: &ObjectHash| tree.contents.get(hash).map(Vec::as_slice);
    let mut times = Vec::new();
    // The first run finds everything cold.
    for run in 0..=runs {
        let started = Instant::now();
        let made = assemble(
            black_box(&request),
            &fixed,
            black_box(&tree.candidates),
            counter,
            &contents,
        );
        let took = started.elapsed();
        let made = black_box(made).map_err(|error| BenchError::Broken(error.to_string()))?;
        let of_all = made.refs.len() + made.manifest.items.len();
        if of_all != tree.candidates.len() || made.refs.is_empty() {
            let problem = format!("{of_all} of {CANDIDATES} candidates are in view and manifest");
            return Err(BenchError::Broken(problem));
        }
        if run > 0 {
            times.push(took);
        }
    }
    times.sort_unstable();
    Ok(times)
}

fn fixed() -> Fixed {
    Fixed {
        task: Some(Task {
            ask: Some("Implement the retry logic.".to_owned()),
            ..Task::default()
        }),
        ..Fixed::default()
    }
}

/// Memories of all kinds and of any relevance, along a chain of links.
fn tree() -> Result<Tree, BenchError> {
    let broken = |error: &dyn std::fmt::Display| BenchError::Broken(error.to_string());
    let intent: IntentId = "assembly".parse().map_err(|error| broken(&error))?;
    let mut random = StdRng::seed_from_u64(5);
    let (mut candidates, mut contents) = (Vec::new(), HashMap::new());
    for number in 0..CANDIDATES {
        let key: MemoryKey = format!("ms-{number}").parse().map_err(|error| broken(&error))?;
        let content = text(&mut random, BYTES).into_bytes();
        let kind = Kind::ALL.get(random.random_range(0..Kind::ALL.len()));
        let mut memory = Memory::new(key, kind.cloned().unwrap_or(Kind::Fact), &content);
        memory.title = Some(format!("What was found of part {number}"));
        let relevance = Relevance::new(random.random_range(0..=1_000));
        memory.relevance = relevance.map_err(|error| broken(&error))?;
        let memory = memory.counted(BY, &content, &KNOWN);
        let memory = memory.counted(BY, &content, &token_counter());
        contents.insert(memory.hash.clone(), content);
        let hop = 1 + number / PER_LINK;
        candidates.push(Candidate {
            memory,
            position: Position {
                depth: hop,
                intent: intent.clone(),
                hop,
                index: number % PER_LINK,
            },
            by: BY.to_owned(),
            out: None,
        });
    }
    Ok(Tree { candidates, contents })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_of_5000_has_some_in_full_and_names_all_others() {
        let tree = tree().expect("keys");
        let times = times(&tree, &KNOWN, BUDGET * TOKEN_BYTES, 2).expect("a view");
        assert_eq!(times.len(), 2);
    }
}
