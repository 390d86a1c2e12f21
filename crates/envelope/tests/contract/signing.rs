//! Signed records: what verifies, what is void, and that an audit finds every edit and its place.

mod image;

use baton_envelope::{
    Author, Chain, Entry, Grant, Grants, Guard, KnownSignatures, Link, Message, Place, Problem, Proof, PublicKey,
    Record, Role, Rules, SecretKey, Signature, Signatures, SignerRole, Statement, act, contain, void,
};

use image::{Image, Random, key};

#[test]
fn the_worked_example_of_the_document_is_signed_as_it_says() {
    let file = include_str!("../golden/proof/record.json");
    let golden: std::collections::BTreeMap<String, serde_json::Value> = serde_json::from_str(file).expect("JSON");
    let text = |name: &str| golden[name].as_str().expect(name);
    let secret: SecretKey = text("seed").parse().expect("a seed");
    assert_eq!(secret.public().to_string(), text("public"));
    let previous: Link = text("previous").parse().expect("a link");
    let statement = Statement {
        subject: text("subject"),
        expected: golden["expected"].as_u64().expect("expected"),
        previous: Some(previous),
        body: Link::of_bytes(text("body").as_bytes()),
    };
    assert_eq!(String::from_utf8_lossy(&statement.bytes()), text("statement"));
    let signature = statement.sign(&secret).to_string();
    assert_eq!(signature, text("signature"));
    let link = Link::of(text("body").as_bytes(), Some(&signature));
    assert_eq!(link.to_string(), text("link"));
    assert_eq!(
        Link::of(text("body").as_bytes(), None).to_string(),
        text("unsigned_link")
    );
    let read: Signature = signature.parse().expect("a signature");
    assert!(read.is_of(&secret.public(), text("subject"), statement.body));
    assert!(!read.is_of(&secret.public(), "mesh.ledger.0.other", statement.body));
}

#[test]
fn a_signature_has_one_spelling() {
    let image = Image::new(1);
    let headers = &image.open().0.headers;
    let text = headers
        .iter()
        .find(|(name, _)| name == "Baton-Signature")
        .expect("signed")
        .1
        .clone();
    assert!(text.parse::<Signature>().is_ok(), "{text}");
    for wrong in [
        String::new(),
        text.replacen('1', "2", 1),
        format!("{text} "),
        format!(" {text}"),
        text.replacen(" 0 ", " 00 ", 1),
        text.replacen(" 0 ", " +0 ", 1),
        text.replacen(" - ", "  ", 1),
        format!("{text}="),
    ] {
        assert!(wrong.parse::<Signature>().is_err(), "{wrong}");
    }
}

#[test]
fn an_honest_image_has_no_problem() {
    let image = Image::new(12);
    let report = image.audit();
    assert_eq!(report.problems, Vec::<Problem>::new());
    assert!(
        report.records > 50 && report.bundles > 3 && report.checkpoints > 3,
        "{report:?}"
    );
    assert_eq!((report.unsigned, report.covered_through), (0, image.last_seq()));
}

/// A thousand edits: flip, drop, swap, insert, truncate, in the ledger and in the archive.
#[test]
fn a_thousand_random_edits_are_all_found_with_their_place() {
    let honest = Image::new(6);
    let mut random = Random(7);
    for turn in 0..1_000 {
        let mut image = honest.clone();
        let edit = image.edit(&mut random);
        let report = image.audit();
        let found = report.problems.iter().any(|problem| edit.is_at(problem));
        assert!(
            found,
            "edit {turn}, a {}, was not found: {edit:?}\n{:#?}",
            edit.what, report.problems
        );
    }
}

#[test]
fn what_is_cut_after_the_last_checkpoint_is_not_missed() {
    let mut image = Image::new(6);
    image.grow(5);
    let covered = image.audit().covered_through;
    image.ledger.retain(|message| message.seq <= covered);
    assert_eq!(image.audit().problems, Vec::<Problem>::new());
}

