//! Raw intents that cannot become intents are recorded, whole, with the reason.

use base64::Engine as _;
use baton_envelope::{RawKept, Status};
use baton_jetstream::Mesh;

use crate::support::{
    PATIENCE, Running, TestServer, eventually, head, id, listed, mesh_with_research, one_by_one, pass_marker, publish,
    quiet, rejected,
};

fn body_of(kept: &RawKept) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD
        .decode(&kept.body_base64)
        .unwrap()
}

/// Name, subject, header, body, code, and what the message must say.
type Case = (
    &'static str,
    &'static str,
    (&'static str, &'static str),
    &'static str,
    &'static str,
    &'static str,
);

const PINNED: &str = r#"{"protocol":"1.0.0","id":"01890000-0000-7000-8000-000000000001","intent":"pinned",
    "to":"ghost","hop":1,"pins":{"ghost":"1.0.0"}}"#;

const CASES: [Case; 12] = [
    (
        "cut",
        "intent.research",
        ("Baton-Protocol", "1.0.0"),
        "{\"a\":",
        "MALFORMED_ENVELOPE",
        "fix: ",
    ),
    (
        "urgent",
        "intent.research",
        ("Baton-Priority", "11"),
        "{}",
        "BAD_HEADER",
        "Baton-Priority \"11\"",
    ),
    (
        "hops",
        "intent.research",
        ("Baton-Max-Hops", "65"),
        "{}",
        "BAD_HEADER",
        "1 to 64",
    ),
    (
        "late",
        "intent.research",
        ("Baton-Deadline", "2020-01-01T00:00:00Z"),
        "{}",
        "DEADLINE_PAST",
        "in the past",
    ),
    (
        "when",
        "intent.research",
        ("Baton-Deadline", "soon"),
        "{}",
        "BAD_HEADER",
        "duration",
    ),
    (
        "unknown",
        "intent.ghost",
        ("x", "y"),
        "boo",
        "UNKNOWN_AGENT",
        "known: research",
    ),
    (
        "pinned",
        "intent.ghost",
        ("Baton-Protocol", "1.0.0"),
        PINNED,
        "UNKNOWN_AGENT",
        "known: research",
    ),
    ("name", "intent.Research", ("x", "y"), "{}", "BAD_SUBJECT", "Research"),
    (
        "answer",
        "intent.research",
        ("Baton-Reply-To", "mesh.ledger.0.x"),
        "{}",
        "BAD_REPLY_TO",
        "mesh.ledger.0.x",
    ),
    (
        "capability",
        "capability.translate",
        ("x", "y"),
        "{}",
        "NONE_CAPABLE",
        "research 1.0.0: lacks translate",
    ),
    (
        "channel",
        "channel.news",
        ("x", "y"),
        "{}",
        "NO_SUBSCRIBERS",
        "no agent subscribes to channel \"news\"",
    ),
    (
        "receiver",
        "channel.news",
        ("Baton-Receivers", "research,nobody"),
        "{}",
        "UNKNOWN_RECEIVER",
        "nobody",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_intent_is_rejected_with_code_reason_and_the_whole_message() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    for (name, subject, header, body, ..) in CASES {
        let headers = [("Baton-Intent", name), header];
        publish(&mesh, &format!("mesh.{subject}"), &headers, body.as_bytes()).await;
    }
    for (name, subject, header, body, code, says) in CASES {
        let record = rejected(&mesh, name).await.record;
        let error = record.error.as_ref().expect("an error");
        assert_eq!(error.code, code, "{name}: {}", error.message);
        assert!(error.message.contains(says), "{name}: {}", error.message);
        let kept = record.raw.as_ref().expect("the raw message");
        assert_eq!(
            (kept.subject.clone(), body_of(kept)),
            (format!("mesh.{subject}"), body.as_bytes().to_vec())
        );
        assert!(
            kept.headers.contains(&(header.0.to_owned(), header.1.to_owned())),
            "{name}: {:?}",
            kept.headers
        );
    }
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_id_is_rejected_under_one_that_is_derived() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    publish(&mesh, "mesh.intent.research", &[("Baton-Intent", "order.*")], b"{}").await;
    let record = one_rejected(&mesh).await;
    assert_eq!(record.error.expect("an error").code, "BAD_HEADER");
    controller.stop().await;
}

/// A sender that heard no acknowledgement sends its message again; one that has mended it must be told that the id is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_that_comes_again_is_recorded_once() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, one_by_one("a"));
    let headers = [("Baton-Intent", "order-1"), ("Baton-Priority", "11")];
    for _ in 0..2 {
        publish(&mesh, "mesh.intent.research", &headers, b"{}").await;
    }
    assert_eq!(rejected_before(&mesh, "first").await, 1);
    let mended = [("Baton-Intent", "order-1"), ("Baton-Priority", "1")];
    publish(&mesh, "mesh.intent.research", &mended, b"{}").await;
    assert_eq!(rejected_before(&mesh, "second").await, 2);
    controller.stop().await;
}

