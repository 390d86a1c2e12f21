//! Bundles of objects: every byte survives, every change is noticed, and a name says what a bundle may hold.

use std::path::Path;

use baton_envelope::*;
use proptest::prelude::*;

fn bundle(bodies: impl IntoIterator<Item = Vec<u8>>) -> ObjectBundle {
    let stored = |body: Vec<u8>| StoredObject {
        at: ObjectHash::of(&body).to_string(),
        body,
    };
    let mut objects: Vec<StoredObject> = bodies.into_iter().map(stored).collect();
    objects.sort_by(|one, other| one.at.cmp(&other.at));
    objects.dedup();
    ObjectBundle {
        tree: "order-42".parse().expect("id"),
        objects,
    }
}

fn few() -> ObjectBundle {
    let mut few = bundle([b"otters".to_vec(), Vec::new(), b"one\ntwo\n".to_vec(), vec![0, 255, 10]]);
    // The second place of a hash has what somebody put there.
    let second = format!("{}-2", few.objects[1].at);
    let body = b"junk".to_vec();
    few.objects.insert(2, StoredObject { at: second, body });
    few
}

#[test]
fn every_byte_of_every_object_survives_and_the_same_objects_are_the_same_bytes() {
    let (name, bytes) = few().seal().expect("sealed");
    assert_eq!(ObjectBundle::open(&name, &bytes).expect("opened"), few());
    assert_eq!(few().seal().expect("sealed"), (name.clone(), bytes.clone()));
    assert_eq!(name.to_string().parse(), Ok(name.clone()));
    let room: usize = few().objects.iter().map(ObjectBundle::room_of).sum();
    assert!(bytes.len() <= room + 100, "{} bytes, and room for {room}", bytes.len());
    for object in &few().objects {
        assert!(name.may_hold(&object.at), "{}", object.at);
    }
    let (low, high) = (few().objects[0].at.clone(), few().objects[4].at.clone());
    assert!(!name.may_hold(&"0".repeat(64)) || low.starts_with("00000000"));
    assert!(!name.may_hold(&"f".repeat(64)) || high.starts_with("ffffffff"));
}

#[test]
fn every_changed_or_missing_byte_is_noticed_and_so_is_another_name() {
    let (name, bytes) = few().seal().expect("sealed");
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        let error = ObjectBundle::open(&name, &changed).expect_err("noticed");
        assert!(matches!(error, BundleError::Altered { .. }), "byte {index}: {error}");
        assert!(ObjectBundle::open(&name, &bytes[..index]).is_err(), "cut at {index}");
    }
    // The right bytes under bounds that would hide what they hold.
    let hash = ObjectHash::of(&bytes);
    let narrow = format!("00000000-00000001-{hash}").parse().expect("a name");
    let error = ObjectBundle::open(&narrow, &bytes).expect_err("other bounds");
    assert!(error.to_string().contains("its name is"), "{error}");
}

#[test]
fn what_no_hash_names_is_no_bundle_and_neither_is_nothing() {
    let refused = |change: &dyn Fn(&mut ObjectBundle)| {
        let mut bundle = few();
        change(&mut bundle);
        bundle.seal().expect_err("refused").to_string()
    };
    assert!(refused(&|bundle| bundle.objects.clear()).contains("in order"));
    assert!(refused(&|bundle| bundle.objects.reverse()).contains("in order"));
    assert!(refused(&|bundle| bundle.objects[1].at = "notes".to_owned()).contains("in order"));
    assert!(refused(&|bundle| bundle.objects[1] = bundle.objects[0].clone()).contains("in order"));
    let hash = ObjectHash::of(b"x");
    for bad in [
        hash.to_string(),
        format!("0000000-ffffffff-{hash}"),
        format!("0000000g-ffffffff-{hash}"),
        format!("ffffffff-00000000-{hash}"),
        format!("00000000-ffffffff-{hash}-2"),
        "00000000-ffffffff-x".to_owned(),
    ] {
        assert!(bad.parse::<ObjectBundleName>().is_err(), "{bad}");
    }
}

/// What was once written must be read for ever: the file is never changed, and its name is its own.
#[test]
fn the_golden_bundle_of_objects_is_read_and_written_byte_for_byte() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bundle/v1/objects.bundle");
    let bytes = std::fs::read(&file).expect("the golden bundle");
    let name = "712450d3-e3b0c442-0842fed7ce7adb7c81d146e783cc60cd5ec39c9d8b5943356232146fd91ab149";
    let name: ObjectBundleName = name.parse().expect("a name");
    let read = ObjectBundle::open(&name, &bytes).expect("opened");
    assert_eq!((read.tree.as_str(), read.objects.len()), ("order-42", 4));
    assert_eq!(read.seal().expect("sealed"), (name, bytes));
}

proptest! {
    #[test]
    fn any_objects_survive(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let bundle = bundle(bodies);
        let (name, bytes) = bundle.seal().expect("sealed");
        prop_assert_eq!(ObjectBundle::open(&name, &bytes).expect("opened"), bundle);
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let name = format!("00000000-ffffffff-{}", ObjectHash::of(&bytes));
        prop_assert!(ObjectBundle::open(&name.parse().expect("a name"), &bytes).is_err());
    }
}
