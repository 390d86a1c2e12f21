//! The archive of the objects of closed trees: what is in it comes back byte for byte, whoever wrote it and how often.

use std::collections::BTreeSet;

use baton_envelope::{ObjectHash, ObjectRef, PIECE_BYTES};
use baton_jetstream::{ArchivedObjects, ControllerMesh, Error, Level, Limits, Mesh, examine};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::objects::{MEDIA, content, tree};
use crate::support::{TestServer, connect};

const ARCHIVE: &str = "MESH_CONTEXT_ARCHIVE";

async fn mesh(server: &TestServer) -> ControllerMesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    ControllerMesh::of(&mesh)
}

async fn archive(mesh: &ControllerMesh, name: &str) -> ArchivedObjects {
    mesh.archive_objects(&tree(name), Limits::default()).await.unwrap()
}

async fn archive_and_purge(mesh: &ControllerMesh, name: &str) -> ArchivedObjects {
    let archived = archive(mesh, name).await;
    mesh.purge_archived(&tree(name), &archived).await.unwrap();
    assert_eq!(mesh.objects_of(&tree(name)).await.unwrap(), []);
    archived
}

/// The subjects of the archive, each with its number of messages.
async fn bundles(server: &TestServer) -> Vec<(String, u64)> {
    if !server.has_stream(ARCHIVE).await {
        return Vec::new();
    }
    let request = json!({ "subjects_filter": ">" });
    let info = server.api(&format!("STREAM.INFO.{ARCHIVE}"), &request).await;
    let subjects = info.pointer("/state/subjects").and_then(Value::as_object);
    let subjects = subjects.into_iter().flatten();
    let mut all: Vec<_> = subjects
        .map(|(subject, count)| (subject.clone(), count.as_u64().unwrap()))
        .collect();
    all.sort();
    all
}

/// Some of each kind: small, with pieces, and so many that one message cannot hold them.
async fn fill(mesh: &Mesh, name: &str) -> Vec<(Bytes, ObjectRef)> {
    let sizes = [0, 1, 70_000, PIECE_BYTES, PIECE_BYTES + 1, 9 * PIECE_BYTES + 77];
    let small = (0..40).map(|seed| content(2_000, 500 + seed));
    let all = sizes.into_iter().zip(1..).map(|(size, seed)| content(size, seed));
    let mut stored = Vec::new();
    for content in all.chain(small) {
        let object = mesh.put_object(&tree(name), content.clone(), MEDIA).await.unwrap();
        stored.push((content, object));
    }
    stored
}

