//! The chain: what was remembered comes out again, in order; and nothing in it can be altered unseen.

use baton_envelope::context::*;
use baton_envelope::{IntentId, Timestamp};
use proptest::prelude::*;

use super::*;

fn tree() -> IntentId {
    "order-42".parse().expect("an id")
}

fn link(hop: u32) -> ContextLink {
    let at = Timestamp::from_unix_millis(1_795_237_200_000);
    ContextLink::first(tree(), tree(), hop, envelope_id(1), format!("agent-{hop}@1.0.0"), at)
}

/// A tree as its hops write it.
#[derive(Debug, Clone, Default)]
struct Written {
    store: Store,
    heads: Vec<(ObjectHash, u32)>,
    links: Vec<ObjectHash>,
}

impl Written {
    fn put(&mut self, bytes: Vec<u8>) -> ObjectHash {
        let hash = ObjectHash::of(&bytes);
        self.store.insert(hash.clone(), bytes);
        hash
    }

    fn load(&self) -> impl Fn(&ObjectHash) -> Option<Vec<u8>> {
        |hash| self.store.get(hash).cloned()
    }

    fn hashes(&self) -> Vec<ObjectHash> {
        self.heads.iter().map(|(hash, _)| hash.clone()).collect()
    }

    fn read(&self, reach: Reach) -> Result<Chain, ChainError> {
        Chain::read(tree(), &self.hashes(), reach, &self.load())
    }

    fn verify(&self) -> Result<Chain, ChainError> {
        Chain::verify(tree(), &self.hashes(), &self.load())
    }

    /// One hop more, with these memories.
    fn hop(&mut self, intent: &str, hop: u32, memories: &[(&str, &str)]) {
        let mut link = link(hop).after(&self.heads);
        link.intent = intent.parse().expect("an id");
        for (name, content) in memories {
            let memory = Memory::new(key(name), Kind::Fact, content.as_bytes());
            self.put(content.as_bytes().to_vec());
            link.memories.push(memory);
        }
        self.finish(link);
    }

    fn finish(&mut self, mut link: ContextLink) {
        if link.wants_catalogue() {
            let known = self.read(Reach::Catalogue).expect("a chain").entries().to_vec();
            link.catalogue = Some(self.put(Catalogue::of(tree(), known).encode()));
        }
        let hash = self.put(link.encode());
        self.links.push(hash.clone());
        self.heads = vec![(hash, link.depth)];
    }

    fn of_hops(hops: u32) -> Self {
        let mut written = Self::default();
        for hop in 1..=hops {
            let (name, content) = (format!("ms-{hop}"), format!("what hop {hop} found"));
            written.hop("order-42", hop, &[(&name, &content), ("state", &content)]);
        }
        written
    }
}

fn keys(chain: &Chain) -> Vec<String> {
    chain
        .candidates()
        .iter()
        .map(|one| one.memory.key.to_string())
        .collect()
}

/// C2, without the streams: what was remembered at any hop is there after the last, byte for byte and in order.
#[test]
fn after_any_number_of_hops_everything_is_there_in_order() {
    for hops in [1, 8, 12, 16, 17, 64] {
        let written = Written::of_hops(hops);
        let chain = written.verify().expect("a chain");
        assert_eq!(chain.links().count(), hops as usize);
        let expected: Vec<String> = (1..=hops)
            .flat_map(|hop| [format!("ms-{hop}"), "state".to_owned()])
            .collect();
        let found: Vec<&str> = chain.entries().iter().map(|entry| entry.memory.key.as_str()).collect();
        assert_eq!(found, expected);
        let candidates = chain.candidates();
        assert_eq!(
            candidates.len(),
            hops as usize + 1,
            "the newest revision of `state` alone"
        );
        let newest = &candidates.last().expect("a candidate").memory;
        assert_eq!(newest.hash, ObjectHash::of(format!("what hop {hops} found").as_bytes()));
        // A reader who stops at the catalogue sees the same, with a fraction of the links.
        let short = written.read(Reach::Catalogue).expect("a chain");
        assert_eq!(short.candidates(), candidates);
        assert!(short.links().count() <= 16, "{} links were read", short.links().count());
        assert_eq!(short.heads(), written.heads);
    }
}

