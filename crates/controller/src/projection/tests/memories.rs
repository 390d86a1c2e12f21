//! What a search is told where the index has not read everything.

use baton_envelope::context::{Kind, Memory, SpaceMemory, SpaceWrite};

use super::*;

async fn put(mesh: &Mesh, id: &str) -> u64 {
    let memory = Memory::new(id.parse().unwrap(), Kind::Fact, b"otters");
    let write = SpaceWrite {
        write: id.to_owned(),
        by: "test".to_owned(),
        at: mesh.now(),
    };
    let record = SpaceMemory::new("house".parse().unwrap(), memory, b"otters", write).unwrap();
    mesh.put_memory(record, None).await.unwrap().revision
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lags_says_by_how_much() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let projection = Projection::open(&mesh, None).await.unwrap();
    let (soon, long) = (Duration::from_millis(200), Duration::from_secs(10));
    assert!(
        projection.memories_caught_up(soon).await.unwrap().is_none(),
        "nothing is written"
    );
    let first = put(&mesh, "one").await;
    let never = projection.memories_caught_up(soon).await;
    assert!(matches!(never, Err(Error::Behind { behind: 1, .. })), "{never:?}");

    let stop = CancellationToken::new();
    let following = tokio::spawn({
        let (projection, stop) = (projection.clone(), stop.clone());
        async move { stop.run_until_cancelled(projection.follow_memories()).await }
    });
    let searched = projection.memories_caught_up(long).await.unwrap().unwrap();
    assert_eq!((searched.through, searched.behind), (first, 0));
    stop.cancel();
    following.await.unwrap();
    for id in ["two", "three"] {
        put(&mesh, id).await;
    }
    let searched = projection.memories_caught_up(soon).await.unwrap().unwrap();
    assert_eq!((searched.through, searched.behind), (first, 2));
}

/// Nothing new comes after the projection was rebuilt, and a search needs what was there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_lost_with_the_projection_is_made_anew_for_a_search() {
    let server = TestServer::start().await;
    let mesh = Target::at(server.url()).connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    let projection = Projection::open(&mesh, None).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(projection.clone().run(stop.clone()));
    put(&mesh, "one").await;
    let long = Duration::from_secs(10);
    projection.memories_caught_up(long).await.unwrap().unwrap();
    let ledger = mesh.ledger_end().await.unwrap().created;
    projection.change(move |store| store.rebuild(&ledger)).await.unwrap();
    let searched = projection.memories_caught_up(long).await.unwrap().unwrap();
    assert_eq!(searched.behind, 0);
    let words = baton_envelope::control::SearchWord {
        text: "otters".to_owned(),
        is_prefix: false,
    };
    let found = projection.search_memories(&[words], None, 20).await.unwrap();
    assert_eq!(found.len(), 1);
    stop.cancel();
    running.await.unwrap();
}
