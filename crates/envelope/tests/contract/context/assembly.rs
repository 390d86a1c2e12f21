//! What is promised of every view, whatever a tree holds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use baton_envelope::context::{Strategy, *};
use proptest::prelude::{Strategy as _, *};

use super::*;

/// What stands in every view of these tests takes so many bytes.
const OF_FIXED: u64 = 158;

pub(super) fn made(request: &Request, tree: &Tree, counter: &Counter<'_>) -> Result<Assembled, AssembleError> {
    assemble(request, &fixed(), &tree.candidates, counter, &|hash| tree.content(hash))
}

pub(super) fn any_request() -> impl proptest::strategy::Strategy<Value = Request> {
    let strategy = prop_oneof![
        4 => Just(Strategy::Trim),
        1 => Just(Strategy::Summary),
        1 => Just(Strategy::Lazy),
        1 => Just(Strategy::Full),
    ];
    let named = proptest::collection::btree_set((0..3_u8).prop_map(|n| key(&format!("ms-{n}"))), 0..3);
    let without = proptest::collection::vec(any_kind(), 0..2);
    (strategy, 0_u64..6_000, 500_u32..2_000, 0_u32..10, named, without).prop_map(
        |(strategy, budget, factor, include_recent, named, without)| Request {
            strategy,
            factor: NonZeroU32::new(factor).expect("not 0"),
            include_recent,
            named,
            without,
            ..Request::trim(budget)
        },
    )
}

/// The request without names that are not there.
pub(super) fn fitting(mut request: Request, tree: &Tree) -> Request {
    let keys: BTreeSet<&MemoryKey> = tree.candidates.iter().map(|candidate| &candidate.memory.key).collect();
    request.named.retain(|key| keys.contains(key));
    request
}

fn in_full(made: &Assembled) -> BTreeSet<&str> {
    made.refs.iter().map(|given| given.key.as_str()).collect()
}

fn item<'a>(made: &'a Assembled, key: &str) -> &'a ManifestItem {
    let found = made.manifest.items.iter().find(|item| item.key.as_str() == key);
    found.unwrap_or_else(|| panic!("{key} is not in the manifest"))
}

/// A counter whose counts do not add up.
const ODD: Counter<'static> = Counter {
    id: "bytes#1",
    count: &|text| (text.len() as u64).div_ceil(3) + text.matches("\n-").count() as u64 * 7,
};

