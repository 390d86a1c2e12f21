//! Views by the counter that there is: the example of the specification, to the token, and its neighbours.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::collections::BTreeMap;

use baton_envelope::context::*;
use baton_envelope::{Extra, HistoryEntry, Json, ObjectHash, Task};
use baton_tokens::{Counter as _, O200k};

const COUNTER: Counter<'static> = Counter {
    id: O200k::ID,
    count: &|text| O200k.count(text),
};

/// What the view of the example takes, and what it may.
const USED: u64 = 3_247;
const BUDGET: u64 = 4_000;
/// One token each, wherever they stand behind a word.
const FILLER: &str = " retry";

/// The memories of the example.
const MEMORIES: [(&str, &str, &str); 5] = [
    (
        "ms-4821",
        "Limits of the payment interface",
        include_str!("golden/view/ms-4821.md"),
    ),
    ("ms-4822", "An hour of calls", include_str!("golden/view/ms-4822.txt")),
    (
        "ms-4823",
        "What may be tried again?",
        include_str!("golden/view/ms-4823.md"),
    ),
    ("ms-4824", "Retry strategy", include_str!("golden/view/ms-4824.md")),
    ("ms-4825", "The module today", include_str!("golden/view/ms-4825.md")),
];

fn key(text: &str) -> MemoryKey {
    text.parse().expect("a key")
}

/// The candidates of a tree, and the contents.
#[derive(Clone, Default)]
struct Tree {
    candidates: Vec<Candidate>,
    store: BTreeMap<ObjectHash, Vec<u8>>,
}

impl Tree {
    /// The memories of the example, with so many tokens more in the first.
    fn example(more: u64) -> Self {
        let mut tree = Self::default();
        let kinds = [
            Kind::Fact,
            Kind::Observation,
            Kind::Question,
            Kind::Decision,
            Kind::File,
        ];
        for ((name, title, content), kind) in MEMORIES.into_iter().zip(kinds) {
            let filler = if name == "ms-4821" { more } else { 0 };
            let filler = FILLER.repeat(usize::try_from(filler).expect("small"));
            let content = content.replace("once more then.", &format!("once more{filler} then."));
            tree.remember(name, kind, 500, Some(title), content);
        }
        tree
    }

    fn remember(&mut self, name: &str, kind: Kind, relevance: i64, title: Option<&str>, content: String) {
        let index = u32::try_from(self.candidates.len()).expect("few");
        let by = if index < 3 { "research@2.1.0" } else { "code@1.4.0" };
        let mut memory = Memory::new(key(name), kind, content.as_bytes());
        memory.title = title.map(str::to_owned);
        memory.relevance = Relevance::new(relevance).expect("in range");
        memory.pinned = name == "ms-4824";
        let memory = memory.counted(by, content.as_bytes(), &COUNTER);
        memory.check().expect("within bounds");
        self.store.insert(memory.hash.clone(), content.into_bytes());
        self.candidates.push(Candidate {
            memory,
            position: Position {
                depth: 1 + index / 3,
                intent: "order-42".parse().expect("an id"),
                hop: 1 + index / 3,
                index: index % 3,
            },
            by: by.to_owned(),
            out: None,
        });
    }

    fn view(&self, include_recent: u32) -> Assembled {
        let fixed = fixed();
        let budget = view_budget(None, fixed.constraints.as_ref(), Some(8_000));
        assert_eq!(budget, BUDGET, "by max_tokens of the constraints");
        let request = Request {
            include_recent,
            ..Request::trim(budget)
        };
        let contents = |hash: &ObjectHash| self.store.get(hash).map(Vec::as_slice);
        let made = assemble(&request, &fixed, &self.candidates, &COUNTER, &contents).expect("a view");
        assert_eq!(O200k.count(&made.text), made.view.used, "what is said is what is there");
        levels(&self.candidates, &made.refs, &made.manifest).expect("all candidates, each once");
        made
    }
}

fn fixed() -> Fixed {
    let entry = |agent: &str, version: &str, hop, did: &str, decided: &str, why: &str, reference: &str| HistoryEntry {
        agent: agent.parse().expect("a name"),
        version: Some(version.parse().expect("a version")),
        hop: Some(hop),
        at: None,
        did: Some(did.to_owned()),
        decided: Some(decided.to_owned()),
        why: Some(why.to_owned()),
        refs: vec![reference.to_owned()],
        extra: Extra::new(),
    };
    let constraints = r#"{"language":"python","max_tokens":4000,"style":"PEP 8","new_dependencies":false}"#;
    Fixed {
        constraints: Some(Json::parse(constraints).expect("JSON")),
        task: Some(Task {
            goal: Some("Calls to the payment interface survive its limits.".to_owned()),
            state: Some("The limits are known, the strategy is decided, nothing is written.".to_owned()),
            ask: Some("Implement the retry logic with exponential backoff, and tests for it.".to_owned()),
            extra: Extra::new(),
        }),
        history: vec![
            entry(
                "research",
                "2.1.0",
                1,
                "read the documentation and an hour of calls",
                "there are two limits",
                "503 comes below the documented one",
                "ms-4822",
            ),
            entry(
                "code",
                "1.4.0",
                2,
                "compared three libraries",
                "own backoff",
                "none supports jitter and Retry-After",
                "ms-4824",
            ),
        ],
        ..Fixed::default()
    }
}

fn given(made: &Assembled) -> Vec<&str> {
    made.refs.iter().map(|given| given.key.as_str()).collect()
}

