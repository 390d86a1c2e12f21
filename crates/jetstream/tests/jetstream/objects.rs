//! Objects on a real server: what is stored once, whoever writes, and what a reader is not given.

use std::time::Duration;

use async_nats::HeaderMap;
use baton_envelope::{IntentId, OBJECT_LIMIT, ObjectHash, ObjectRef, PIECE_BYTES, PieceList, TREE_OBJECTS};
use baton_jetstream::{ControllerMesh, Error, Level, Limits, Mesh, Target, examine};
use baton_testkit::Cluster;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, connect, eventually};

pub(crate) const STREAM: &str = "MESH_CONTEXT";
pub(crate) const MEDIA: &str = "application/octet-stream";

async fn mesh(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    mesh
}

pub(crate) fn tree(text: &str) -> IntentId {
    text.parse().unwrap()
}

/// Content of which no piece is like another, other for each seed.
pub(crate) fn content(bytes: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut all = Vec::with_capacity(bytes + 8);
    while all.len() < bytes {
        all.extend(next());
    }
    all.truncate(bytes);
    all.into()
}

async fn messages(server: &TestServer) -> u64 {
    let info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
    info.pointer("/state/messages").and_then(Value::as_u64).unwrap()
}

/// Puts any bytes on a subject, as somebody does who is not Baton.
async fn plant(server: &TestServer, tree: &IntentId, token: &str, body: Bytes) {
    let client = server.client().await;
    let reply = client
        .request(format!("mesh.context.{tree}.{token}"), body)
        .await
        .unwrap();
    let ack: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert!(ack.get("error").is_none(), "{ack}");
}

