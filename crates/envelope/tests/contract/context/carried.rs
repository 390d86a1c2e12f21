//! What the hops of a chain remember, and what they could not read, on its way through the envelopes: also through an agent that knows
//! of no context.

use std::collections::{BTreeMap, BTreeSet};

use baton_envelope::context::{Catalogue, Chain, ContextLink, EnvelopeContext, Gap, Reach, carried_gaps};
use baton_envelope::{Envelope, Extra, IntentId, MaxHops, Successor};
use proptest::prelude::*;

use super::*;

fn id() -> IntentId {
    "order-42".parse().expect("an id")
}

fn first() -> Envelope {
    let mut first = Envelope::first(id_of(1), id(), "agent".parse().expect("a name"), Json::null());
    first.max_hops = MaxHops::new(64).expect("in range");
    first
}

fn id_of(hop: u32) -> EnvelopeId {
    EnvelopeId::generate(Timestamp::from_unix_millis(i64::from(hop)), [7; 10])
}

/// The next envelope as this build makes it, with this context.
fn handed_on(envelope: &Envelope, context: &EnvelopeContext) -> String {
    let successor = Successor {
        id: id_of(envelope.hop + 1),
        to: "agent".parse().expect("a name"),
        to_version: "1.0.0".parse().expect("a version"),
        from: "agent@1.0.0".to_owned(),
        payload: Json::null(),
        kind: None,
        history: None,
    };
    let mut next = envelope.successor(successor).expect("below the limit");
    next.context = context.json();
    serde_json::to_string(&next).expect("JSON")
}

/// Likewise, as an agent of 1.1 makes it: what it does not know it carries as it is written.
fn handed_on_by_1_1(text: &str) -> String {
    let mut fields: BTreeMap<String, Json> = serde_json::from_str(text).expect("an object");
    let hop: u32 = fields["hop"].read().expect("a number");
    for (name, value) in [
        ("protocol", Json::string("1.1.0")),
        ("id", Json::string(&id_of(hop + 1).to_string())),
        ("hop", Json::of(&(hop + 1)).expect("JSON")),
        ("from", Json::string("older@1.0.0")),
        ("payload", Json::null()),
    ] {
        fields.insert(name.to_owned(), value);
    }
    serde_json::to_string(&fields).expect("JSON")
}

/// Bytes that nothing may touch: no text, nothing at all, JSON with a spelling of its own, line ends, and what looks like a link.
fn bytes_of(hop: u32) -> Vec<u8> {
    let number = hop.to_string();
    match hop % 5 {
        0 => (0..=255).chain(number.bytes()).collect(),
        1 => Vec::new(),
        2 => format!("{{ \"a\" :\t1.50,\"\\u00e4\":[ ] , \"n\":{number}}}").into_bytes(),
        3 => format!("line {number}\r\n\r\n \u{feff}end \n").into_bytes(),
        _ => format!("{{\"link\":1,\"tree\":\"order-42\",\"depth\":{number}}}").into_bytes(),
    }
}

/// What a hop finds of what the hops before it remembered, and what it says to the next.
fn hop(store: &mut Store, envelope: &Envelope, remembered: &mut Vec<(String, Vec<u8>)>) -> EnvelopeContext {
    let before = EnvelopeContext::counted(envelope).expect("a context");
    let heads: Vec<ObjectHash> = before.head.iter().cloned().collect();
    let load = |hash: &ObjectHash| store.get(hash).cloned();
    let chain = Chain::read(id(), &heads, Reach::Catalogue, &load).expect("a chain");
    let content = |memory: &Memory| (memory.key.to_string(), store[&memory.hash].clone());
    let found: Vec<(String, Vec<u8>)> = chain.entries().iter().map(|entry| content(&entry.memory)).collect();
    assert_eq!(found, *remembered, "at hop {}", envelope.hop);
    let newest = chain.candidates();
    let newest: BTreeMap<String, Vec<u8>> = newest.iter().map(|one| content(&one.memory)).collect();
    assert_eq!(newest, remembered.iter().cloned().collect(), "at hop {}", envelope.hop);

    let at = Timestamp::from_unix_millis(1_795_237_200_000);
    let by = format!("agent-{}@1.0.0", envelope.hop);
    let link = ContextLink::first(id(), id(), envelope.hop, envelope.id, by, at);
    let mut link = link.after(&chain.heads());
    let mut put = |bytes: Vec<u8>| {
        let hash = ObjectHash::of(&bytes);
        store.insert(hash.clone(), bytes);
        hash
    };
    for name in [format!("ms-{}", envelope.hop), "state".to_owned()] {
        let bytes = bytes_of(envelope.hop);
        link.memories.push(Memory::new(key(&name), Kind::Fact, &bytes));
        put(bytes.clone());
        remembered.push((name, bytes));
    }
    if link.wants_catalogue() {
        link.catalogue = Some(put(Catalogue::of(id(), chain.entries().to_vec()).encode()));
    }
    EnvelopeContext {
        links: link.depth,
        memories: u32::try_from(remembered.len()).expect("few"),
        bytes: remembered.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
        head: Some(put(link.encode())),
        hop: Some(envelope.hop + 1),
        ..before
    }
}

