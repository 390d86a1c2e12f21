//! Bundles are written, read back and found again, whatever their size, and a repeat is the same bundle.

use std::time::Duration;

use baton_envelope::{Bundle, BundleFacts, IntentId, Json, StoredRecord, act};
use baton_jetstream::{AdvanceError, ControllerMesh, Error, Known, LedgerMark, Mesh};

use crate::support::{TestServer, agent, mesh_with_research, submit};

fn facts(mesh: &Mesh, seq: u64) -> BundleFacts {
    BundleFacts {
        status: "completed".to_owned(),
        agent: Some(agent()),
        seq,
        submitted_at: mesh.now(),
        ended_at: mesh.now(),
        generated: true,
    }
}

fn large(intent: &str, records: u64, bytes: usize) -> Bundle {
    let intent: IntentId = intent.parse().unwrap();
    let record = |seq: u64| StoredRecord {
        seq,
        stored: "2026-11-21T05:00:00Z".to_owned(),
        headers: Vec::new(),
        body: format!("{seq}").repeat(bytes).into_bytes(),
    };
    Bundle {
        intent,
        records: (1..=records).map(record).collect(),
        void: Vec::new(),
    }
}

#[tokio::test]
async fn bundle_of_any_size_is_written_once_and_read_back() {
    let server = TestServer::builder().config("max_payload: 65536").start().await;
    let mesh = mesh_with_research(&server).await;
    let mut written = Vec::new();
    // One record of nearly the whole message, then many: cut within records.
    for (name, records, bytes) in [("small", 3, 100), ("one", 1, 64_000), ("many", 9, 60_000)] {
        let (bundle, facts) = (large(name, records, bytes), facts(&mesh, 7));
        let seq = ControllerMesh::of(&mesh).archive_bundle(&bundle, &facts).await.unwrap();
        assert_eq!(
            ControllerMesh::of(&mesh).archive_bundle(&bundle, &facts).await.unwrap(),
            seq,
            "a repeat is the same"
        );
        assert_eq!(mesh.bundle_at(seq).await.unwrap(), bundle);
        written.push((seq, bundle.intent.clone(), facts));
    }
    let end = mesh.archive_end().await.unwrap();
    assert!(end.last_seq > 3, "the large ones are in parts: {end:?}");

    // Whoever follows the archive sees each bundle once, at its last part.
    let mut tail = ControllerMesh::of(&mesh).tail_archive(&end.created, LedgerMark::default());
    let mut notes = Vec::new();
    while notes.len() < written.len() {
        let batch = tokio::time::timeout(Duration::from_secs(20), tail.next_batch()).await;
        notes.extend(batch.unwrap().unwrap().unwrap().notes);
    }
    let seen: Vec<_> = notes
        .into_iter()
        .map(|note| (note.archive_seq, note.intent, note.facts))
        .collect();
    assert_eq!(seen, written);
    // What is not there any more is said to be missing, and not taken for empty.
    assert!(matches!(
        mesh.bundle_at(end.last_seq + 1).await,
        Err(Error::Missing { .. })
    ));
}

#[tokio::test]
async fn records_are_bundled_as_they_are_stored() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let head = submit(&mesh, "order-1").await;
    let intent = head.record.intent.clone();
    let bundle = ControllerMesh::of(&mesh)
        .stored_records(&intent)
        .await
        .unwrap()
        .expect("its records");
    let [record] = bundle.records.as_slice() else {
        panic!("{bundle:?}")
    };
    assert_eq!(
        (record.seq, record.body.as_slice()),
        (head.seq, &*serde_json::to_vec(&head.record).unwrap())
    );
    assert!(record.stored.ends_with('Z'));
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["Baton-Event", "Baton-Status", "Nats-Expected-Last-Subject-Sequence"]
    );
    assert!(
        ControllerMesh::of(&mesh)
            .stored_records(&"none".parse().unwrap())
            .await
            .unwrap()
            .is_none()
    );
    // Purged up to a sequence, and no further.
    ControllerMesh::of(&mesh)
        .purge_records(&intent, head.seq)
        .await
        .unwrap();
    assert!(mesh.head(&intent).await.unwrap().is_some());
    ControllerMesh::of(&mesh)
        .purge_records(&intent, head.seq + 1)
        .await
        .unwrap();
    assert!(mesh.head(&intent).await.unwrap().is_none());
    // A writer that saw its records is told that there is nothing to follow.
    let by = crate::support::operator();
    let late = mesh.advance(&intent, &by, Known::Read(&head), |now, _| {
        let snapshot = now.expect("what the writer saw").snapshot;
        Ok::<_, Error>(act::complete(snapshot, Json::null())?.into())
    });
    let late = late.await;
    assert!(
        matches!(late, Err(AdvanceError::NotWritten(Error::NoIntent(_)))),
        "{late:?}"
    );
}