#[test]
fn an_agent_cannot_write_in_the_name_of_another() {
    let image = Image::new(1);
    let rules = image.rules(Signatures::Require);
    let (open, first) = image.open();
    // `code` has a key and no turn: the intent stands with `research`.
    for (by, problem) in [("research", "in the name of"), ("code", "it was the turn of")] {
        let draft = act::complete(&first.snapshot, baton_envelope::Json::null()).expect("legal");
        let mut record = image.sealed(draft, &open, image::worker(by));
        // Whatever it says of itself.
        record.snapshot.agent = Some(by.parse().expect("name"));
        let forged = image.signed(&record, &open, &key("code"));
        let mut chain = Chain::new(&rules);
        chain.take(&image::entry(&open), Ok(&first));
        chain.take(&image::entry(&forged), Ok(&record));
        let judged = chain.judged();
        assert!(judged.void[&forged.seq].problem.contains(problem), "{judged:?}");
        assert_eq!(
            judged.link,
            Some(image::entry(&open).link()),
            "the head is the last valid one"
        );
    }
}

/// Whoever could write either would decide what another agent's call comes to.
#[test]
fn controllers_alone_submit_children_and_record_their_ends() {
    let image = Image::new(1);
    let rules = image.rules(Signatures::Require);
    let (open, first) = image.open();
    let judged = |message: &Message, record: &Record, before: bool| {
        let mut chain = Chain::new(&rules);
        if before {
            chain.take(&image::entry(&open), Ok(&first));
        }
        chain.take(&image::entry(message), Ok(record));
        chain.judged().void.remove(&message.seq).map(|void| void.problem)
    };
    for (whose, by, problem) in [
        (
            "shop",
            Author::of(Role::Client, "shop"),
            Some("only controllers submit children"),
        ),
        ("code", image::worker("code"), Some("only controllers submit children")),
        ("controller", image::controller(), None),
    ] {
        let mut child = first.clone();
        child.snapshot.parent = Some("order-9".parse().expect("id"));
        child.by = by;
        let message = image.signed_at(&child, Place::from(0), &key(whose));
        let found = judged(&message, &child, false);
        assert_eq!(found.is_some(), problem.is_some(), "{whose}: {found:?}");
        assert!(
            problem.is_none_or(|problem| found.is_some_and(|found| found.contains(problem))),
            "{whose}"
        );
    }
    for (whose, by, is_void) in [
        ("code", image::worker("code"), true),
        ("controller", image::controller(), false),
    ] {
        let draft = act::complete(&first.snapshot, baton_envelope::Json::null()).expect("legal");
        let mut record = image.sealed(draft, &open, by);
        record.event = baton_envelope::Event::ChildDone;
        let message = image.signed(&record, &open, &key(whose));
        assert_eq!(judged(&message, &record, true).is_some(), is_void, "{whose}");
    }
}

#[test]
fn the_record_of_one_that_was_fooled_is_void_too_and_the_intent_goes_on() {
    let image = Image::new(1);
    let rules = image.rules(Signatures::Require);
    let (open, first) = image.open();
    let complete = |head: &Record| act::complete(&head.snapshot, baton_envelope::Json::null()).expect("legal");
    let forged = image.sealed(complete(&first), &open, image::worker("research"));
    let forged_message = image.signed(&forged, &open, &key("code"));
    // A worker that took the forged one for the head.
    let claimed = act::claim(&first.snapshot, "one", 2).expect("legal");
    let claimed = image.sealed(claimed, &forged_message, image::worker("research"));
    let fooled = image.signed(&claimed, &forged_message, &key("research"));
    let place = Place {
        seq: fooled.seq,
        link: Some(image::entry(&open).link()),
    };
    let done = image.sealed(complete(&first), &fooled, image::worker("research"));
    let true_one = image.signed_at(&done, place, &key("research"));
    let mut chain = Chain::new(&rules);
    for (message, record) in [
        (&open, &first),
        (&forged_message, &forged),
        (&fooled, &claimed),
        (&true_one, &done),
    ] {
        chain.take(&image::entry(message), Ok(record));
    }
    let judged = chain.judged();
    let void_seqs: Vec<u64> = judged.void.keys().copied().collect();
    assert_eq!(void_seqs, [forged_message.seq, fooled.seq], "{judged:?}");
    assert_eq!(judged.void[&fooled.seq].follows, Some(forged_message.seq));
    assert_eq!(judged.link, Some(image::entry(&true_one).link()));
    let standing = contain([
        (open.seq, Ok(first)),
        (forged_message.seq, Err(void("forged"))),
        (true_one.seq, Ok(done)),
    ]);
    assert_eq!(standing.decides.map(|(seq, _)| seq), Some(true_one.seq));
    assert_eq!(standing.contained[0].problem, "void: forged");
}