async fn take_away(server: &TestServer, tree: &IntentId, token: &str) {
    let request = json!({ "filter": format!("mesh.context.{tree}.{token}") });
    let answer = server.api(&format!("STREAM.PURGE.{STREAM}"), &request).await;
    assert_eq!(answer.pointer("/success"), Some(&json!(true)), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_of_any_size_comes_back_as_it_was_and_is_stored_once_for_each_tree() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let (one, other) = (tree("one"), tree("other"));
    let repeated: Bytes = content(PIECE_BYTES, 7).repeat(3).into();
    let mut stored = 0;
    for (all, count) in [
        (Bytes::new(), 1),
        (Bytes::from_static(b"x"), 1),
        (content(PIECE_BYTES, 1), 1),
        (content(PIECE_BYTES + 1, 2), 3),
        (content(5 * PIECE_BYTES + 77, 3), 7),
        // The same piece three times is one, and the list of them.
        (repeated, 2),
    ] {
        let object = mesh.put_object(&one, all.clone(), MEDIA).await.unwrap();
        stored += count;
        assert_eq!(messages(&server).await, stored, "{} bytes", all.len());
        assert_eq!((object.bytes, object.at.as_deref()), (all.len() as u64, None));
        assert_eq!(mesh.put_object(&one, all.clone(), MEDIA).await.unwrap(), object);
        assert_eq!(messages(&server).await, stored, "a repeat");
        assert_eq!(mesh.get_object(&one, &object).await.unwrap(), all);
        assert_eq!(mesh.get_object_at(&one, &object.hash, 1).await.unwrap(), all);
        let missing = mesh.get_object(&other, &object).await.unwrap_err();
        assert!(matches!(missing, Error::ObjectMissing { .. }), "{missing}");
    }
    assert_eq!(mesh.objects_of(&one).await.unwrap().len() as u64, stored);
    assert_eq!(mesh.objects_of(&other).await.unwrap(), []);

    let controllers = ControllerMesh::of(&mesh);
    mesh.put_object(&other, content(9, 9), MEDIA).await.unwrap();
    let trees: Vec<_> = controllers.trees_with_objects().await.unwrap();
    let trees: Vec<_> = trees
        .iter()
        .map(|tree| (tree.tree.as_str(), tree.messages as u64))
        .collect();
    assert_eq!(trees, [("one", stored), ("other", 1)]);
    controllers.purge_objects(&one).await.unwrap();
    assert_eq!(messages(&server).await, 1, "the other tree keeps its own");
    assert_eq!(controllers.last_object_at(&one).await.unwrap(), None);
    assert!(controllers.last_object_at(&other).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_the_same_content_store_it_once() {
    let server = TestServer::start().await;
    let all = content(6 * PIECE_BYTES + 5, 4);
    mesh(&server).await;
    let writers = (0..8).map(|_| async {
        let mesh = connect(&server).await;
        mesh.put_object(&tree("shared"), all.clone(), MEDIA).await.unwrap()
    });
    let refs: Vec<ObjectRef> = futures::future::join_all(writers).await;
    assert!(refs.iter().all(|one| *one == refs[0]), "{refs:?}");
    assert_eq!(messages(&server).await, 8);
    let mesh = connect(&server).await;
    assert_eq!(mesh.get_object(&tree("shared"), &refs[0]).await.unwrap(), all);
}

/// The reader is connected to whichever server; a replica that lags is asked, and then the leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_copies_a_writer_is_read_at_once_and_nobody_writes_twice() {
    let cluster = Cluster::start(3).await;
    let at = async |index: usize| {
        let target = Target {
            replicas: Some(3),
            ..Target::at(cluster.server(index).url())
        };
        target.connect().await.unwrap()
    };
    let first = at(0).await;
    let limits = Limits {
        replicas: 3,
        ..Limits::default()
    };
    first.ensure_topology(limits).await.unwrap();
    let meshes = [first, at(1).await, at(2).await];
    for round in 0..20_u64 {
        let size = if round % 4 == 0 { 3 * PIECE_BYTES + 9 } else { 70_000 };
        let all = content(size, 100 + round);
        let tree = tree("copies");
        let puts = meshes.iter().map(|mesh| mesh.put_object(&tree, all.clone(), MEDIA));
        let refs = futures::future::try_join_all(puts).await.unwrap();
        for (mesh, object) in meshes.iter().zip(&refs) {
            assert_eq!(object.at, None);
            assert_eq!(mesh.get_object(&tree, object).await.unwrap(), all, "round {round}");
        }
    }
    let expected = 15 + 5 * 5;
    assert_eq!(meshes[0].objects_of(&tree("copies")).await.unwrap().len(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_is_changed_by_nobody_who_may_only_publish() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let all = content(1000, 5);
    let object = mesh.put_object(&tree("t"), all.clone(), MEDIA).await.unwrap();
    let client = server.client().await;
    let subject = format!("mesh.context.t.{}", object.hash);
    for (name, value) in [
        ("Nats-Rollup", "sub"),
        ("Nats-Rollup", "all"),
        ("Nats-TTL", "1s"),
        ("KV-Operation", "PURGE"),
        ("Nats-Expected-Last-Subject-Sequence", "1"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        let reply = client
            .request_with_headers(subject.clone(), headers, "junk".into())
            .await
            .unwrap();
        let ack: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert!(ack["error"]["err_code"].is_u64(), "{name}: {value}: {ack}");
    }
    assert_eq!(mesh.get_object(&tree("t"), &object).await.unwrap(), all);
    // A longer subject is none of the stream, and a larger message none of its messages.
    let too_deep = client.request(format!("{subject}.x"), "junk".into()).await;
    assert!(too_deep.is_err(), "{too_deep:?}");
    let large = client
        .request("mesh.context.t.large".to_owned(), vec![0; 400_000].into())
        .await
        .unwrap();
    let ack: Value = serde_json::from_slice(&large.payload).unwrap();
    assert_eq!(ack["error"]["err_code"], 10054, "{ack}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_in_the_place_of_an_object_is_no_content_and_a_writer_goes_round_it() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let t = tree("t");
    let all = content(70_000, 6);
    let hash = ObjectHash::of(&all);
    plant(&server, &t, hash.as_str(), "junk".into()).await;
    let named = ObjectRef::new(hash.clone(), all.len(), MEDIA);
    let corrupt = mesh.get_object(&t, &named).await.unwrap_err();
    assert!(matches!(&corrupt, Error::ObjectCorrupt { .. }), "{corrupt}");
    assert_eq!(corrupt.code(), "CONTEXT_CORRUPT");

    let second = mesh.put_object(&t, all.clone(), MEDIA).await.unwrap();
    assert_eq!(second.at, Some(format!("{hash}-2")));
    assert_eq!(mesh.get_object(&t, &second).await.unwrap(), all);
    assert_eq!(mesh.put_object(&t, all.clone(), MEDIA).await.unwrap(), second);

    let other = content(80_000, 7);
    let hash = ObjectHash::of(&other);
    for place in 1..=4 {
        plant(&server, &t, &hash.token(place), "junk".into()).await;
    }
    let nowhere = mesh.put_object(&t, other, MEDIA).await.unwrap_err();
    assert!(matches!(nowhere, Error::ObjectCorrupt { .. }), "{nowhere}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_are_wrong_missing_or_swapped_are_told_with_their_place() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let all = content(3 * PIECE_BYTES, 8);
    let (list, hash) = (PieceList::of(&all), ObjectHash::of(&all));
    let named = ObjectRef::new(hash.clone(), all.len(), MEDIA);

    let gone = tree("gone");
    mesh.put_object(&gone, all.clone(), MEDIA).await.unwrap();
    take_away(&server, &gone, list.pieces[1].as_str()).await;
    match mesh.get_object(&gone, &named).await {
        Err(Error::ObjectMissing { object, .. }) => assert_eq!(object, list.pieces[1].to_string()),
        other => panic!("{other:?}"),
    }

    let wrong = tree("wrong");
    mesh.put_object(&wrong, all.clone(), MEDIA).await.unwrap();
    take_away(&server, &wrong, list.pieces[2].as_str()).await;
    plant(&server, &wrong, list.pieces[2].as_str(), content(PIECE_BYTES, 9)).await;
    let corrupt = mesh.get_object(&wrong, &named).await.unwrap_err();
    assert!(corrupt.to_string().contains("piece 2"), "{corrupt}");
    // Nobody can store it there now: a piece has one place.
    let put = mesh.put_object(&wrong, all.clone(), MEDIA).await.unwrap_err();
    assert!(
        matches!(put, Error::ObjectMissing { .. } | Error::ObjectCorrupt { .. }),
        "{put}"
    );

    let swapped = tree("swapped");
    mesh.put_object(&swapped, all.clone(), MEDIA).await.unwrap();
    take_away(&server, &swapped, hash.as_str()).await;
    let mut other = list.clone();
    other.pieces.swap(0, 1);
    plant(&server, &swapped, hash.as_str(), other.encode().into()).await;
    let corrupt = mesh.get_object(&swapped, &named).await.unwrap_err();
    assert!(corrupt.to_string().contains("something else"), "{corrupt}");

    // A reference that lies about the size.
    let lies = ObjectRef { bytes: 5, ..named };
    let whole = tree("whole");
    mesh.put_object(&whole, all, MEDIA).await.unwrap();
    let corrupt = mesh.get_object(&whole, &lies).await.unwrap_err();
    assert!(corrupt.to_string().contains("says 5"), "{corrupt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_stream_refuses_and_keeps_what_it_has() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let mut limits = Limits::default();
    limits.bounds.context_bytes = 1 << 20;
    mesh.ensure_topology(limits).await.unwrap();
    let t = tree("t");
    let small = content(100_000, 10);
    let kept = mesh.put_object(&t, small.clone(), MEDIA).await.unwrap();
    let large = content(2 << 20, 11);
    let full = mesh.put_object(&t, large.clone(), MEDIA).await.unwrap_err();
    assert!(matches!(&full, Error::ObjectsFull { is_lasting: false, .. }), "{full}");
    assert_eq!(full.code(), "CONTEXT_FULL");
    assert!(full.to_string().contains(STREAM), "{full}");
    assert_eq!(mesh.get_object(&t, &kept).await.unwrap(), small);
    // What is there counts as stored also while the stream is full.
    assert_eq!(mesh.put_object(&t, small, MEDIA).await.unwrap(), kept);

    let mut info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
    info["config"]["max_bytes"] = (64 << 20).into();
    let updated = server.api(&format!("STREAM.UPDATE.{STREAM}"), &info["config"]).await;
    assert!(updated.get("error").is_none(), "{updated}");
    let object = mesh.put_object(&t, large.clone(), MEDIA).await.unwrap();
    assert_eq!(mesh.get_object(&t, &object).await.unwrap(), large);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tree_and_an_object_have_their_limits() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let t = tree("t");
    let too_large = mesh
        .put_object(&t, vec![0; OBJECT_LIMIT + 1].into(), MEDIA)
        .await
        .unwrap_err();
    assert!(
        matches!(&too_large, Error::ObjectsFull { is_lasting: true, .. }),
        "{too_large}"
    );
    assert!(too_large.to_string().contains("67108864"), "{too_large}");
    // More small ones than large ones would have room for: the sizes count, and not the number alone.
    let client = server.client().await;
    let fill = async |from: usize, to: usize| {
        for number in from..to {
            let subject = format!("mesh.context.t.{}", ObjectHash::of(&number.to_le_bytes()));
            client.publish(subject, "x".into()).await.unwrap();
        }
        client.flush().await.unwrap();
        eventually("all are stored", PATIENCE, async || match messages(&server).await {
            count if count >= to as u64 => Ok(()),
            count => Err(format!("{count} of {to}")),
        })
        .await;
    };
    fill(0, 2_000).await;
    let object = mesh.put_object(&t, content(100, 12), MEDIA).await.unwrap();
    fill(2_000, TREE_OBJECTS - 1).await;
    let full = mesh.put_object(&t, content(100, 13), MEDIA).await.unwrap_err();
    assert!(matches!(&full, Error::ObjectsFull { is_lasting: true, .. }), "{full}");
    assert!(full.to_string().contains("10000"), "{full}");
    // What the tree has already takes no room.
    assert_eq!(mesh.put_object(&t, content(100, 12), MEDIA).await.unwrap(), object);
    mesh.put_object(&tree("another"), content(100, 13), MEDIA)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_each_setting_by_which_objects_could_be_lost_and_a_person_puts_it_back() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let of_stream = async || {
        let findings = examine(&mesh, Limits::default()).await.unwrap();
        let found = findings.into_iter().find(|one| one.check == format!("stream {STREAM}"));
        found.expect("a finding")
    };
    assert_eq!(of_stream().await.level, Level::Ok);
    for (setting, value, said) in [
        ("allow_rollup_hdrs", json!(true), "allow_rollup"),
        ("discard_new_per_subject", json!(false), "discard_new_per_subject"),
        ("max_msgs_per_subject", json!(5), "max_messages_per_subject"),
    ] {
        let mut info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
        info["config"][setting] = value;
        if setting == "max_msgs_per_subject" || setting == "allow_rollup_hdrs" {
            info["config"]["discard_new_per_subject"] = true.into();
        }
        let updated = server.api(&format!("STREAM.UPDATE.{STREAM}"), &info["config"]).await;
        assert!(updated.get("error").is_none(), "{setting}: {updated}");
        let finding = of_stream().await;
        assert!(
            finding.level != Level::Ok && finding.found.contains(said),
            "{setting}: {finding:?}"
        );
        mesh.restore_stream(STREAM, Limits::default()).await.unwrap();
        eventually("it is as it was", Duration::from_secs(5), async || {
            match of_stream().await {
                finding if finding.level == Level::Ok => Ok(()),
                finding => Err(format!("{finding:?}")),
            }
        })
        .await;
    }
    // The server never takes it back, and doctor says what a person does then.
    let mut info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
    info["config"]["allow_msg_ttl"] = true.into();
    server.api(&format!("STREAM.UPDATE.{STREAM}"), &info["config"]).await;
    let finding = of_stream().await;
    assert!(finding.found.contains("allow_msg_ttl"), "{finding:?}");
    assert!(finding.remedy.contains("nats stream backup"), "{finding:?}");
}
