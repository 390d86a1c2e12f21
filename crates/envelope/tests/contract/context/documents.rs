//! The documents of context: as they always were, with bounds, and with what a newer version adds.

use baton_envelope::context::*;
use baton_envelope::{Json, Timestamp};

use super::*;

const LINK: &str = include_str!("../../golden/context/link.json");
const CATALOGUE: &str = include_str!("../../golden/context/catalogue.json");
const MANIFEST: &str = include_str!("../../golden/context/manifest.json");
const VIEW: &str = include_str!("../../golden/context/context.json");

/// The hash of the golden link: it is the name of the object.
const LINK_HASH: &str = "7f8eb3a3c8f3cd59db7f40f2e214068e6af95ca17d08d5881a71e4b16e5d256c";
/// The hash of the golden manifest.
const MANIFEST_HASH: &str = "48d3e0750a6ffb12b7f1142438520a7fe2d0ad6ddd6641901b56fec56b4e63c4";

fn comes_back<T>(text: &str, decode: impl Fn(&[u8]) -> T)
where
    T: serde::Serialize,
{
    let text = text.trim_end();
    let written = serde_json::to_string(&decode(text.as_bytes())).expect("JSON");
    assert_eq!(written, text);
    let newer = text.replacen('{', "{\"acme_zone\":[ 7],", 1);
    let written = serde_json::to_string(&decode(newer.as_bytes())).expect("JSON");
    assert!(written.contains("\"acme_zone\":[ 7]"), "{written}");
}

#[test]
fn documents_are_written_as_they_always_were() {
    comes_back(LINK, |bytes| ContextLink::decode(bytes).expect("a link"));
    comes_back(CATALOGUE, |bytes| Catalogue::decode(bytes).expect("a catalogue"));
    comes_back(MANIFEST, |bytes| Manifest::decode(bytes).expect("a manifest"));
    comes_back(VIEW, |bytes| {
        serde_json::from_slice::<EnvelopeContext>(bytes).expect("a context")
    });
    assert_eq!(ObjectHash::of(LINK.trim_end().as_bytes()).as_str(), LINK_HASH);
    let link = ContextLink::decode(LINK.as_bytes()).expect("a link");
    assert_eq!(link.hash().as_str(), LINK_HASH);
    assert_eq!(link.memories[1].kind, Kind::Unknown("hunch".to_owned()));
    let manifest = Manifest::decode(MANIFEST.as_bytes()).expect("a manifest");
    assert_eq!(manifest.hash().as_str(), MANIFEST_HASH);
    let context: EnvelopeContext = serde_json::from_str(VIEW).expect("a context");
    let view = context.view.expect("a view");
    assert_eq!(view.manifest, ManifestAt::Inline(Box::new(manifest.clone())));
    assert_eq!(view.manifest, ManifestAt::of(&manifest));
}

#[test]
fn a_large_manifest_is_named_by_its_hash() {
    let mut manifest = Manifest::decode(MANIFEST.as_bytes()).expect("a manifest");
    let item = manifest.items[0].clone();
    manifest.items = (0..40)
        .map(|n| ManifestItem {
            key: key(&format!("ms-{n}")),
            ..item.clone()
        })
        .collect();
    let at = ManifestAt::of(&manifest);
    assert_eq!(at, ManifestAt::Object(manifest.hash()));
    let written = serde_json::to_string(&at).expect("JSON");
    assert_eq!(serde_json::from_str::<ManifestAt>(&written).expect("read"), at);
    assert!(serde_json::from_str::<ManifestAt>("\"no hash\"").is_err());
    assert!(serde_json::from_str::<ManifestAt>("7").is_err());
}

#[test]
fn a_memory_out_of_bounds_is_refused_by_field_value_and_fix() {
    let good = || Memory::new(key("ms-1"), Kind::Fact, b"x");
    assert_eq!(good().check(), Ok(()));
    let mut longest = good();
    longest.title = Some("ä".repeat(200));
    longest.summary = Some("x".repeat(2_048));
    longest.kind = Kind::Unknown("hunch".to_owned());
    assert_eq!(longest.check(), Ok(()));
    let refused = |change: &dyn Fn(&mut Memory)| {
        let mut memory = good();
        change(&mut memory);
        let refused = memory.check().expect_err("out of bounds");
        assert!(!refused.fix.is_empty() && refused.key == "ms-1", "{refused:?}");
        // A link refuses it, too, and says where it is.
        let at = Timestamp::from_unix_millis(1);
        let tree = "order-42".parse::<baton_envelope::IntentId>().expect("an id");
        let mut link = ContextLink::first(tree.clone(), tree, 1, envelope_id(1), "a@1.0.0".to_owned(), at);
        link.memories = vec![good(), memory];
        let error = ContextLink::decode(&link.encode()).expect_err("out of bounds");
        assert_eq!(error.field, format!("memories[1].{}", refused.field));
        refused
    };
    let title = refused(&|memory| memory.title = Some("x".repeat(201)));
    assert_eq!(
        title.to_string(),
        format!(
            "memory \"ms-1\": `title` \"{}... (201 bytes)\" has 201 characters; give one line of at most 200 characters, or \
             leave it out",
            "x".repeat(80)
        )
    );
    assert_eq!(refused(&|memory| memory.title = Some("a\nb".to_owned())).field, "title");
    assert_eq!(
        refused(&|memory| memory.summary = Some("x".repeat(2_049))).field,
        "summary"
    );
    assert_eq!(
        refused(&|memory| memory.kind = Kind::Unknown("a b".to_owned())).field,
        "kind"
    );
    assert_eq!(
        refused(&|memory| memory.media = Some("text/plain\n# x".to_owned())).field,
        "media"
    );
    assert_eq!(
        refused(&|memory| memory.supersedes = Some(key("ms-1"))).field,
        "supersedes"
    );
    let error = "a.b".parse::<MemoryKey>().expect_err("no token").to_string();
    assert!(
        error.starts_with("memory key \"a.b\" is not valid: 1 to 128 characters"),
        "{error}"
    );
}