#[test]
fn a_true_record_that_is_published_again_is_void() {
    let image = Image::new(1);
    let rules = image.rules(Signatures::Require);
    let (open, first) = image.open();
    let mut again = open.clone();
    again.seq += 1;
    let mut chain = Chain::new(&rules);
    chain.take(&image::entry(&open), Ok(&first));
    chain.take(&image::entry(&again), Ok(&first));
    assert_eq!(chain.judged().void.len(), 1);
    // By itself, too: the server would have refused this guard, so it was published with another, or with none.
    again
        .headers
        .retain(|(name, _)| name != "Nats-Expected-Last-Subject-Sequence");
    let problem = rules.check(&image::entry(&again), &first).expect_err("no guard");
    assert!(problem.contains("no guard"), "{problem}");
}

#[test]
fn unsigned_records_count_until_signatures_are_required() {
    let image = Image::new(1);
    let (mut open, first) = image.open();
    open.headers.retain(|(name, _)| name != "Baton-Signature");
    let entry = image::entry(&open);
    assert!(image.rules(Signatures::Accept).check(&entry, &first).is_ok());
    let mut rules = image.rules(Signatures::Require);
    assert!(rules.check(&entry, &first).is_err());
    rules.since = open.seq;
    assert!(rules.check(&entry, &first).is_ok(), "it is older than the decision");
    let ticket = Entry {
        guard: Guard::OfTicket,
        ..entry
    };
    assert!(rules.check(&ticket, &first).is_err(), "a ticket may say any number");
}

#[test]
fn a_key_is_replaced_while_both_are_valid() {
    let (old, new) = (key("code"), key("code, the next one"));
    let image = Image::new(1);
    let (open, first) = image.open();
    let stored = image::entry(&open).stored_at.expect("a time");
    let grants = |until, from| {
        let grant = |key: PublicKey, from, until| Grant {
            key,
            role: SignerRole::Controller,
            agent: None,
            name: None,
            from,
            until,
        };
        let grants = vec![grant(old.public(), None, until), grant(new.public(), from, None)];
        Rules {
            grants: Grants::new(grants).expect("grants"),
            signatures: Signatures::Require,
            since: 0,
            known: KnownSignatures::default(),
        }
    };
    let by = |key: &SecretKey| image.signed_at(&first, Place::from(open.seq), key);
    for (until, from, of_old, of_new) in [
        (None, None, true, true),
        (Some(stored.minus(std::time::Duration::from_secs(9))), None, false, true),
        (None, Some(stored.plus(std::time::Duration::from_secs(9))), true, false),
    ] {
        let rules = grants(until, from);
        assert_eq!(rules.check(&image::entry(&by(&old)), &first).is_ok(), of_old);
        assert_eq!(rules.check(&image::entry(&by(&new)), &first).is_ok(), of_new);
    }
}

