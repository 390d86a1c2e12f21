//! The text of a view: what is in it comes out of it again, whatever was written there.

use baton_envelope::context::*;
use proptest::prelude::*;

use super::*;

/// What a reader who knows nothing but headers and fences finds: each header with its text, and each line.
fn read(view: &str) -> Vec<(String, Option<String>)> {
    let (mut found, mut lines) = (Vec::new(), view.split_inclusive('\n'));
    while let Some(line) = lines.next() {
        let line = line.strip_suffix('\n').expect("every line ends");
        if let Some(line) = line.strip_prefix("- ") {
            found.push((line.to_owned(), None));
            continue;
        }
        assert!(line.starts_with('#'), "outside of a fence: {line:?}");
        let fence = lines.next().expect("a fence");
        assert!(
            fence.trim_end_matches('`') == "\n" || fence.trim_matches('`') == "\n",
            "{fence:?}"
        );
        let mut text = String::new();
        loop {
            let inner = lines.next().expect("the fence is closed");
            if inner == fence {
                break;
            }
            text.push_str(inner);
        }
        let text = text.strip_suffix('\n').expect("the text has its own line").to_owned();
        found.push((line.trim_start_matches(['#', ' ']).to_owned(), Some(text)));
    }
    found
}

fn rendered(memory: Memory, content: Option<&str>, level: Level) -> String {
    let candidate = candidate(memory, 0);
    render(&Fixed::default(), [(&candidate, level)], &|_| {
        content.map(str::as_bytes)
    })
}

proptest! {
    #[test]
    fn no_text_ends_its_fence_or_makes_a_header(
        contents in proptest::collection::vec((hostile(), "[^\\n\\r\\x00-\\x1f\\x7f-\\x9f]{0,20}"), 1..6),
        ask in hostile(),
    ) {
        let memories = contents.iter().zip(0..).map(|((content, title), index)| {
            let mut memory = Memory::new(key(&format!("ms-{index}")), Kind::Fact, content.as_bytes());
            memory.title = Some(title.clone());
            memory.summary = Some(content.clone());
            candidate(memory, index)
        });
        let candidates: Vec<Candidate> = memories.collect();
        let store: Store = contents.iter().map(|(content, _)| {
            (ObjectHash::of(content.as_bytes()), content.clone().into_bytes())
        }).collect();
        let fixed = Fixed {
            task: Some(task(&ask)),
            payload: Some(ask.clone()),
            history: vec![entry_of_history("qa", &ask); 10],
            ..Fixed::default()
        };
        for level in [Level::Full, Level::Summary, Level::Ref] {
            let items = candidates.iter().map(|one| (one, level.clone()));
            let view = render(&fixed, items, &|hash| store.get(hash).map(Vec::as_slice));
            let found = read(&view);
            let headers: Vec<&str> = found.iter().map(|(header, _)| header.as_str()).collect();
            prop_assert_eq!(&headers[..3], &["ask", "payload", "earlier history"]);
            prop_assert_eq!(found[0].1.as_deref(), Some(ask.as_str()));
            prop_assert_eq!(found[1].1.as_deref(), Some(ask.as_str()));
            prop_assert_eq!(found[2].1.as_deref().map(|lines| lines.split('\n').count()), Some(2));
            prop_assert_eq!(&headers[3..11], &["history of qa@1.4.0"; 8]);
            prop_assert_eq!(found.len(), 11 + candidates.len());
            for (one, (header, text)) in candidates.iter().zip(&found[11..]) {
                let expected = format!("{} fact by research@1.4.0", one.memory.key);
                prop_assert!(header.starts_with(&expected), "{}", header);
                if level != Level::Ref {
                    prop_assert_eq!(text.as_ref(), one.memory.summary.as_ref());
                }
            }
            // The parts end where the next begins, so that their tokens add up.
            prop_assert!(view.ends_with('\n') && view.starts_with('#'));
        }
    }
}

#[test]
fn a_view_reads_in_this_order_and_names_neither_hash_nor_time() {
    let mut memory = Memory::new(key("ms-4824"), Kind::Decision, b"Retry with jitter.");
    memory.title = Some("Retry strategy".to_owned());
    let mut image = Memory::new(key("ms-4825"), Kind::File, b"\x89PNG\xff");
    image.media = Some("image/png".to_owned());
    image.title = Some("plan.png".to_owned());
    let line = Memory::new(key("ms-4821"), Kind::Unknown("hunch".to_owned()), b"It may rain.");
    let store: Store = [&b"Retry with jitter."[..], b"\x89PNG\xff"]
        .map(|content| (ObjectHash::of(content), content.to_vec()))
        .into();
    let candidates = [line, memory, image].map(|memory| candidate(memory, 0));
    let levels = [Level::Ref, Level::Full, Level::Full];
    let fixed = Fixed {
        expects: Some(baton_envelope::Expects {
            format: Some("text/x-python".to_owned()),
            ..Default::default()
        }),
        ..fixed()
    };
    let view = render(&fixed, candidates.iter().zip(levels), &|hash| {
        store.get(hash).map(Vec::as_slice)
    });
    let expected = "\
## constraints
```
{\"language\":\"python\"}
```
## ask
```
Implement the retry logic
```
## expects
```
format: text/x-python
```
## history of research@1.4.0
```
decided: own backoff
refs: ms-4821
```
- ms-4821 hunch by research@1.4.0
### ms-4824 decision by research@1.4.0
```
Retry with jitter.
```
- ms-4825 file by research@1.4.0: plan.png (image/png, 5 bytes)
";
    assert_eq!(view, expected);
}

#[test]
fn what_is_no_text_is_one_line() {
    let mut memory = Memory::new(key("ms-1"), Kind::File, b"\xff\x00");
    assert_eq!(memory.media.as_deref(), Some("application/octet-stream"));
    let candidate = candidate(memory.clone(), 0);
    let bytes = render(&Fixed::default(), [(&candidate, Level::Full)], &|_| Some(b"\xff\x00"));
    assert_eq!(
        bytes,
        "- ms-1 file by research@1.4.0 (application/octet-stream, 2 bytes)\n"
    );
    // Its type says text, and its bytes say no.
    memory.media = Some("text/plain".to_owned());
    let candidate = super::candidate(memory, 0);
    let bytes = render(&Fixed::default(), [(&candidate, Level::Full)], &|_| Some(b"\xff\x00"));
    assert_eq!(bytes, "- ms-1 file by research@1.4.0 (text/plain, 2 bytes)\n");
    for (media, is_text) in [
        ("text/markdown; charset=utf-8", true),
        ("Application/JSON", true),
        ("application/ld+json", true),
        ("application/pdf", false),
        ("image/png", false),
    ] {
        let mut memory = Memory::new(key("ms-1"), Kind::File, b"x");
        memory.media = Some(media.to_owned());
        assert_eq!(memory.is_text(), is_text, "{media}");
        assert_eq!(
            rendered(memory, Some("x"), Level::Full).starts_with("###"),
            is_text,
            "{media}"
        );
    }
}

#[test]
fn a_long_text_without_a_summary_has_its_beginning() {
    assert_eq!(extract(&"x".repeat(240)), None);
    assert_eq!(extract(&"x".repeat(241)), Some(format!("{}…", "x".repeat(240))));
    // Never half a character.
    let text = format!("x{}", "ä".repeat(200));
    assert_eq!(extract(&text), Some(format!("x{}…", "ä".repeat(119))));
    let memory = Memory::new(key("ms-1"), Kind::Log, text.as_bytes());
    assert_eq!(memory.summary, extract(&text));
}
