//! Objects: references, places, lists of pieces, and bodies as content.

use baton_envelope::*;

pub(crate) fn objects(bytes: &[u8]) {
    list(bytes);
    body(bytes);
    bundle(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(found) = serde_json::from_str::<ObjectRef>(text) {
        let written = serde_json::to_string(&found).expect("it can be written");
        assert_eq!(serde_json::from_str::<ObjectRef>(&written).ok(), Some(found.clone()));
        if let Ok(token) = found.token() {
            let named = ObjectHash::of_token(token).map(|(hash, _)| hash);
            assert_eq!(named.as_ref(), Some(&found.hash), "it points at another object");
            assert!(found.bytes <= OBJECT_LIMIT as u64);
        }
    }
    if let Some((hash, place)) = ObjectHash::of_token(text) {
        assert_eq!(hash.token(place), text, "two tokens of one place");
        let subjects = Subjects::new(Namespace::default());
        let tree: IntentId = "fuzz".parse().expect("an id");
        let subject = subjects.object(&tree, text);
        assert_eq!(subjects.object_of(&subject), Some((tree, text)));
    }
}

fn list(bytes: &[u8]) {
    let whole = ObjectHash::of(b"whole");
    let Ok(found) = PieceList::decode(bytes, &whole) else {
        return;
    };
    assert!(!found.pieces.contains(&whole), "it names itself");
    let sizes = (0..found.pieces.len()).map(|index| found.size_of(index));
    assert!(
        sizes.clone().all(|size| (1..=PIECE_BYTES).contains(&size)),
        "an empty piece"
    );
    assert_eq!(sizes.sum::<usize>() as u64, found.bytes, "its sizes do not add up");
    assert_eq!(PieceList::decode(&found.encode(), &whole), Ok(found));
}

/// What is read of a bundle of objects under its own hash is written again as it was.
fn bundle(bytes: &[u8]) {
    let name = format!("00000000-ffffffff-{}", ObjectHash::of(bytes));
    let name = name.parse().expect("a name");
    if let Ok(found) = ObjectBundle::open(&name, bytes) {
        let (again, written) = found.seal().expect("what was read can be written");
        assert_eq!(ObjectBundle::open(&again, &written).ok(), Some(found));
    }
}

/// Whatever a body is, an object gives the same one back.
fn body(bytes: &[u8]) {
    let of_bytes = Body::of_bytes(bytes);
    let read = std::str::from_utf8(bytes).ok().and_then(|text| Json::parse(text).ok());
    let encoded = read.clone().map(|json| Body {
        json,
        encoding: Some("base64".to_owned()),
    });
    for body in [Some(of_bytes), read.map(Body::from), encoded].into_iter().flatten() {
        if let Some(content) = body.content() {
            assert_eq!(Body::of_content(&content.bytes, Some(content.media)), Ok(body));
        }
    }
    for media in ["application/json", "text/plain", "image/png", ""] {
        if let Ok(body) = Body::of_content(bytes, Some(media)) {
            serde_json::to_string(&body.json).expect("it can be written");
        }
    }
}