proptest! {
    /// C3: whatever is done to an object of the tree, it is found, and where.
    #[test]
    fn a_flipped_dropped_or_swapped_object_is_found_where_it_is(
        hops in 1_u32..20, at in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(), bit in 0_u8..8, how in 0_u8..3,
    ) {
        let mut written = Written::of_hops(hops);
        prop_assert!(written.verify().is_ok());
        let names: Vec<ObjectHash> = written.store.keys().cloned().collect();
        let hash = at.get(&names).clone();
        let other = other.get(&names).clone();
        let broken = match how {
            0 => {
                let bytes = written.store.get_mut(&hash).expect("an object");
                let place = byte.index(bytes.len());
                bytes[place] ^= 1 << bit;
                vec![hash]
            }
            1 => {
                written.store.remove(&hash);
                vec![hash]
            }
            _ => {
                let (one, two) = (written.store[&hash].clone(), written.store[&other].clone());
                prop_assume!(hash != other);
                written.store.insert(hash.clone(), two);
                written.store.insert(other.clone(), one);
                vec![hash, other]
            }
        };
        let error = written.verify().expect_err("it was not seen");
        prop_assert!(broken.contains(&error.hash), "{}", error);
        prop_assert_eq!(matches!(error.fault, ChainFault::Missing), how == 1, "{}", error);
        prop_assert!(error.path.starts_with("head 0, "), "{}", error.path);
        // How far back it is: the last hop that names it finds it.
        let is_link = written.links.iter().position(|link| *link == error.hash);
        if let Some(place) = is_link {
            prop_assert_eq!(&error.path, &format!("head 0, {} links back", written.links.len() - 1 - place));
        }
    }

    /// C3: the references of an envelope.
    #[test]
    fn a_swapped_dropped_or_foreign_reference_is_found(
        hops in 2_u32..12, one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>(), how in 0_u8..5,
    ) {
        let written = Written::of_hops(hops);
        let candidates = written.verify().expect("a chain").candidates();
        let load = |hash: &ObjectHash| written.store.get(hash).map(Vec::as_slice);
        let made = assemble(&Request::trim(100_000), &fixed(), &candidates, &BYTES, &load).expect("a view");
        prop_assert!(levels(&candidates, &made.refs, &made.manifest).is_ok());
        let mut refs = made.refs.clone();
        let (one, two) = (one.index(refs.len()), two.index(refs.len()));
        prop_assume!(one != two);
        let named = |place: usize| format!("memory[{place}]");
        let error = |refs: &[baton_envelope::MemoryRef]| levels(&candidates, refs, &made.manifest).expect_err("unseen");
        match how {
            0 => {
                refs.swap(one, two);
                let place = named(one.min(two) + 1);
                let is_found = matches!(error(&refs), Uncovered::OutOfOrder { place: found, .. } if found == place);
                prop_assert!(is_found, "{:?}", error(&refs));
            }
            1 => {
                let lost = refs.remove(one).key;
                prop_assert_eq!(error(&refs), Uncovered::Lost { key: key(&lost) });
            }
            2 => {
                refs[one].hash = refs[two].hash.clone();
                let key = refs[one].key.clone();
                let place = named(one);
                let expected = Uncovered::Other { place, key };
                // Two contents of one text are one object.
                let is_other = candidates[one].memory.hash != candidates[two].memory.hash;
                prop_assert!(!is_other || error(&refs) == expected);
            }
            3 => {
                refs[one].key = "ms-404".to_owned();
                let (place, key) = (named(one), "ms-404".to_owned());
                prop_assert_eq!(error(&refs), Uncovered::Foreign { place, key });
            }
            _ => {
                let twice = refs[one].clone();
                refs.insert(one, twice.clone());
                prop_assert_eq!(error(&refs), Uncovered::Twice { key: key(&twice.key) });
            }
        }
    }
}