/// C2: over 12 hops and over 64 each byte is as it was remembered, at each of them; also where an agent of 1.1 stands in between.
#[test]
fn each_byte_of_each_hop_is_there_at_every_later_one_also_behind_an_agent_of_1_1() {
    for (hops, older) in [(12, None), (12, Some(6)), (64, None), (64, Some(2)), (64, Some(40))] {
        let (mut store, mut remembered) = (Store::new(), Vec::new());
        let mut text = serde_json::to_string(&first()).expect("JSON");
        for number in 1..hops {
            let envelope = Envelope::decode(text.as_bytes()).expect("an envelope");
            assert_eq!(envelope.hop, number);
            text = match older == Some(number) {
                true => handed_on_by_1_1(&text),
                false => handed_on(&envelope, &hop(&mut store, &envelope, &mut remembered)),
            };
        }
        let last = Envelope::decode(text.as_bytes()).expect("an envelope");
        let end = hop(&mut store, &last, &mut remembered);
        let silent = u32::from(older.is_some());
        assert_eq!(
            (end.unlinked, end.links),
            (silent, hops - silent),
            "{hops} hops, {older:?}"
        );
        let load = |hash: &ObjectHash| store.get(hash).cloned();
        let heads: Vec<ObjectHash> = end.head.into_iter().collect();
        let whole = Chain::verify(id(), &heads, &load).expect("a chain");
        let told = u32::try_from(whole.entries().len()).expect("few");
        assert_eq!((told, remembered.len()), (end.memories, 2 * (hops - silent) as usize));
    }
}

fn gap(number: u8) -> Gap {
    let name = format!("ms-{number}");
    Gap {
        hash: ObjectHash::of(name.as_bytes()),
        key: key(&name),
        why: "CONTEXT_MISSING".to_owned(),
        extra: Extra::new(),
    }
}

/// What one hop does: it knows of no context, or it finds these gaps and closes those.
type Walked = Option<(BTreeSet<u8>, BTreeSet<u8>)>;

fn any_hop() -> impl Strategy<Value = Walked> {
    let some = |most| proptest::collection::btree_set(0_u8..8, 0..most);
    proptest::option::weighted(0.8, (some(4), some(3)))
}

proptest! {
    /// C11: a gap is in each later envelope, once, until a hop has its content; and in none after that.
    #[test]
    fn a_gap_is_in_each_later_envelope_until_it_is_closed(hops in proptest::collection::vec(any_hop(), 1..40)) {
        let mut open: BTreeSet<u8> = BTreeSet::new();
        let mut text = serde_json::to_string(&first()).expect("JSON");
        for walked in hops {
            let envelope = Envelope::decode(text.as_bytes()).expect("an envelope");
            let before = EnvelopeContext::counted(&envelope).expect("a context");
            text = match walked {
                None => handed_on_by_1_1(&text),
                Some((found, closed)) => {
                    open.retain(|number| !closed.contains(number));
                    open.extend(&found);
                    let found: Vec<Gap> = found.into_iter().map(gap).collect();
                    let closed: Vec<Gap> = closed.into_iter().map(gap).collect();
                    let gaps = carried_gaps(&before.gaps, &found, |gap| closed.contains(gap));
                    handed_on(&envelope, &EnvelopeContext { gaps, hop: Some(envelope.hop + 1), ..before })
                }
            };
            let next = Envelope::decode(text.as_bytes()).expect("an envelope");
            let mut told = EnvelopeContext::of(&next).expect("a context").gaps;
            told.sort_by(|one, other| one.key.as_str().cmp(other.key.as_str()));
            prop_assert_eq!(told, open.iter().copied().map(gap).collect::<Vec<_>>(), "in the envelope of hop {}", next.hop);
        }
    }
}
