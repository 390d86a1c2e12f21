//! How long it takes to make views of 5,000 memories: `cargo run --release -p baton-tokens --example assemble`.
//!
//! By the CPU time of this process, as others may be at work. The counts are stored with the memories, as they are in a
//! chain.
#![expect(clippy::print_stdout, reason = "the times are what it is for")]

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;

use baton_envelope::ObjectHash;
use baton_envelope::context::{Candidate, Counter, Fixed, Kind, Memory, Position, Relevance, Request, assemble};
use baton_tokens::{Counter as _, O200k};
use rustix::time::{ClockId, clock_gettime};

const MEMORIES: u32 = 5_000;
const RUNS: usize = 51;

fn milliseconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}

fn main() -> Result<(), Box<dyn Error>> {
    let counter = Counter {
        id: O200k::ID,
        count: &|text| O200k.count(text),
    };
    let (mut candidates, mut store) = (Vec::new(), HashMap::new());
    for number in 0..MEMORIES {
        let line = format!("What was found at place {number} of the list, and what follows from it.\n");
        let content = line.repeat(usize::try_from(number % 40)? + 1);
        let kind = Kind::ALL.get(usize::try_from(number)? % Kind::ALL.len()).cloned();
        let kind = kind.unwrap_or(Kind::Fact);
        let mut memory = Memory::new(format!("ms-{number}").parse()?, kind, content.as_bytes());
        memory.title = Some(format!("Place {number}"));
        memory.relevance = Relevance::new(i64::from(number * 7919 % 1_001))?;
        let memory = memory.counted("research@1.4.0", content.as_bytes(), &counter);
        store.insert(memory.hash.clone(), content.into_bytes());
        let (depth, index) = (number / 1_000 + 1, number % 1_000);
        candidates.push(Candidate {
            memory,
            position: Position {
                depth,
                intent: "order-42".parse()?,
                hop: depth,
                index,
            },
            by: "research@1.4.0".to_owned(),
            out: None,
        });
    }
    let contents = |hash: &ObjectHash| store.get(hash).map(Vec::as_slice);
    for budget in [4_000, 32_000, 200_000] {
        let request = Request::trim(budget);
        let mut times = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let before = milliseconds();
            black_box(assemble(&request, &Fixed::default(), &candidates, &counter, &contents)?);
            times.push(milliseconds() - before);
        }
        times.sort_by(f64::total_cmp);
        let made = assemble(&request, &Fixed::default(), &candidates, &counter, &contents)?;
        let (least, median) = (times.first().unwrap_or(&0.0), times.get(RUNS / 2).unwrap_or(&0.0));
        println!(
            "{MEMORIES} candidates, budget {budget:>7}: {median:6.2} ms (least {least:.2}), {} in full, used {}, manifest {} bytes",
            made.refs.len(),
            made.view.used,
            made.manifest.encode().len()
        );
    }
    Ok(())
}