/// How many were rejected before a marker that is published now. The projection has them in the order of the ledger.
async fn rejected_before(mesh: &Mesh, marker: &str) -> usize {
    pass_marker(mesh, marker).await;
    eventually("the marker is projected", PATIENCE, async || {
        let all = listed(mesh, &[]).await?;
        let is_there = all.iter().any(|head| head.record.intent == id(marker));
        let rejected = all
            .iter()
            .filter(|head| matches!(head.record.snapshot.status, Status::Rejected { .. }));
        is_there
            .then(|| rejected.count())
            .ok_or_else(|| format!("{} are", all.len()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_work_under_a_taken_id_is_a_conflict_and_the_same_work_is_not() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    let headers = [("Baton-Intent", "order-1")];
    publish(&mesh, "mesh.intent.research", &headers, b"{\"otters\":1}").await;
    head(&mesh, &id("order-1")).await;
    publish(&mesh, "mesh.intent.research", &headers, b"{\"otters\":1}").await;
    publish(&mesh, "mesh.intent.research", &headers, b"{\"otters\":2}").await;

    let record = one_rejected(&mesh).await;
    let error = record.error.as_ref().expect("an error");
    assert_eq!(error.code, "CONFLICT");
    assert!(error.message.contains("\"order-1\""), "{}", error.message);
    assert_ne!(record.intent, id("order-1"));
    assert_eq!(
        body_of(record.raw.as_ref().expect("the raw message")),
        b"{\"otters\":2}"
    );
    pass_marker(&mesh, "marker").await;
    assert_eq!(listed(&mesh, &["rejected"]).await.unwrap().len(), 1);
    assert_eq!(mesh.history(&id("order-1"), 1).await.unwrap().len(), 1);
    controller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_to_be_kept_whole_is_kept_in_part_and_says_so() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    // Fits into a message, but not into a record around it.
    let large = vec![b'o'; 1_048_000];
    publish(&mesh, "mesh.intent.research", &[("Baton-Intent", "large")], &large).await;
    // Its body would fit, but not in base64 beside its headers, which are nearly all that the server takes.
    let wide = "h".repeat(60_000);
    let headers = [("Baton-Intent", "wide"), ("Baton-Priority", wide.as_str())];
    publish(&mesh, "mesh.intent.research", &headers, &large[..800_000]).await;

    for (name, code, size, least) in [
        ("large", "PAYLOAD_TOO_LARGE", 1_048_000, 750_000),
        ("wide", "BAD_HEADER", 800_000, 700_000),
    ] {
        let record = rejected(&mesh, name).await.record;
        let error = record.error.as_ref().expect("an error");
        assert_eq!(error.code, code);
        assert!(
            error.message.contains(&format!("of {size} bytes of the body")),
            "{}",
            error.message
        );
        let kept = record.raw.as_ref().expect("the raw message");
        let body = body_of(kept);
        assert!((least..size).contains(&body.len()), "{name}: {} bytes", body.len());
        assert_eq!(kept.extra["body_truncated_from"].get(), size.to_string());
        let again = mesh.publish_kept(kept, &id("again")).await;
        assert!(
            again.is_err(),
            "half a message must not be published as if it were whole"
        );
    }
    controller.stop().await;
}

async fn one_rejected(mesh: &Mesh) -> baton_envelope::Record {
    eventually("one is rejected", PATIENCE, async || {
        let mut found = listed(mesh, &["rejected"]).await?;
        if found.len() == 1 {
            Ok(found.remove(0).record)
        } else {
            Err(format!("{}", found.len()))
        }
    })
    .await
}