proptest! {
    /// C4, with counts that are wrong, contents that are not there, and a counter whose counts do not add up.
    #[test]
    fn no_view_takes_more_than_its_budget(tree in any_tree(true), request in any_request(), odd in any::<bool>()) {
        let request = fitting(request, &tree);
        let counter = if odd { ODD } else { BYTES };
        if let Ok(made) = made(&request, &tree, &counter) {
            prop_assert!(made.view.used <= request.budget, "{} of {}", made.view.used, request.budget);
            if made.view.assembled.requested == made.view.assembled.resolved {
                let count = (counter.count)(&made.text);
                let used = (count * u64::from(request.factor.get())).div_ceil(1_000);
                prop_assert_eq!(made.view.used, used, "what is said is not what is there");
            }
        }
    }

    /// C5.
    #[test]
    fn pins_and_constraints_are_in_the_view_or_there_is_none(tree in any_tree(true), request in any_request()) {
        let request = fitting(request, &tree);
        let pins = tree.candidates.iter().filter(|one| one.memory.pinned && one.out.is_none());
        let pins: Vec<&Candidate> = pins.collect();
        match made(&request, &tree, &BYTES) {
            Ok(made) => {
                for pin in pins {
                    prop_assert!(in_full(&made).contains(pin.memory.key.as_str()), "{} was trimmed", pin.memory.key);
                    if let Some(Ok(content)) = tree.content(&pin.memory.hash).map(std::str::from_utf8)
                        && pin.memory.is_text()
                    {
                        prop_assert!(made.text.contains(content));
                    }
                }
                let beginning = "## constraints\n```\n{\"language\":\"python\"}\n```\n## ask\n";
                prop_assert!(made.text.starts_with(beginning));
            }
            Err(AssembleError::Overflow { budget, needed, parts, .. }) => {
                prop_assert!(needed > budget, "it would fit");
                let named = parts.iter().map(|part| part.name.as_str()).collect::<BTreeSet<_>>();
                prop_assert!(named.contains("constraints") && named.contains("ask"));
                for pin in pins {
                    let name = format!("memory {}", pin.memory.key);
                    prop_assert!(named.contains(name.as_str()), "{} is not named", name);
                }
            }
            Err(AssembleError::Missing { key }) => {
                let hash = tree.candidates.iter().find(|one| one.memory.key == key).map(|one| &one.memory.hash);
                prop_assert!(hash.is_some_and(|hash| tree.content(hash).is_none()));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    /// What is fetched before a view is made is what the counts give it in full, and what they refuse is refused before.
    #[test]
    fn what_is_planned_is_what_the_counts_give(tree in any_tree(true), request in any_request(), odd in any::<bool>()) {
        let request = fitting(request, &tree);
        let counter = if odd { ODD } else { BYTES };
        let plan = planned(&request, &fixed(), &tree.candidates, &counter, &|_| None);
        let plan = plan.map(|given| given.into_iter().map(|memory| memory.key.to_string()).collect::<Vec<_>>());
        let made = assemble(&request, &fixed(), &tree.candidates, &counter, &|_| None);
        let made = made.map(|made| made.refs.into_iter().map(|given| given.key).collect::<Vec<_>>());
        prop_assert_eq!(plan, made);
    }

    /// C6.
    #[test]
    fn the_order_of_the_input_makes_no_difference(
        (tree, shuffled) in any_tree(true).prop_flat_map(|tree| {
            let shuffled = Just(tree.candidates.clone()).prop_shuffle();
            (Just(tree), shuffled)
        }),
        request in any_request(),
    ) {
        let request = fitting(request, &tree);
        let other = Tree { candidates: shuffled, ..tree.clone() };
        let (one, other) = (made(&request, &tree, &BYTES), made(&request, &other, &BYTES));
        if let (Ok(one), Ok(other)) = (&one, &other) {
            prop_assert_eq!(one.manifest.hash(), other.manifest.hash());
        }
        prop_assert_eq!(one, other);
    }

    /// C7.
    #[test]
    fn every_candidate_is_in_the_view_or_in_its_manifest_once(tree in any_tree(true), request in any_request()) {
        let request = fitting(request, &tree);
        if let Ok(made) = made(&request, &tree, &BYTES) {
            let levels = levels(&tree.candidates, &made.refs, &made.manifest);
            prop_assert!(levels.is_ok(), "{:?}", levels);
            // Whoever has candidates, references and manifest renders the same text.
            let items = tree.candidates.iter().zip(levels.expect("levels"));
            prop_assert_eq!(render(&fixed(), items, &|hash| tree.content(hash)), made.text);
            let encoded = made.manifest.encode();
            prop_assert_eq!(Manifest::decode(&encoded), Ok(made.manifest));
        }
    }

    /// C8: the greedy choice, done again by hand, comes to the same; and what was lowered had no room.
    #[test]
    fn what_was_lowered_had_no_room_when_its_turn_came(tree in any_tree(false), request in any_request()) {
        let request = Request { strategy: Strategy::Trim, ..fitting(request, &tree) };
        if let Ok(made) = made(&request, &tree, &BYTES) {
            let full = in_full(&made);
            let expected = by_hand(&request, &tree);
            for one in &tree.candidates {
                let key = one.memory.key.as_str();
                let level = if full.contains(key) { Level::Full } else { item(&made, key).level.clone() };
                prop_assert_eq!(Some(&level), expected.get(key), "{}", key);
            }
            for item in made.manifest.items.iter().filter(|item| item.why == Why::Budget) {
                prop_assert!(item.needed > item.left, "{:?} had room", item);
            }
            let by_count = made.manifest.items.iter().filter(|item| item.why == Why::Count).count();
            prop_assert_eq!(by_count, 0, "counts that add up are never corrected");
        }
    }

    /// C8, the other half: by a wrong count no more is lowered than has to be.
    #[test]
    fn by_the_count_of_the_text_no_more_is_lowered_than_needed(tree in any_tree(true), request in any_request()) {
        let request = Request { strategy: Strategy::Trim, factor: Request::trim(0).factor, ..fitting(request, &tree) };
        let everything_is_there = tree.candidates.iter().all(|one| tree.content(&one.memory.hash).is_some());
        if let Ok(made) = made(&request, &tree, &BYTES) && everything_is_there {
            let lowered: Vec<&ManifestItem> = made.manifest.items.iter().filter(|item| item.why == Why::Count).collect();
            for item in &lowered {
                prop_assert!(item.needed > item.left, "{:?} had room", item);
            }
        }
    }

    /// C9.
    #[test]
    fn a_larger_budget_never_fails_where_a_smaller_one_did_not(
        tree in any_tree(true), request in any_request(), more in 1_u64..4_000,
    ) {
        let request = fitting(request, &tree);
        if made(&request, &tree, &BYTES).is_ok() {
            let larger = [request.budget + more, 1 << 16, 1 << 32, u64::MAX];
            for budget in larger.into_iter().filter(|budget| *budget > request.budget) {
                let request = Request { budget, ..request.clone() };
                let made = made(&request, &tree, &BYTES);
                prop_assert!(made.is_ok(), "{}: {:?}", budget, made);
            }
        }
    }
}

/// The levels by the rules of `trim-1`, the slow and simple way.
fn by_hand(request: &Request, tree: &Tree) -> BTreeMap<String, Level> {
    let is_out = |one: &Candidate| {
        let is_wanted = one.memory.pinned || request.named.contains(&one.memory.key);
        one.out.is_some() || (!is_wanted && request.without.contains(&one.memory.kind))
    };
    let live: Vec<&Candidate> = tree.candidates.iter().filter(|one| !is_out(one)).collect();
    let mut levels: BTreeMap<String, Level> = tree
        .candidates
        .iter()
        .map(|one| (one.memory.key.to_string(), Level::Dropped))
        .collect();
    let mut left = request.budget * 1_000 / u64::from(request.factor.get()) - OF_FIXED;
    let mut order: Vec<(u64, i64, usize, &Candidate)> = Vec::new();
    for (at, one) in live.iter().enumerate() {
        let (memory, rank) = (&one.memory, live.len() - 1 - at);
        let tier = match () {
            () if memory.pinned => 0,
            () if request.named.contains(&memory.key) || memory.kind == Kind::Question => 1,
            () if rank < request.include_recent as usize => 2,
            () => 3,
        };
        let weight = match memory.kind.name() {
            "constraint" => 400,
            "question" => 350,
            "decision" => 300,
            "fact" => 200,
            "result" => 150,
            "file" => 50,
            "log" => 0,
            _ => 100,
        };
        let recency = 1_000 - (1_000 * rank / live.len()) as i64;
        let score = 2 * i64::from(memory.relevance.get()) + recency + weight;
        order.push((tier, -score, rank, one));
    }
    order.sort_by_key(|(tier, score, rank, _)| (*tier, *score, *rank));
    for (_, _, _, one) in order {
        let counts = &one.memory.tokens[BYTES.id];
        let mut above = u64::MAX;
        for (level, tokens) in [
            (Level::Full, Some(counts.full)),
            (Level::Summary, counts.summary),
            (Level::Ref, Some(counts.line)),
        ] {
            let Some(tokens) = tokens.filter(|tokens| *tokens < above) else {
                continue;
            };
            above = tokens;
            if tokens <= left {
                left -= tokens;
                levels.insert(one.memory.key.to_string(), level);
                break;
            }
        }
    }
    levels
}

fn tree_of(memories: Vec<(Memory, &str)>) -> Tree {
    let (mut candidates, mut store) = (Vec::new(), Store::new());
    for (index, (memory, content)) in (0..).zip(memories) {
        store.insert(memory.hash.clone(), content.as_bytes().to_vec());
        let memory = memory.counted("research@1.4.0", content.as_bytes(), &BYTES);
        candidates.push(candidate(memory, index));
    }
    Tree { candidates, store }
}

fn note(name: &str, kind: Kind, content: &'static str) -> (Memory, &'static str) {
    (Memory::new(key(name), kind, content.as_bytes()), content)
}

#[test]
fn what_stands_in_every_view_takes_what_these_tests_say() {
    let made = made(&Request::trim(OF_FIXED), &tree_of(Vec::new()), &BYTES).expect("it fits exactly");
    assert_eq!((made.view.used, made.text.len() as u64), (OF_FIXED, OF_FIXED));
    let less = super::assembly::made(&Request::trim(OF_FIXED - 1), &tree_of(Vec::new()), &BYTES);
    assert!(matches!(less, Err(AssembleError::Overflow { .. })), "{less:?}");
}

#[test]
fn an_overflow_names_each_part_with_its_tokens_and_says_what_to_do() {
    let (mut pin, content) = note("ms-1", Kind::Fact, "pinned");
    pin.pinned = true;
    let error = made(&Request::trim(100), &tree_of(vec![(pin, content)]), &BYTES).expect_err("it does not fit");
    assert_eq!(
        error.to_string(),
        "what must be in the view takes 205 tokens, and the budget is 100: history 72, memory ms-1 47, constraints 45, \
         ask 41; give a budget of 205 or more, or unpin a memory"
    );
}

#[test]
fn what_is_named_or_open_comes_first_then_the_newest_then_the_rest() {
    let notes = [
        note("old", Kind::Fact, "0123456789"),
        note("open", Kind::Question, "0123456789"),
        note("later", Kind::Constraint, "0123456789"),
        note("latest", Kind::Log, "0123456789"),
    ];
    let tree = tree_of(notes.to_vec());
    let request = Request {
        include_recent: 1,
        named: [key("old")].into(),
        ..Request::trim(10_000)
    };
    let whole = made(&request, &tree, &BYTES).expect("a view");
    assert_eq!(in_full(&whole), ["later", "latest", "old", "open"].into());
    assert!(whole.manifest.items.is_empty());
    // With room for so many, it is the first so many: a constraint has the highest score, and comes last here.
    let order = ["open", "old", "latest", "later"];
    for count in 0..order.len() {
        let first: BTreeSet<&str> = order[..count].iter().copied().collect();
        let of = tree
            .candidates
            .iter()
            .filter(|one| first.contains(one.memory.key.as_str()));
        let budget = OF_FIXED + of.map(|one| one.memory.tokens[BYTES.id].full).sum::<u64>();
        let request = Request {
            budget,
            ..request.clone()
        };
        let made = made(&request, &tree, &BYTES).expect("a view");
        assert_eq!(in_full(&made), first);
        assert_eq!(made.view.used, budget);
        let lowered = item(&made, order[count]);
        assert_eq!(
            (&lowered.level, &lowered.why, lowered.left),
            (&Level::Dropped, &Why::Budget, Some(0))
        );
    }
}

#[test]
fn what_has_no_room_leaves_it_to_smaller_ones() {
    let long: &'static str = "long ".repeat(100).leak();
    let mut first = note("first", Kind::Decision, long);
    first.0.summary = Some("in short".to_owned());
    let tree = tree_of(vec![note("small", Kind::Log, "x"), first]);
    let made = made(&Request::trim(OF_FIXED + 120), &tree, &BYTES).expect("a view");
    assert_eq!(in_full(&made), ["small"].into());
    let lowered = item(&made, "first");
    assert_eq!(lowered.level, Level::Summary);
    assert_eq!(
        (lowered.tier, lowered.needed, lowered.left),
        (Some(2), Some(546), Some(120))
    );
}

#[test]
fn each_strategy_gives_what_it_says() {
    let long: &'static str = "long ".repeat(100).leak();
    let mut pin = note("pin", Kind::Fact, "pinned");
    pin.0.pinned = true;
    let tree = tree_of(vec![
        pin,
        note("one", Kind::Fact, long),
        note("two", Kind::Fact, "short"),
    ]);
    let of = |strategy: Strategy, budget| {
        made(
            &Request {
                strategy,
                ..Request::trim(budget)
            },
            &tree,
            &BYTES,
        )
    };
    let full = of(Strategy::Full, 10_000).expect("a view");
    assert_eq!((in_full(&full).len(), full.view.kept, full.view.dropped), (3, 3, 0));
    let too_much = of(Strategy::Full, 300).expect_err("it never trims").to_string();
    assert!(too_much.contains("another strategy"), "{too_much}");
    let summary = of(Strategy::Summary, 10_000).expect("a view");
    assert_eq!(
        in_full(&summary),
        ["pin", "two"].into(),
        "a short text is its own summary"
    );
    assert_eq!(
        (&item(&summary, "one").level, &item(&summary, "one").why),
        (&Level::Summary, &Why::Strategy)
    );
    let tight = of(Strategy::Summary, summary.view.used - 1).expect("a view");
    assert_eq!(
        (&item(&tight, "one").level, &item(&tight, "one").why),
        (&Level::Ref, &Why::Budget)
    );
    let lazy = of(Strategy::Lazy, 10_000).expect("a view");
    assert_eq!(in_full(&lazy), ["pin"].into());
    assert_eq!(
        (&item(&lazy, "one").level, &item(&lazy, "two").level),
        (&Level::Ref, &Level::Ref)
    );
    let tight = of(Strategy::Lazy, lazy.view.used - 1).expect("a view");
    assert_eq!(item(&tight, "one").level, Level::Dropped, "the oldest goes first");
    assert_eq!(item(&tight, "two").level, Level::Ref);
    let unknown = of(Strategy::Unknown("guess".to_owned()), 10_000).expect_err("no strategy");
    assert_eq!(
        unknown.to_string(),
        "`strategy` \"guess\" is none; give full, summary, trim or lazy"
    );
}

#[test]
fn a_count_that_is_too_low_costs_its_author_and_nobody_else() {
    let long: &'static str = "long ".repeat(100).leak();
    let mut tree = tree_of(vec![
        note("honest", Kind::Log, "x"),
        note("liar", Kind::Constraint, long),
    ]);
    let counts = tree.candidates[1].memory.tokens.get_mut(BYTES.id).expect("counts");
    counts.full = 1;
    tree.candidates[1].memory.relevance = Relevance::new(0).expect("in range");
    let request = Request {
        named: [key("honest")].into(),
        ..Request::trim(OF_FIXED + 150)
    };
    let made = made(&request, &tree, &BYTES).expect("a view");
    assert_eq!(in_full(&made), ["honest"].into());
    let lowered = item(&made, "liar");
    assert_eq!((&lowered.level, &lowered.why), (&Level::Dropped, &Why::Count));
    assert!(
        lowered.needed > lowered.left && lowered.needed > Some(500),
        "{lowered:?}"
    );
    assert!(made.view.used <= request.budget);
}

#[test]
fn an_envelope_has_no_more_references_than_it_may() {
    let notes = (0..300).map(|n| {
        let name = format!("ms-{n}");
        let memory = Memory::new(key(&name), Kind::Fact, name.as_bytes());
        (memory, &*name.leak())
    });
    let tree = tree_of(notes.collect());
    let made = made(&Request::trim(1_000_000), &tree, &BYTES).expect("a view");
    assert_eq!(made.refs.len(), 256);
    assert!(
        made.manifest
            .items
            .iter()
            .all(|item| item.why == Why::Refs && item.level == Level::Ref)
    );
    assert_eq!(made.manifest.items.len(), 44);
    let request = Request {
        strategy: Strategy::Full,
        ..Request::trim(1_000_000)
    };
    let error = super::assembly::made(&request, &tree, &BYTES).expect_err("too many");
    assert!(
        error
            .to_string()
            .starts_with("300 memories must be in the view in full, and 256 are the most")
    );
}

#[test]
fn what_cannot_be_had_is_passed_on_and_said() {
    let mut tree = tree_of(vec![note("there", Kind::Fact, "one"), note("away", Kind::Fact, "two")]);
    tree.store.remove(&ObjectHash::of(b"two"));
    let made = made(&Request::trim(10_000), &tree, &BYTES).expect("a view");
    assert_eq!(in_full(&made), ["away", "there"].into(), "the receiver tries again");
    assert_eq!(made.view.assembled, Completeness::of(1, 2));
    assert!(
        made.text.ends_with("- away fact by research@1.4.0 (not readable)\n"),
        "{}",
        made.text
    );
    // Without a count it has no place that could be kept for it.
    tree.candidates[1].memory.tokens.clear();
    let uncounted = super::assembly::made(&Request::trim(10_000), &tree, &BYTES).expect("a view");
    assert_eq!(
        (&item(&uncounted, "away").level, &item(&uncounted, "away").why),
        (&Level::Ref, &Why::Unresolved)
    );
    tree.candidates[1].memory.pinned = true;
    let error = super::assembly::made(&Request::trim(10_000), &tree, &BYTES).expect_err("a pin");
    assert!(matches!(error, AssembleError::Missing { .. }), "{error}");
    let request = Request {
        named: [key("ms-404")].into(),
        ..Request::trim(10_000)
    };
    let error = super::assembly::made(&request, &tree, &BYTES)
        .expect_err("no such memory")
        .to_string();
    assert!(
        error.contains("\"ms-404\"") && error.contains("one of the 2"),
        "{error}"
    );
}

#[test]
fn the_least_budget_that_anybody_names_counts() {
    let constraints = Json::parse(r#"{"language":"python","max_tokens":3000}"#).expect("JSON");
    assert_eq!(view_budget(None, None, None), BUDGET_DEFAULT);
    assert_eq!(view_budget(Some(5_000), Some(&constraints), Some(8_000)), 3_000);
    assert_eq!(view_budget(Some(2_000), Some(&constraints), None), 2_000);
    let vague = Json::parse(r#"{"max_tokens":"many"}"#).expect("JSON");
    assert_eq!(view_budget(None, Some(&vague), Some(8_000)), 8_000);
}

#[test]
fn another_input_is_another_hash() {
    let tree = tree_of(vec![note("one", Kind::Fact, "one"), note("two", Kind::Fact, "two")]);
    let inputs = |request: &Request, tree: &Tree| made(request, tree, &BYTES).expect("a view").manifest.inputs;
    let request = Request::trim(4_000);
    let first = inputs(&request, &tree);
    assert_eq!(first, inputs(&request, &tree));
    let mut titled = tree.clone();
    titled.candidates[0].memory.title = Some("One".to_owned());
    let mut moved = tree.clone();
    moved.candidates.pop();
    let recent = Request {
        include_recent: 15,
        ..request.clone()
    };
    let more = Request::trim(4_001);
    let others = [
        inputs(&request, &titled),
        inputs(&request, &moved),
        inputs(&recent, &tree),
        inputs(&more, &tree),
    ];
    assert!(!others.contains(&first), "{others:?}");
}