#[test]
fn branches_that_run_beside_each_other_are_joined() {
    let mut written = Written::default();
    written.hop("order-42", 1, &[("plan", "the plan")]);
    let parent = written.heads.clone();
    let mut heads = Vec::new();
    for child in ["order-42-2", "order-42-1"] {
        written.heads.clone_from(&parent);
        written.hop(child, 1, &[(child, "a part"), ("shared", child)]);
        heads.extend(written.heads.clone());
    }
    written.heads = heads;
    written.hop("order-42", 2, &[("sum", "all parts")]);
    let chain = written.verify().expect("a chain");
    // By depth, then by the id of the intent, whatever the order in which the join names them.
    assert_eq!(keys(&chain), ["plan", "order-42-1", "order-42-2", "shared", "sum"]);
    let shared = &chain.candidates()[3];
    assert_eq!(shared.memory.hash, ObjectHash::of(b"order-42-2"));
    assert_eq!((shared.position.depth, shared.by.as_str()), (2, "agent-1@1.0.0"));
    assert_eq!(chain.heads()[0].1, 3);
}

#[test]
fn a_join_names_no_link_that_stands_before_another_and_one_of_many_has_a_catalogue() {
    let mut written = Written::default();
    written.hop("order-42", 1, &[("plan", "the plan")]);
    let parent = written.heads.clone();
    let mut heads = parent.clone();
    for child in 0..CATALOGUE_EVERY {
        written.heads.clone_from(&parent);
        written.hop(&format!("order-42-{child}"), 1, &[(&format!("part-{child}"), "a part")]);
        heads.extend(written.heads.clone());
    }
    let children = heads.split_off(1);
    written.heads = [parent, children.clone()].concat();
    let chain = written.read(Reach::Catalogue).expect("a chain");
    assert_eq!(
        chain.heads(),
        children,
        "that of the parent is before those of its children"
    );
    written.heads = chain.heads();
    written.hop("order-42", 2, &[("sum", "all parts")]);
    let chain = written.verify().expect("a chain");
    assert_eq!(chain.entries().len(), CATALOGUE_EVERY as usize + 2);
    let near = written.read(Reach::Catalogue).expect("a chain");
    assert_eq!(near.links().count(), 1, "its catalogue has all before it");
    assert_eq!(near.entries(), chain.entries());
}

#[test]
fn what_a_later_memory_takes_the_place_of_is_out_until_it_comes_again() {
    let mut written = Written::default();
    written.hop("order-42", 1, &[("old", "one")]);
    let mut next = link(2).after(&written.heads);
    let mut memory = Memory::new(key("new"), Kind::Fact, b"two");
    memory.supersedes = Some(key("old"));
    written.put(b"two".to_vec());
    next.memories.push(memory);
    written.finish(next);
    let outs = |chain: &Chain| chain.candidates().iter().map(|one| one.out).collect::<Vec<_>>();
    assert_eq!(outs(&written.verify().expect("a chain")), [Some(Out::Superseded), None]);
    written.hop("order-42", 3, &[("old", "three")]);
    assert_eq!(outs(&written.verify().expect("a chain")), [None, None]);
}

