//! The documents of context, and the text of views.

use baton_envelope::IntentId;
use baton_envelope::ObjectHash;
use baton_envelope::context::{
    AssembleError, Candidate, Catalogue, Chain, ContextLink, Counter, Fixed, Level, Manifest, Memory, Position, Reach,
    Request, SPACE_CONTENT, SpaceMemory, assemble, levels, render,
};

use crate::documents::both;

/// A link or a catalogue. What names itself by its hash asks for what it names, and for nothing else.
pub(crate) fn link(bytes: &[u8]) {
    both(bytes, ContextLink::decode);
    both(bytes, Catalogue::decode);
    let Ok(found) = ContextLink::decode(bytes) else { return };
    assert!(found.depth > 0 && found.previous.is_empty() == (found.depth == 1));
    for memory in &found.memories {
        assert_eq!(memory.check(), Ok(()), "a link holds what is out of bounds");
    }
    let head = ObjectHash::of(bytes);
    let load = |hash: &ObjectHash| (*hash == head).then(|| bytes.to_vec());
    match Chain::read(found.tree.clone(), std::slice::from_ref(&head), Reach::First, &load) {
        Ok(chain) => {
            assert!(
                found.previous.is_empty() && found.catalogue.is_none(),
                "something was not asked for"
            );
            assert_eq!(chain.entries().len(), found.memories.len());
            assert!(chain.candidates().len() <= found.memories.len());
        }
        Err(error) => {
            let named = found.previous.contains(&error.hash) || found.catalogue.as_ref() == Some(&error.hash);
            assert!(named, "{error}");
        }
    }
    let foreign: IntentId = "another-tree".parse().expect("an id");
    if found.tree != foreign {
        assert!(
            Chain::read(foreign, std::slice::from_ref(&head), Reach::First, &load).is_err(),
            "a link of another tree"
        );
    }
}

/// A manifest.
pub(crate) fn manifest(bytes: &[u8]) {
    both(bytes, Manifest::decode);
    let Ok(found) = Manifest::decode(bytes) else { return };
    assert!(found.items.iter().all(|item| item.level != Level::Full));
    // Of no candidates there is no more than an empty manifest.
    assert_eq!(levels(&[], &[], &found).is_ok(), found.items.is_empty());
}

/// A memory of a space: it never has another content than it says.
pub(crate) fn space(bytes: &[u8]) {
    both(bytes, SpaceMemory::decode);
    let Ok(found) = SpaceMemory::decode(bytes) else { return };
    let Some(memory) = &found.memory else {
        assert!(found.is_forgotten() && found.bytes().is_none());
        return;
    };
    assert_eq!((&memory.key, memory.check()), (&found.id, Ok(())));
    let content = found.bytes().expect("a content");
    assert!(content.len() <= SPACE_CONTENT && ObjectHash::of(&content) == memory.hash);
}

/// The attributes of a memory, then an empty line, then its content: a view of it holds its budget, and what stands in the
/// fence does not get out.
pub(crate) fn memory(bytes: &[u8]) {
    let (head, content) = crate::halves(bytes);
    let Ok(memory) = serde_json::from_slice::<Memory>(head) else {
        return;
    };
    if let Err(refused) = memory.check() {
        assert!(!refused.problem.is_empty() && !refused.fix.is_empty(), "{refused:?}");
        return;
    }
    let counter = Counter {
        id: "bytes#1",
        count: &|text| text.len() as u64,
    };
    let (by, intent) = ("fuzz@1.0.0".to_owned(), "fuzzed".parse().expect("an id"));
    let candidate = Candidate {
        memory: memory.counted(&by, content, &counter),
        position: Position {
            depth: 1,
            intent,
            hop: 1,
            index: 0,
        },
        by,
        out: None,
    };
    let contents = |_: &ObjectHash| Some(content);
    let only_it = |level: Level| render(&Fixed::default(), [(&candidate, level)], &contents);
    for level in [Level::Full, Level::Summary, Level::Ref] {
        stays_in_its_fence(&only_it(level));
    }
    for budget in [0, 60, 300, 10_000] {
        match assemble(
            &Request::trim(budget),
            &Fixed::default(),
            std::slice::from_ref(&candidate),
            &counter,
            &contents,
        ) {
            Ok(made) => {
                assert!(made.view.used <= budget && made.view.used == made.text.len() as u64);
                let found =
                    levels(std::slice::from_ref(&candidate), &made.refs, &made.manifest).expect("it is covered");
                assert_eq!(made.text, only_it(found.into_iter().next().expect("a level")));
            }
            Err(AssembleError::Overflow { needed, budget, .. }) => assert!(needed > budget),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One line, or one header with one fence that ends where the text ends.
fn stays_in_its_fence(item: &str) {
    let line = item.strip_suffix('\n').expect("it ends its line");
    if line.starts_with("- ") {
        assert!(!line.contains('\n'), "{item:?} gets out of its line");
        return;
    }
    let (header, rest) = line.split_once('\n').expect("a header");
    assert!(header.starts_with("### "), "{header:?}");
    let (fence, rest) = rest.split_once('\n').expect("a fence");
    assert!(fence.len() >= 3 && fence.bytes().all(|byte| byte == b'`'), "{fence:?}");
    let inner = rest.strip_suffix(fence).expect("the fence is closed");
    assert!(!inner.contains(fence), "{item:?} gets out of its fence");
}