fn lowered(made: &Assembled) -> Vec<(&str, &Level, &Why, Option<u32>)> {
    let items = made.manifest.items.iter();
    items
        .map(|item| (item.key.as_str(), &item.level, &item.why, item.score))
        .collect()
}

#[test]
fn the_view_of_the_example_takes_3247_of_4000() {
    let made = Tree::example(0).view(RECENT_DEFAULT);
    assert_eq!((made.view.used, made.view.budget), (USED, BUDGET));
    assert_eq!(
        given(&made),
        MEMORIES.map(|(key, _, _)| key),
        "in the order of the chain"
    );
    assert!(made.manifest.items.is_empty());
    let expected = include_str!("golden/view/view.json").trim_end();
    assert_eq!(serde_json::to_string(&made.view).expect("JSON"), expected);
}

/// The variant of a broadcast: 15 of the newest in place of 20. With five memories that is the same text by another rule.
#[test]
fn a_broadcast_with_15_recent_ones_gives_the_same_text_by_other_inputs() {
    let (made, broadcast) = (Tree::example(0).view(RECENT_DEFAULT), Tree::example(0).view(15));
    assert_eq!((broadcast.view.used, &broadcast.text), (USED, &made.text));
    assert_ne!(broadcast.manifest.inputs, made.manifest.inputs);
}

#[test]
fn with_more_memories_15_or_20_recent_ones_are_another_choice() {
    let mut tree = Tree::default();
    for index in 0..30 {
        let content = format!("Fact number {index}. {}", "It is a rather long one. ".repeat(40));
        tree.remember(&format!("ms-{index}"), Kind::Fact, 1_000 - index * 30, None, content);
    }
    let tiers = |recent| {
        let made = tree.view(recent);
        let items = made.manifest.items.iter();
        // Of 30, number 12 has 17 newer ones.
        items
            .clone()
            .find(|item| item.key.as_str() == "ms-12")
            .and_then(|item| item.tier)
    };
    assert_eq!(tiers(15), Some(3));
    assert_ne!(tiers(20), Some(3));
}

#[test]
fn a_token_less_and_the_budget_to_the_token_are_reached() {
    for used in [USED + 1, BUDGET - 1, BUDGET] {
        let made = Tree::example(used - USED).view(RECENT_DEFAULT);
        assert_eq!((made.view.used, made.refs.len()), (used, 5));
    }
    // A token less: without the last article of the first memory.
    let mut tree = Tree::default();
    for (candidate, (name, title, content)) in Tree::example(0).candidates.iter().zip(MEMORIES) {
        let content = content.replace("has a tenth of them.", "has tenth of them.");
        tree.remember(name, candidate.memory.kind.clone(), 500, Some(title), content);
    }
    assert_eq!(tree.view(RECENT_DEFAULT).view.used, USED - 1);
}

/// By hand: the pin is in, the open question comes next. Of the others, `2 * 500 + recency + weight` is 1000 + 1000 + 50 for
/// the file, 1000 + 400 + 100 for the observation and 1000 + 200 + 200 for the fact: it comes last, and has no room.
#[test]
fn a_token_more_than_the_budget_costs_the_last_its_next_level() {
    let made = Tree::example(BUDGET + 1 - USED).view(RECENT_DEFAULT);
    assert_eq!(given(&made), ["ms-4822", "ms-4823", "ms-4824", "ms-4825"]);
    assert_eq!(
        lowered(&made),
        [("ms-4821", &Level::Summary, &Why::Budget, Some(1_400))]
    );
    let item = &made.manifest.items[0];
    assert_eq!(item.needed.map(|needed| needed - 1), item.left, "one token was missing");
    assert!(made.text.contains("### ms-4821 fact by research@2.1.0, summary\n"));
}

/// By hand, with a sixth memory that is too long for what is left: as a log that nobody needs it has 0 + 1000 + 0, less than
/// all others, and has no room itself. As a constraint that matters it has 2000 + 1000 + 400 and takes the place of the fact,
/// which has 1000 + (1000 - 833) + 200.
#[test]
fn a_sixth_memory_has_the_place_that_its_score_gives_it() {
    let content = "attempt 3 of 5: 503 after 812 ms, waiting 3.1 s\n".repeat(40);
    let mut unimportant = Tree::example(0);
    unimportant.remember("ms-4826", Kind::Log, 0, None, content.clone());
    let made = unimportant.view(RECENT_DEFAULT);
    assert_eq!(given(&made), MEMORIES.map(|(key, _, _)| key));
    assert_eq!(
        lowered(&made),
        [("ms-4826", &Level::Summary, &Why::Budget, Some(1_000))]
    );
    assert_eq!(made.manifest.items[0].left, Some(BUDGET - USED));
    assert_eq!(made.view.used, USED + made.manifest.items[0].tokens);

    let mut important = Tree::example(0);
    important.remember("ms-4826", Kind::Constraint, 1_000, None, content);
    let made = important.view(RECENT_DEFAULT);
    assert_eq!(given(&made), ["ms-4822", "ms-4823", "ms-4824", "ms-4825", "ms-4826"]);
    assert_eq!(
        lowered(&made),
        [("ms-4821", &Level::Summary, &Why::Budget, Some(1_367))]
    );
    let fact = important.candidates[0].memory.tokens[O200k::ID].clone();
    let sixth = important.candidates[5].memory.tokens[O200k::ID].full;
    assert_eq!(
        made.view.used,
        USED - fact.full + fact.summary.expect("a long text") + sixth
    );
}