#[test]
fn a_chain_that_lies_is_refused_with_its_place() {
    let written = Written::of_hops(3);
    let said = |written: &Written| written.verify().expect_err("a lie").to_string();
    // A link of another tree.
    let mut foreign = written.clone();
    let mut other = link(4).after(&foreign.heads);
    other.tree = "order-43".parse().expect("an id");
    foreign.finish(other);
    let error = said(&foreign);
    assert!(
        error.contains("head 0, 0 links back") && error.contains("belongs to the tree \"order-43\""),
        "{error}"
    );
    // A link that says another place than it has: in a circle every link would have to.
    let mut deeper = written.clone();
    let mut other = link(4).after(&deeper.heads);
    other.depth = 9;
    deeper.finish(other);
    let error = said(&deeper);
    assert!(
        error.contains("it says that it is link 9 of the chain, and it is link 4"),
        "{error}"
    );
    // A size that the content does not have.
    let mut larger = written.clone();
    let mut other = link(4).after(&larger.heads);
    other.memories.push(Memory::new(key("ms-9"), Kind::Fact, b"nine"));
    larger.put(b"nine".to_vec());
    other.memories[0].bytes = 5;
    larger.finish(other);
    let error = said(&larger);
    assert!(
        error.contains("memory 0 \"ms-9\"") && error.contains("4 bytes, and its link says 5"),
        "{error}"
    );
    // A catalogue that leaves something out, which a reader who stops there could not see.
    let mut forgets = Written::of_hops(15);
    let mut other = link(16).after(&forgets.heads);
    let mut known = forgets.read(Reach::First).expect("a chain").entries().to_vec();
    known.pop();
    other.catalogue = Some(forgets.put(Catalogue::of(tree(), known).encode()));
    let hash = forgets.put(other.encode());
    forgets.heads = vec![(hash, 16)];
    assert!(forgets.read(Reach::Catalogue).is_ok());
    let error = said(&forgets);
    assert!(
        error.contains("its catalogue") && error.contains("lists other memories"),
        "{error}"
    );
    // One that has what came after it.
    let mut ahead = Written::of_hops(15);
    let mut other = link(16).after(&ahead.heads);
    let mut later = ahead.read(Reach::First).expect("a chain").entries().to_vec();
    later.last_mut().expect("an entry").depth = 16;
    other.catalogue = Some(ahead.put(Catalogue::of(tree(), later).encode()));
    let hash = ahead.put(other.encode());
    ahead.heads = vec![(hash, 16)];
    let error = ahead.read(Reach::Catalogue).expect_err("a lie").to_string();
    assert!(error.contains("link 16"), "{error}");
}

#[test]
fn no_chain_is_longer_than_it_may_be() {
    let mut last = link(1);
    last.depth = 4_097;
    last.previous = vec![ObjectHash::of(b"before")];
    let error = ContextLink::decode(&last.encode()).expect_err("too deep");
    assert_eq!((error.field.as_str(), error.value.as_deref()), ("depth", Some("4097")));
    let mut first = link(1);
    first.depth = 2;
    assert_eq!(
        ContextLink::decode(&first.encode())
            .expect_err("no link before it")
            .field,
        "depth"
    );
    let twice = link(2).after(&[(ObjectHash::of(b"one"), 1), (ObjectHash::of(b"one"), 1)]);
    assert_eq!(
        ContextLink::decode(&twice.encode()).expect_err("twice").field,
        "previous"
    );
}

#[test]
fn a_walk_asks_for_what_it_needs_and_for_nothing_else() {
    let written = Written::of_hops(3);
    let mut walk = Walk::new(tree(), &written.hashes(), Reach::First);
    let mut asked = Vec::new();
    loop {
        let next = walk.needs().next().cloned();
        let Some(hash) = next else { break };
        asked.push(hash.clone());
        walk.take(&hash, written.store.get(&hash).map(Vec::as_slice))
            .expect("a link");
    }
    asked.reverse();
    assert_eq!(asked, written.links);
    // What nobody asked for changes nothing; what is still needed is missed.
    let mut walk = Walk::new(tree(), &written.hashes(), Reach::First);
    walk.take(&ObjectHash::of(b"x"), Some(b"y")).expect("it is ignored");
    assert_eq!(walk.finish().expect_err("nothing was taken").fault, ChainFault::Missing);
    let none = Chain::read(tree(), &[], Reach::First, &|_| None).expect("an empty chain");
    assert!(none.candidates().is_empty());
}