#[test]
fn what_a_controller_held_for_void_stays_so_whatever_keys_are_trusted_later() {
    let image = Image::new(1);
    let rules = image.rules(Signatures::Require);
    let (open, first) = image.open();
    let complete = act::complete(&first.snapshot, baton_envelope::Json::null()).expect("legal");
    let done = image.sealed(complete, &open, image::worker("research"));
    let done_message = image.signed(&done, &open, &key("research"));
    let place = Place {
        seq: done_message.seq,
        link: Some(image::entry(&open).link()),
    };
    let parked = act::park(&first.snapshot, baton_envelope::ErrorInfo::new("POISON", "parked")).expect("legal");
    let parked = image.sealed(parked, &done_message, image::controller());
    let parked_message = image.signed_at(&parked, place, &key("controller"));
    let mut chain = Chain::new(&rules);
    for (message, record) in [(&open, &first), (&done_message, &done), (&parked_message, &parked)] {
        chain.take(&image::entry(message), Ok(record));
    }
    let judged = chain.judged();
    assert_eq!(judged.void.keys().copied().collect::<Vec<_>>(), [done_message.seq]);
    assert_eq!(judged.link, Some(image::entry(&parked_message).link()));
}

/// What is remembered is that a key has signed these bytes, and nothing else.
#[test]
fn a_known_signature_is_judged_all_the_same() {
    let image = Image::new(1);
    let rules = Rules {
        known: KnownSignatures::with_room(),
        ..image.rules(Signatures::Require)
    };
    let (open, first) = image.open();
    let entry = image::entry(&open);
    let proof = Proof::of(entry.subject, entry.link());
    assert!(!rules.known.has(proof));
    for _ in 0..2 {
        assert!(rules.check(&entry, &first).is_ok());
        assert!(rules.known.has(proof), "it is remembered once it was verified");
    }
    let mut body = open.body.clone();
    body.push(b' ');
    let others = [
        ("another body", Entry { body: &body, ..entry }),
        (
            "another subject",
            Entry {
                subject: "mesh.ledger.0.other",
                ..entry
            },
        ),
        (
            "another guard",
            Entry {
                guard: Guard::At(open.seq),
                ..entry
            },
        ),
        (
            "no guard",
            Entry {
                guard: Guard::None,
                ..entry
            },
        ),
    ];
    for (what, other) in others {
        for _ in 0..2 {
            assert!(rules.check(&other, &first).is_err(), "{what}");
        }
    }
    // A forged signature is not remembered, and does not become known by being seen.
    let forged = open.headers.iter().find(|(name, _)| name == "Baton-Signature");
    let (head, tail) = forged.expect("signed").1.split_at(140);
    let forged = format!("{head}{}", tail.chars().rev().collect::<String>());
    let forged = Entry {
        signature: Some(&forged),
        ..entry
    };
    for _ in 0..2 {
        assert!(rules.check(&forged, &first).is_err());
    }
    // The signer is trusted no more, and the record is not its to write.
    let none = Rules {
        grants: Grants::default(),
        ..rules.clone()
    };
    assert!(none.known.has(proof) && none.check(&entry, &first).is_err());
    let of_another = image::worker("code");
    let completed = act::complete(&first.snapshot, baton_envelope::Json::null()).expect("legal");
    let mut record = image.sealed(completed, &open, of_another);
    record.snapshot.agent = Some("research".parse().expect("name"));
    let message = image.signed(&record, &open, &key("code"));
    let entry = image::entry(&message);
    rules.known.remember(Proof::of(entry.subject, entry.link()));
    assert!(rules.check(&entry, &record).is_err(), "it is not its turn");
}

#[test]
fn grants_that_contradict_themselves_are_named() {
    let grant = Grant {
        key: key("code").public(),
        role: SignerRole::Worker,
        agent: None,
        name: None,
        from: None,
        until: None,
    };
    let error = Grants::new(vec![grant.clone()]).expect_err("no agent").to_string();
    assert!(error.contains("grant 1") && error.contains("`agent`"), "{error}");
    let controller = Grant {
        role: SignerRole::Controller,
        agent: Some("code".parse().expect("name")),
        ..grant
    };
    assert!(Grants::new(vec![controller]).is_err());
}

/// With `RECORDS=1000000` and `--release`, what a large audit takes.
#[test]
fn many_records_are_audited_by_several_threads() {
    let records = std::env::var("RECORDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000);
    let image = Image::of_records(records);
    let report = image.audit_with(2);
    assert_eq!(report.problems, Vec::<Problem>::new());
    assert!(report.records >= records, "{report:?}");
    assert_eq!(report.covered_through, image.last_seq());
}