#[test]
fn a_number_out_of_range_is_named_by_its_path() {
    let bad = LINK.replacen("\"relevance\":800", "\"relevance\":1001", 1);
    let error = ContextLink::decode(bad.as_bytes()).expect_err("out of range");
    assert_eq!(
        (error.field.as_str(), error.value.as_deref()),
        ("memories[0].relevance", Some("1001"))
    );
    assert_eq!(error.problem, "relevance 1001 is out of range: expected 0 to 1000");
    for (from, to, field) in [
        ("\"link\":1", "\"link\":2", "link"),
        ("\"hash\":\"", "\"hash\":\"x", "memories[0].hash"),
        ("\"by\":\"", "\"by\":\"\\u0000", "by"),
    ] {
        let bad = LINK.replacen(from, to, 1);
        assert_eq!(ContextLink::decode(bad.as_bytes()).expect_err(to).field, field);
    }
    let full = MANIFEST.replacen("\"level\":\"summary\"", "\"level\":\"full\"", 1);
    assert_eq!(
        Manifest::decode(full.as_bytes()).expect_err("in full").field,
        "items[0].level"
    );
    let many = (0..=1_000).map(|n| Memory::new(key(&format!("ms-{n}")), Kind::Fact, b""));
    let mut link = ContextLink::decode(LINK.as_bytes()).expect("a link");
    link.memories = many.collect();
    assert_eq!(
        ContextLink::decode(&link.encode()).expect_err("too many").field,
        "memories"
    );
}

/// Section 6 of the seeds: 95 and 80 of 100.
#[test]
fn completeness_is_compared_without_fractions() {
    for (resolved, requested, concern) in [
        (20, 20, Concern::None),
        (19, 20, Concern::None),
        (18, 20, Concern::Warning),
        (16, 20, Concern::Warning),
        (15, 20, Concern::Alarm),
        (0, 0, Concern::None),
        (0, 3, Concern::Alarm),
        (94, 100, Concern::Warning),
        (80, 100, Concern::Warning),
        (79, 100, Concern::Alarm),
        (u64::MAX - 1, u64::MAX, Concern::None),
    ] {
        assert_eq!(
            Completeness::of(resolved, requested).concern(),
            concern,
            "{resolved} of {requested}"
        );
    }
}

/// C11, the pure half: a gap is carried until it is closed.
#[test]
fn a_gap_is_carried_until_it_is_closed() {
    let gap = |name: &str| Gap {
        key: key(name),
        hash: ObjectHash::of(name.as_bytes()),
        why: "not there".to_owned(),
        extra: baton_envelope::Extra::new(),
    };
    let (one, two) = (gap("ms-1"), gap("ms-2"));
    let first = carried_gaps(&[], std::slice::from_ref(&one), |_| false);
    let second = carried_gaps(&first, &[one.clone(), two.clone()], |_| false);
    assert_eq!(second, [one.clone(), two.clone()]);
    assert_eq!(carried_gaps(&second, &[], |gap| *gap == one), [two]);
}

#[test]
fn what_stands_in_every_view_comes_from_the_envelope() {
    let intent = "order-42".parse().expect("an id");
    let to = "code".parse().expect("a name");
    let mut envelope = baton_envelope::Envelope::first(envelope_id(1), intent, to, Json::string("do it"));
    envelope.task = Some(task("Implement it"));
    let envelope = envelope.with_constraints(Json::parse(r#"{"a": 1}"#).expect("JSON"));
    let fixed = Fixed::of(&envelope);
    let text = render(&fixed, [], &|_| None);
    let expected =
        "## constraints\n```\n{\"a\": 1}\n```\n## ask\n```\nImplement it\n```\n## payload\n```\ndo it\n```\n";
    assert_eq!(text, expected);
    let mut bytes = envelope.clone();
    bytes.payload_encoding = Some("base64".to_owned());
    assert_eq!(Fixed::of(&bytes).payload, None);
    bytes.payload_encoding = None;
    bytes.payload = Json::null();
    assert_eq!(Fixed::of(&bytes).payload, None);
}
