//! What a message claims: in headers that the server or a controller reads, and in its body.

use std::fs;

use baton_envelope::control::{Effect, Question, Visitor, each};
use baton_testkit::{Client, Headers};
use serde_json::Value;

use super::attempts::EVIL;
use super::roles::Role;

/// Headers with which a message would do more than be stored at the end of its stream.
const HEADERS: &[&[(&str, &str)]] = &[
    &[("Nats-TTL", "1s")],
    &[("Nats-Rollup", "all")],
    &[("Nats-Rollup", "sub")],
    &[
        ("Nats-Schedule", "@every 1s"),
        ("Nats-Schedule-Target", "mesh.ledger.0.abuse"),
    ],
    &[("Nats-Incr", "+1")],
    &[("Nats-Expected-Stream", "MESH_ARCHIVE")],
    &[("Nats-Expected-Last-Sequence", "999999")],
    &[("Nats-Expected-Last-Subject-Sequence", "999999")],
    &[("Nats-Expected-Last-Msg-Id", "abuse")],
    &[
        ("Nats-Batch-Id", "abuse"),
        ("Nats-Batch-Sequence", "2"),
        ("Nats-Batch-Commit", "1"),
    ],
];

/// Who somebody claims to be.
const FORGED: &str = r#"{"acc":"root","user":"root"}"#;
/// Spellings that the server passes on as they are.
const SPELLINGS: &[&str] = &["nats-request-info", "NATS-REQUEST-INFO", "Nats-Request-info"];

/// Each header on each message that the role may have stored: the server refuses it.
pub(super) async fn by_header(client: &Client, role: &Role) -> usize {
    let mut count = 0;
    for subject in role.stored() {
        for pairs in HEADERS {
            let mut headers = Headers::new();
            for (name, value) in *pairs {
                headers.insert(*name, *value);
            }
            let said = ask(client, subject, headers, EVIL).await;
            assert!(
                said.contains("\"error\""),
                "{} to {subject} with {pairs:?}: {said}",
                role.user
            );
            count += 1;
        }
    }
    count
}

/// A name that is not the server's counts for nothing, or the question is refused.
pub(super) async fn as_another(client: &Client, role: &Role) -> usize {
    if !role.is_person() {
        return 0;
    }
    let mut count = 0;
    let whoami = "mesh.control.whoami";
    let own = format!("\"by\":\"{}\"", role.user);
    // The server's own spelling: it takes away what a client wrote, however often.
    for times in 0..3 {
        let mut headers = Headers::new();
        for _ in 0..times {
            headers.append("Nats-Request-Info", FORGED);
        }
        let said = ask(client, whoami, headers, r#"{"by":"root"}"#).await;
        assert!(said.contains(&own), "{} {times} times: {said}", role.user);
        count += 1;
    }
    for spelling in SPELLINGS {
        for times in 1..3 {
            let forged = || {
                let mut headers = Headers::new();
                (0..times).for_each(|_| headers.append(*spelling, FORGED));
                headers
            };
            let said = ask(client, whoami, forged(), r#"{"by":"root"}"#).await;
            assert!(!said.contains("root"), "{} {spelling}: {said}", role.user);
            for (subject, body) in changing().iter().filter(|(subject, _)| role.may(subject)) {
                let said = ask(client, subject, forged(), body).await;
                assert!(
                    said.contains("NO_IDENTITY"),
                    "{} {spelling} {subject}: {said}",
                    role.user
                );
                count += 1;
            }
        }
    }
    count
}

/// In the account of the controllers nobody is anybody.
pub(super) async fn as_nobody(control: &Client) -> usize {
    let changing = changing();
    for (subject, body) in &changing {
        let said = ask(control, subject, Headers::new(), body).await;
        assert!(said.contains("NO_IDENTITY"), "{subject}: {said}");
    }
    assert!(changing.len() > 10, "{changing:?}");
    changing.len()
}

async fn ask(client: &Client, subject: &str, headers: Headers, body: &str) -> String {
    let answer = client.request_with_headers(subject.to_owned(), headers, body.to_owned().into());
    match answer.await {
        Ok(answer) => String::from_utf8_lossy(&answer.payload).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// Every question that changes something: its subject, and a whole one.
pub(super) fn changing() -> Vec<(String, String)> {
    struct Changing(Vec<(String, String)>);
    impl Visitor for Changing {
        fn visit<Q: Question>(&mut self) {
            if Q::EFFECT == Effect::Changes {
                let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../envelope/tests/golden/control/verbs");
                let golden = fs::read(format!("{golden}/{}.json", Q::VERB)).expect("a golden file");
                let golden: Value = serde_json::from_slice(&golden).expect("JSON");
                let question = golden["questions"][0].to_string();
                self.0.push((format!("mesh.control.{}", Q::VERB), question));
            }
        }
    }
    let mut changing = Changing(Vec::new());
    each(&mut changing);
    changing.0
}
