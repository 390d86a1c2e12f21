//! What the hops of a tree leave in the store: a reference that was given resolves, and nothing is there twice, whoever writes and whenever
//! he dies.

use std::collections::HashSet;
use std::future::poll_fn;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use baton_envelope::context::{ContextLink, EnvelopeContext, Kind, Memory};
use baton_envelope::{Author, IntentId, Json, ObjectHash, ObjectRef, PIECE_BYTES, Successor, act};
use baton_jetstream::{Advanced, Decision, Error, Head, Known, Limits, Mesh};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::objects::{MEDIA, STREAM, content, tree};
use crate::support::{TestServer, agent, connect, mesh_with_research, submit, version};

/// C1: whoever stores content has a reference only where the content is there, also while there is no room for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_that_was_given_resolves_though_the_stream_has_no_room_for_all() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let mut limits = Limits::default();
    limits.bounds.context_bytes = 2 << 20;
    mesh.ensure_topology(limits).await.unwrap();
    let t = tree("t");
    // Small ones go on fitting where a large one does not.
    let sizes = (0..24_u64).map(|seed| (if seed % 3 == 0 { 2 * PIECE_BYTES + 1 } else { 90_000 }, seed));
    let contents: Vec<Bytes> = sizes.map(|(size, seed)| content(size, 200 + seed)).collect();
    let mut given: Vec<(&Bytes, ObjectRef)> = Vec::new();
    let mut refused = 0;
    for two in contents.chunks(2) {
        let puts = two.iter().map(|all| mesh.put_object(&t, all.clone(), MEDIA));
        for (all, put) in two.iter().zip(futures::future::join_all(puts).await) {
            match put {
                Ok(object) => given.push((all, object)),
                Err(Error::ObjectsFull { is_lasting: false, .. }) => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let reader = connect(&server).await;
    for (all, object) in &given {
        let found = reader.get_object(&t, object).await;
        assert!(
            found.as_ref().is_ok_and(|found| found == *all),
            "a reference to {} bytes: {:?}",
            all.len(),
            found.map(|found| found.len())
        );
    }
    assert!(
        given.len() > 4 && refused > 4,
        "{} given, {refused} refused",
        given.len()
    );
}

/// The bodies of all messages of the stream, of whatever tree.
async fn bodies(server: &TestServer) -> Vec<Vec<u8>> {
    let info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
    let last = info.pointer("/state/last_seq").and_then(Value::as_u64).unwrap();
    let mut bodies = Vec::new();
    for seq in 1..=last {
        let found = server
            .api(&format!("STREAM.MSG.GET.{STREAM}"), &json!({ "seq": seq }))
            .await;
        assert!(found.get("error").is_none(), "{found}");
        let data = found.pointer("/message/data").and_then(Value::as_str);
        bodies.push(STANDARD.decode(data.unwrap_or_default()).unwrap());
    }
    bodies
}

/// What the first hop remembers, whoever runs it: of the second the pieces have messages of their own.
fn remembered() -> [(Memory, Bytes); 2] {
    let described = |name: &str, all: Bytes| (Memory::new(name.parse().unwrap(), Kind::Fact, &all), all);
    [
        described("ms-1", Bytes::from_static(b"retry with jitter")),
        described("ms-2", content(2 * PIECE_BYTES + 9, 31)),
    ]
}

/// An attempt of the first hop: its memories, its link, its handoff. Whether its record stands.
async fn attempt(mesh: &Mesh, head: &Head, instance: &str) -> bool {
    let (intent, envelope) = (&head.record.intent, head.record.envelope.as_ref().unwrap());
    let by = Author::worker(agent(), version("1.0.0"), instance);
    let (from, hop) = (format!("{instance}@1.0.0"), envelope.hop);
    let mut link = ContextLink::first(
        intent.clone(),
        intent.clone(),
        hop,
        envelope.id,
        from.clone(),
        mesh.now(),
    );
    for (memory, all) in remembered() {
        let object = mesh.put_object(intent, all, "text/plain").await.unwrap();
        assert_eq!(object.at, None, "a second place for {}", memory.key);
        link.memories.push(memory);
    }
    let newest = mesh
        .put_named(intent, link.encode().into(), "application/json")
        .await
        .unwrap();
    let successor = Successor {
        id: mesh.clock().envelope_id(),
        to: agent(),
        to_version: version("1.0.0"),
        from,
        payload: Json::null(),
        kind: None,
        history: None,
    };
    let mut next = envelope.successor(successor).unwrap();
    let context = EnvelopeContext {
        head: Some(newest),
        links: 1,
        memories: 2,
        hop: Some(next.hop),
        ..EnvelopeContext::default()
    };
    next.context = context.json();
    let handed_on = mesh.advance(intent, &by, Known::Read(head), |now, _| {
        let Some(now) = now.filter(|now| now.seq == head.seq) else {
            return Ok(Decision::Nothing);
        };
        Ok::<_, Error>(act::hand_off(now.snapshot, next.clone(), version("1.0.0"))?.into())
    });
    matches!(handed_on.await.unwrap(), Advanced::Committed(_))
}

/// Lets a future come to so many of its awaits, and drops it there, as a process does that dies; what it came to, if it ended before.
async fn dies_at<T>(awaits: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = awaits;
    poll_fn(move |cx| match future.as_mut().poll(cx) {
        Poll::Ready(ended) => Poll::Ready(Some(ended)),
        Poll::Pending if left <= 1 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// The heads of the chains that the handoffs of the first hop name.
async fn heads(mesh: &Mesh, intent: &IntentId) -> Vec<ObjectHash> {
    let history = mesh.history(intent, 1).await.unwrap();
    let envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    let contexts = envelopes.map(|envelope| EnvelopeContext::of(envelope).unwrap());
    contexts.filter_map(|context| context.head).collect()
}

/// C10: holders of one hop that run beside each other, and holders that die at each await of it, leave one head of the chain, with
/// everything behind it, and no content twice. On one thread: the connection's task runs only while the attempt waits, so that no
/// answer is there before its await.
#[tokio::test]
async fn whoever_runs_a_hop_and_wherever_he_dies_it_has_one_head_and_each_content_once() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let others = [connect(&server).await, connect(&server).await, connect(&server).await];

    let beside = submit(&mesh, "beside").await;
    let attempts = others.iter().zip(["one", "two", "three"]);
    let attempts = attempts.map(|(mesh, instance)| attempt(mesh, &beside, instance));
    let stand = futures::future::join_all(attempts).await;
    assert_eq!(stand.iter().filter(|stands| **stands).count(), 1, "{stand:?}");

    let after = submit(&mesh, "after").await;
    let mut deaths = 0;
    loop {
        let instance = format!("holder-{deaths}");
        if dies_at(deaths + 1, attempt(&mesh, &after, &instance)).await.is_some() {
            break;
        }
        deaths += 1;
        assert!(deaths < 1_000, "it never ends");
    }
    assert!(deaths > 5, "it died {deaths} times");

    for head in [&beside, &after] {
        let intent = &head.record.intent;
        let heads = heads(&mesh, intent).await;
        assert_eq!(heads.len(), 1, "{intent}: one handoff, and one head");
        let chain = mesh.verify_context(intent, &heads).await.unwrap();
        let found: Vec<&Memory> = chain.entries().iter().map(|entry| &entry.memory).collect();
        assert_eq!(found, remembered().iter().map(|(memory, _)| memory).collect::<Vec<_>>());
        let objects = mesh.objects_of(intent).await.unwrap();
        assert!(objects.iter().all(|object| object.place == 1), "{objects:?}");
    }
    // The two trees have the same contents, a text, a list and three pieces; all else is a link, each with its author.
    let all = bodies(&server).await;
    let once: HashSet<ObjectHash> = all.iter().map(|body| ObjectHash::of(body)).collect();
    assert_eq!(all.len(), once.len() + 5, "some content is stored twice in a tree");
}
