//! What is read before a view is made, and what becomes of memories that nobody has counted.

use std::collections::BTreeSet;

use baton_envelope::context::{Strategy, *};
use proptest::prelude::*;

use super::assembly::{any_request, fitting, made};
use super::*;

/// A pin that nobody could count would be refused; of everything else no more is read than is good for whoever reads it.
#[test]
fn of_what_nobody_has_counted_all_pins_and_the_newest_are_read() {
    let of = |number: u32, bytes: u64, is_pinned: bool| {
        let mut memory = Memory::new(key(&format!("ms-{number}")), Kind::Fact, number.to_string().as_bytes());
        (memory.bytes, memory.pinned) = (bytes, is_pinned);
        candidate(memory, number)
    };
    let half = UNCOUNTED_BYTES / 2;
    let candidates = [
        of(0, UNCOUNTED_BYTES, true),
        of(1, half, false),
        of(2, 10, false),
        of(3, half, false),
        of(4, half, false),
    ];
    let read = |request: &Request| {
        let found = uncounted(request, &candidates, &BYTES);
        found
            .into_iter()
            .map(|memory| memory.key.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(read(&Request::trim(UNCOUNTED_BYTES)), ["ms-4", "ms-3", "ms-0"]);
    // What cannot fit is not read at all.
    assert_eq!(read(&Request::trim(1)), ["ms-2", "ms-0"]);
    let counted = candidate(
        Memory::new(key("ms-2"), Kind::Fact, b"2").counted("a@1.0.0", b"2", &BYTES),
        2,
    );
    assert_eq!(uncounted(&Request::trim(1), &[counted], &BYTES), Vec::<&Memory>::new());
}

/// No envelope has more references than a reader takes, however short the memories are.
#[test]
fn no_strategy_gives_more_in_full_than_an_envelope_has_references_for() {
    let tree = |count: u32| {
        let of = |number: u32| {
            let memory = Memory::new(key(&format!("ms-{number}")), Kind::Fact, b"x");
            candidate(memory.counted("research@1.4.0", b"x", &SHORT), number)
        };
        (0..count).map(of).collect::<Vec<_>>()
    };
    for strategy in [Strategy::Trim, Strategy::Summary, Strategy::Lazy] {
        let request = Request {
            strategy,
            ..Request::trim(1_000_000)
        };
        let view = assemble(&request, &fixed(), &tree(300), &SHORT, &|_| Some(b"x")).expect("a view");
        assert_eq!(view.refs.len(), 256, "{:?}", request.strategy);
        assert_eq!(view.manifest.items.len(), 44);
        assert!(
            view.manifest.items.iter().all(|item| item.why == Why::Refs),
            "{:?}",
            view.manifest.items
        );
    }
}

/// Everything takes the same, so that nothing is shorter than the text.
const SHORT: Counter<'static> = Counter {
    id: "short#1",
    count: &|text| u64::from(!text.is_empty()),
};

proptest! {
    /// What is read before a view is made is all that it takes, also where nobody has counted it with this counter: with
    /// everything at hand the view is the same.
    #[test]
    fn what_is_read_is_enough(
        mut tree in any_tree(false), request in any_request(), foreign in proptest::collection::vec(any::<bool>(), 40),
    ) {
        for (candidate, _) in tree.candidates.iter_mut().zip(foreign).filter(|(_, is_foreign)| *is_foreign) {
            let counts = std::mem::take(&mut candidate.memory.tokens);
            candidate.memory.tokens = counts.into_values().map(|counts| ("other#1".to_owned(), counts)).collect();
        }
        let request = fitting(request, &tree);
        let hashes = |memories: Vec<&Memory>| memories.into_iter().map(|memory| memory.hash.clone()).collect::<BTreeSet<_>>();
        let mut read = hashes(uncounted(&request, &tree.candidates, &BYTES));
        let of_first = |hash: &ObjectHash| tree.content(hash).filter(|_| read.contains(hash));
        let plan = planned(&request, &fixed(), &tree.candidates, &BYTES, &of_first).map(hashes);
        read.extend(plan.unwrap_or_default());
        let of_all = |hash: &ObjectHash| tree.content(hash).filter(|_| read.contains(hash));
        let view = assemble(&request, &fixed(), &tree.candidates, &BYTES, &of_all);
        prop_assert_eq!(view, made(&request, &tree, &BYTES));
    }
}