async fn all_come_back(mesh: &Mesh, name: &str, stored: &[(Bytes, ObjectRef)]) {
    for (content, object) in stored {
        let found = mesh.get_object(&tree(name), object).await.unwrap();
        assert!(found == *content, "{} bytes", content.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_archived_comes_back_byte_for_byte_and_a_repeat_changes_nothing() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let stored = fill(&mesh, "order-42").await;
    mesh.put_object(&tree("other"), content(9, 9), MEDIA).await.unwrap();
    assert_eq!(bundles(&server).await, [], "nobody has needed it");

    let first = archive(&mesh, "order-42").await;
    let written = bundles(&server).await;
    // Some 3.1 MiB, of which no message takes more than one.
    assert!((4..=6).contains(&first.bundles), "{first:?}");
    assert_eq!(first.objects, mesh.objects_of(&tree("order-42")).await.unwrap().len());
    assert_eq!(written.len(), first.bundles);
    // It was interrupted here: the next leader begins anew, beside one that has not noticed.
    let other = ControllerMesh::of(&connect(&server).await);
    let (again, beside) = tokio::join!(archive(&mesh, "order-42"), archive(&other, "order-42"));
    assert_eq!((again, beside), (first, first));
    assert_eq!(bundles(&server).await, written, "the same bytes under the same names");

    // What comes meanwhile stays.
    let late = mesh
        .put_object(&tree("order-42"), content(10, 10), MEDIA)
        .await
        .unwrap();
    mesh.purge_archived(&tree("order-42"), &first).await.unwrap();
    let left = mesh.objects_of(&tree("order-42")).await.unwrap();
    assert_eq!(left.iter().map(|one| &one.hash).collect::<Vec<_>>(), [&late.hash]);
    all_come_back(&mesh, "order-42", &stored).await;
    assert_eq!(
        mesh.get_object(&tree("order-42"), &late).await.unwrap(),
        content(10, 10)
    );
    let missing = mesh.get_object(&tree("other"), &stored[2].1).await.unwrap_err();
    assert!(matches!(missing, Error::ObjectMissing { .. }), "{missing}");
    let tokens = BTreeSet::from([stored[2].1.hash.to_string(), ObjectHash::of(b"nobody").to_string()]);
    let there = mesh.archived_tokens(&tree("order-42"), &tokens).await.unwrap();
    assert_eq!(there, BTreeSet::from([stored[2].1.hash.to_string()]));

    // It is a stream of the mesh as the others are.
    let findings = examine(&mesh, Limits::default()).await.unwrap();
    let of_archive = findings.iter().find(|one| one.check.ends_with(ARCHIVE)).unwrap();
    assert_eq!(of_archive.level, Level::Ok, "{}", of_archive.found);
    let copies = mesh.copies().await.unwrap();
    assert!(copies.streams.iter().any(|one| one.stream == ARCHIVE));
}

/// A chosen id may live again. What it had is named by what it is, so that nothing takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_lives_twice_keeps_what_both_lives_had() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let stored = fill(&mesh, "twice").await;
    archive_and_purge(&mesh, "twice").await;
    let second = content(3 * PIECE_BYTES, 77);
    let object = mesh.put_object(&tree("twice"), second.clone(), MEDIA).await.unwrap();
    // Of its first life it has some again.
    mesh.put_object(&tree("twice"), stored[5].0.clone(), MEDIA)
        .await
        .unwrap();
    archive_and_purge(&mesh, "twice").await;
    all_come_back(&mesh, "twice", &stored).await;
    assert_eq!(mesh.get_object(&tree("twice"), &object).await.unwrap(), second);
    assert_eq!(
        archive(&mesh, "twice").await,
        ArchivedObjects::default(),
        "nothing is left"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_bundle_is_named_and_hides_nothing_else() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let stored = fill(&mesh, "order-42").await;
    let archived = archive(&mesh, "order-42").await;
    let subject = bundles(&server).await[0].0.clone();
    let name = subject.rsplit('.').next().unwrap();
    // Who may publish there may put anything in its place.
    let client = server.client().await;
    client.request(subject.clone(), "junk".into()).await.unwrap();
    let (from, to) = (&name[..8], &name[9..17]);
    let is_in = |object: &ObjectRef| (from..=to).contains(&&object.hash.as_str()[..8]);
    let (in_it, elsewhere): (Vec<_>, Vec<_>) = stored
        .iter()
        .filter(|(content, _)| content.len() <= PIECE_BYTES)
        .cloned()
        .partition(|(_, object)| is_in(object));
    all_come_back(&mesh, "order-42", &stored).await;

    // A repeat before the purge mends it.
    assert_eq!(archive(&mesh, "order-42").await, archived);
    mesh.purge_archived(&tree("order-42"), &archived).await.unwrap();
    all_come_back(&mesh, "order-42", &stored).await;
    // After it nobody can.
    client.request(subject.clone(), "junk".into()).await.unwrap();
    all_come_back(&mesh, "order-42", &elsewhere).await;
    assert!(!in_it.is_empty());
    for (_, object) in &in_it {
        let corrupt = mesh.get_object(&tree("order-42"), object).await.unwrap_err();
        assert!(matches!(corrupt, Error::ObjectCorrupt { .. }), "{corrupt}");
        let said = corrupt.to_string();
        assert!(
            said.contains(name) && said.contains(ARCHIVE) && said.contains("altered"),
            "{said}"
        );
    }
}

/// Junk in the first place of a hash is archived as it was found, and is no more content than before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_is_junk_in_the_archive_too_and_a_name_that_is_no_hash_goes() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let client = server.client().await;
    let wanted = content(100, 5);
    let hash = ObjectHash::of(&wanted);
    for token in [hash.as_str(), "notes"] {
        client
            .request(format!("mesh.context.t.{token}"), "junk".into())
            .await
            .unwrap();
    }
    let object = mesh.put_object(&tree("t"), wanted.clone(), MEDIA).await.unwrap();
    assert_eq!(object.at, Some(hash.token(2)));
    let archived = archive_and_purge(&mesh, "t").await;
    assert_eq!((archived.objects, archived.bundles), (2, 1));
    assert_eq!(mesh.get_object(&tree("t"), &object).await.unwrap(), wanted);
    let first = mesh.get_object_at(&tree("t"), &hash, 1).await.unwrap_err();
    assert!(matches!(first, Error::ObjectCorrupt { .. }), "{first}");
}
